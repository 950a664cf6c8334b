import { useState } from "react";
import { useSession } from "../api/session";
import { type Pulse, type Service, usePulse } from "../app/pulse";
import { t } from "../text";
import { count, micros } from "../text/format";
import { Badge, Figure, PageHead, Pairs, Skeleton, Spark, type Tone } from "../ui/bits";
import { Drawer } from "../ui/dialog";
import { ProblemNote } from "../ui/problem";
import { OperatorOnly } from "./operator-only";

const STATE: Record<Pulse["state"], Tone | undefined> = {
  open: "good",
  waiting: "warn",
  full: "bad",
  unbound: "warn",
  closed: "bad",
  none: undefined,
};

/** Twelve services between two rails: requests come in at the gateway, what happened leaves by the event bus. */
export default function Topology() {
  const operator = useSession().facts?.operator ?? false;
  const { pulses, total, error, loading } = usePulse();
  const [open, setOpen] = useState<Service | null>(null);
  if (!operator) return <OperatorOnly title={t.topology.title} />;
  const of = (service: Service) => pulses.find((pulse) => pulse.service === service);
  const gateway = of("gateway");
  const bus = of("event-bus");
  const inner = pulses.filter((pulse) => pulse.service !== "gateway" && pulse.service !== "event-bus");
  const shown = pulses.find((pulse) => pulse.service === open);
  return (
    <>
      <PageHead title={t.topology.title} about={t.topology.about} />
      {error ? <ProblemNote error={error} /> : null}
      {loading ? (
        <Skeleton lines={8} />
      ) : (
        <div className="board">
          {gateway && <Rail pulse={gateway} total={total} side="in" onOpen={() => setOpen("gateway")} />}
          <div className="board-cells">
            {inner.map((pulse) => (
              <Cell key={pulse.service} pulse={pulse} onOpen={() => setOpen(pulse.service)} />
            ))}
          </div>
          {bus && <Rail pulse={bus} total={bus.rates} side="out" onOpen={() => setOpen("event-bus")} />}
        </div>
      )}
      <p className="small muted">{t.topology.legend}</p>
      <Drawer
        open={shown !== undefined}
        onClose={() => setOpen(null)}
        title={shown ? t.services[shown.service].name : ""}
        about={shown ? t.services[shown.service].about : ""}
      >
        {shown && <Detail pulse={shown} />}
      </Drawer>
    </>
  );
}

function Rail({ pulse, total, side, onOpen }: { pulse: Pulse; total: number[]; side: "in" | "out"; onOpen: () => void }) {
  return (
    <button type="button" className="rail" data-side={side} onClick={onOpen}>
      <span className="rail-name">
        <strong>{t.services[pulse.service].name}</strong>
        <span className="small">{side === "in" ? t.topology.in : t.topology.out}</span>
      </span>
      <span className="rail-line" aria-hidden="true">
        <Spark values={total.length > 1 ? total : [0, 0]} height={40} />
      </span>
      <span className="rail-figure tabular">
        <strong>{count(Math.round(total.at(-1) ?? 0))}</strong>
        <span className="small">{t.home.perSecond}</span>
      </span>
    </button>
  );
}

function Cell({ pulse, onOpen }: { pulse: Pulse; onOpen: () => void }) {
  const away = pulse.links.length === 0;
  const busy = pulse.rate > 0;
  return (
    <button
      type="button"
      className="cell"
      onClick={onOpen}
      data-state={away ? "none" : pulse.state}
      data-busy={busy || undefined}
      style={{ "--pace": `${Math.max(0.35, 2.4 - Math.log10(1 + pulse.rate) * 0.7)}s` } as React.CSSProperties}
    >
      <span className="cell-head">
        <span className="dot" data-tone={pulse.errorsNow > 0 ? "bad" : STATE[pulse.state]} aria-hidden="true" />
        <strong>{t.services[pulse.service].name}</strong>
      </span>
      {away ? (
        <span className="small muted">{t.topology.away}</span>
      ) : (
        <>
          <span className="cell-rate tabular">
            {count(pulse.rate < 10 ? Math.round(pulse.rate * 10) / 10 : Math.round(pulse.rate))}
            <small>{t.home.perSecond}</small>
          </span>
          <Spark values={pulse.rates.length > 1 ? pulse.rates : [0, 0]} height={26} />
          <span className="cell-foot tiny muted tabular">
            <span>{t.topology.p99(micros(pulse.p99))}</span>
            <span>{pulse.queued > 0 ? t.topology.waiting(pulse.queued) : t.topology.noQueue}</span>
          </span>
        </>
      )}
    </button>
  );
}

function Detail({ pulse }: { pulse: Pulse }) {
  if (pulse.links.length === 0) return <p className="muted">{t.topology.away}</p>;
  return pulse.links.map((link, index) => {
    const used = link.operations.filter((operation) => operation.time.count > 0);
    const faults = link.errors + link.rejected + link.timedOut + link.panicked;
    return (
      <section key={index} className="stack">
        <div className="row-apart">
          <h3>{index === 0 && link.operations.length <= 1 ? t.topology.requests : t.topology.calls}</h3>
          <Badge tone={STATE[link.state]}>{t.topology.states[link.state]}</Badge>
        </div>
        <dl className="figures">
          <Figure label={t.topology.handled}>{count(link.calls)}</Figure>
          <Figure label="p50">{micros(link.time.p50Micros)}</Figure>
          <Figure label="p99">{micros(link.time.p99Micros)}</Figure>
        </dl>
        <Pairs
          of={[
            [t.topology.queue, t.topology.queueOf(link.queued, link.depth)],
            [t.topology.places, t.topology.queueOf(link.inFlight, link.concurrency)],
            [t.topology.wait, `${micros(link.wait.p50Micros)} \u00b7 p99 ${micros(link.wait.p99Micros)}`],
            [t.topology.refused, count(link.rejected)],
            [t.topology.late, count(link.timedOut)],
            [t.topology.faults, faults > 0 ? <span className="bad">{count(faults)}</span> : "0"],
          ]}
        />
        {used.length > 1 && (
          <div className="table-frame">
            <table className="table" aria-label={t.topology.operations}>
              <thead>
                <tr>
                  <th>{t.topology.operation}</th>
                  <th className="num">{t.topology.count}</th>
                  <th className="num">p50</th>
                  <th className="num">p99</th>
                </tr>
              </thead>
              <tbody>
                {used
                  .toSorted((a, b) => b.time.count - a.time.count)
                  .map((operation) => (
                    <tr key={operation.name}>
                      <td>
                        <code className="small">{operation.name}</code>
                      </td>
                      <td className="num">{count(operation.time.count)}</td>
                      <td className="num nowrap">{micros(operation.time.p50Micros)}</td>
                      <td className="num nowrap">{micros(operation.time.p99Micros)}</td>
                    </tr>
                  ))}
              </tbody>
            </table>
          </div>
        )}
      </section>
    );
  });
}
