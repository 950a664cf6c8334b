/** The links between the services, measured by the kernel and read every second. */
import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api } from "../api/client";
import type { components } from "../api/schema";
import { useSession } from "../api/session";

export type LinkStats = components["schemas"]["LinkStats"];

/** The twelve, in the order of the architecture. */
const SERVICES = [
  "gateway",
  "iam",
  "data-layer",
  "event-bus",
  "notify",
  "files",
  "money",
  "audit",
  "billing",
  "module-registry",
  "integration-hub",
  "domain-resolver",
] as const;
export type Service = (typeof SERVICES)[number];

/** What one service did, taken over both of its links: HTTP from the gateway and calls of other services. */
interface Beat {
  at: number;
  calls: number;
  errors: number;
  busyMicros: number;
  measured: number;
}

export interface Pulse {
  service: Service;
  links: LinkStats[];
  /** Calls a second, newest last. */
  rates: number[];
  rate: number;
  errorsNow: number;
  p50: number;
  p99: number;
  queued: number;
  inFlight: number;
  state: "open" | "waiting" | "full" | "unbound" | "closed" | "none";
}

function beatOf(links: LinkStats[], at: number): Beat {
  const sum = (value: (link: LinkStats) => number) => links.reduce((total, link) => total + value(link), 0);
  return {
    at,
    calls: sum((link) => link.calls),
    errors: sum((link) => link.errors + link.rejected + link.timedOut + link.panicked),
    busyMicros: sum((link) => link.time.totalMicros),
    measured: sum((link) => link.time.count),
  };
}

/** Differences a second between beats; a kernel that began anew counts from zero again. */
export function ratesOf(beats: Beat[]): number[] {
  return beats.slice(1).map((beat, index) => {
    const before = beats[index];
    if (!before || beat.calls < before.calls) return 0;
    const seconds = (beat.at - before.at) / 1000;
    return seconds > 0 ? (beat.calls - before.calls) / seconds : 0;
  });
}

const KEPT = 60;
const history = new Map<string, Beat[]>();
const KEY = ["links"];

function note(links: LinkStats[]): void {
  const at = Date.now();
  for (const service of SERVICES) {
    const own = links.filter((link) => link.name === service);
    const beats = history.get(service) ?? [];
    history.set(service, [...beats, beatOf(own, at)].slice(-KEPT));
  }
}

const WORST = ["closed", "full", "unbound", "waiting", "open"] as const;

function pulseOf(service: Service, links: LinkStats[]): Pulse {
  const own = links.filter((link) => link.name === service);
  const beats = history.get(service) ?? [];
  const rates = ratesOf(beats);
  const [last, before] = [beats.at(-1), beats.at(-2)];
  const most = (value: (link: LinkStats) => number) => own.reduce((top, link) => Math.max(top, value(link)), 0);
  return {
    service,
    links: own,
    rates,
    rate: rates.at(-1) ?? 0,
    errorsNow: last && before ? Math.max(0, last.errors - before.errors) : 0,
    p50: most((link) => link.time.p50Micros),
    p99: most((link) => link.time.p99Micros),
    queued: own.reduce((sum, link) => sum + link.queued, 0),
    inFlight: own.reduce((sum, link) => sum + link.inFlight, 0),
    state: WORST.find((state) => own.some((link) => link.state === state)) ?? "none",
  };
}

/** How the twelve services are doing; only the operator may know. */
export function usePulse(every = 1000): { pulses: Pulse[]; total: number[]; error: unknown; loading: boolean } {
  const operator = useSession().facts?.operator ?? false;
  const query = useQuery({
    queryKey: KEY,
    queryFn: async ({ signal }) => {
      const page = await api.get("/api/v1/health/links", { as: "operator", signal });
      note(page.data);
      return page.data;
    },
    enabled: operator,
    refetchInterval: every,
    staleTime: 900,
  });
  const links = query.data ?? [];
  const pulses = SERVICES.map((service) => pulseOf(service, links));
  const lengths = pulses.map((pulse) => pulse.rates.length);
  const length = Math.min(...lengths);
  const total = Array.from({ length: Number.isFinite(length) ? length : 0 }, (_, index) =>
    pulses.reduce((sum, pulse) => sum + (pulse.rates.at(index - length) ?? 0), 0),
  );
  return { pulses, total, error: query.error, loading: query.isPending && operator };
}

/** How bright each cell of the mark is: brighter with more calls. Follows what pages have read; asks nothing itself. */
export function useLit(): number[] | undefined {
  const queries = useQueryClient();
  const [lit, setLit] = useState<number[]>();
  useEffect(
    () =>
      queries.getQueryCache().subscribe((event) => {
        if (event.type !== "updated" || event.query.queryKey[0] !== KEY[0] || event.action.type !== "success") return;
        setLit(
          SERVICES.map((service) => {
            const rate = ratesOf((history.get(service) ?? []).slice(-3)).at(-1) ?? 0;
            return rate > 0 ? Math.min(1, 0.6 + Math.log10(1 + rate) / 4) : 0.35;
          }),
        );
      }),
    [queries],
  );
  return lit;
}
