import { Problem, Unreachable } from "../api/client";
import { t } from "../text";
import { Button, ButtonLink } from "./button";
import { Copy } from "./copy";
import type { Work } from "./form";

/** What was refused of a form, unless it stands at the fields. */
export function Refusal({ of }: { of: Work }) {
  const error = of.refusal();
  return error === null ? null : <ProblemNote error={error} />;
}

/** A refusal as the kernel tells it: what happened, which field, and the trace to look up. */
export function ProblemNote({ error, retry }: { error: unknown; retry?: () => void }) {
  const problem = error instanceof Problem ? error : null;
  const title = problem?.title ?? (error instanceof Unreachable ? t.ui.unreachable : t.ui.failed);
  const detail = problem?.message ?? (error instanceof Unreachable ? t.ui.unreachableHint : String((error as Error)?.message ?? error));
  // With one field at fault the detail says it already.
  const errors = (problem?.errors ?? []).filter((one) => !detail.includes(one.message));
  return (
    <div className="problem" role="alert">
      <strong>{title}</strong>
      <span>{detail}</span>
      {errors.length > 0 && (
        <ul className="small">
          {errors.map((one) => (
            <li key={one.field + one.message}>
              <code>{one.field}</code> {one.message}
            </li>
          ))}
        </ul>
      )}
      {problem?.traceId && (
        <span className="tiny muted">
          {t.ui.trace} <Copy text={problem.traceId} />
        </span>
      )}
      {(retry || problem?.status === 402) && (
        <div className="row">
          {problem?.status === 402 && (
            <ButtonLink size="small" to="/plan">
              {t.ui.toPlan}
            </ButtonLink>
          )}
          {retry && (
            <Button size="small" onClick={retry}>
              {t.ui.again}
            </Button>
          )}
        </div>
      )}
    </div>
  );
}
