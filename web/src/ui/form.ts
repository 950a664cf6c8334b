import { useState } from "react";
import { Problem } from "../api/problem";

/** What a form sends, and what was refused of it. */
export interface Work {
  busy: boolean;
  /** What is wrong with a field: to be shown there. */
  fault: (field: string) => string | undefined;
  /** What was refused, unless all of it stands at fields that were asked about before in this rendering. */
  refusal: () => unknown;
  /** Does it, unless it is being done; true when it was not refused. */
  run: (work: () => Promise<unknown>) => Promise<boolean>;
  /** As if nothing had been refused. */
  forget: () => void;
}

/** The state of a form that sends something. */
export function useWork(): Work {
  const [state, setState] = useState<{ busy: boolean; error: unknown }>({ busy: false, error: null });
  const problem = state.error instanceof Problem ? state.error : null;
  const told = new Set<string>();
  return {
    busy: state.busy,
    fault: (field) => {
      told.add(field);
      return problem?.of(field);
    },
    refusal: () => {
      const saidAll = problem !== null && problem.errors.length > 0 && problem.errors.every((one) => told.has(one.field));
      return saidAll ? null : state.error;
    },
    run: async (work) => {
      if (state.busy) return false;
      setState({ busy: true, error: null });
      try {
        await work();
        setState({ busy: false, error: null });
        return true;
      } catch (error) {
        setState({ busy: false, error });
        return false;
      }
    },
    forget: () => setState({ busy: false, error: null }),
  };
}
