import type { ReactNode } from "react";
import { useSession } from "../api/session";
import { ago, full } from "../text/format";

export type Tone = "accent" | "good" | "warn" | "bad";

export function Badge({ tone, children }: { tone?: Tone | undefined; children: ReactNode }) {
  return (
    <span className="badge" data-tone={tone}>
      {children}
    </span>
  );
}

/** When, counted on the sandbox's own clock. */
export function When({ at, real }: { at: string; real?: boolean }) {
  const { ahead } = useSession();
  return (
    <time dateTime={at} title={full(at)} className="nowrap">
      {ago(at, Date.now() + (real ? 0 : ahead))}
    </time>
  );
}

export function PageHead({ title, about, children }: { title: string; about?: ReactNode; children?: ReactNode }) {
  return (
    <div className="page-head">
      <div>
        <h1>{title}</h1>
        {about && <p>{about}</p>}
      </div>
      {children && <div className="row">{children}</div>}
    </div>
  );
}

export function Panel({
  title,
  about,
  side,
  flush,
  foot,
  children,
}: {
  title?: ReactNode;
  about?: ReactNode;
  side?: ReactNode;
  /** The content reaches the edge, as tables do. */
  flush?: boolean;
  foot?: ReactNode;
  children: ReactNode;
}) {
  return (
    <section className="panel">
      {(title || side) && (
        <header>
          <div>
            {title && <h2>{title}</h2>}
            {about && <p className="small muted">{about}</p>}
          </div>
          {side && <div className="row">{side}</div>}
        </header>
      )}
      {flush ? children : <div className="body">{children}</div>}
      {foot && <footer>{foot}</footer>}
    </section>
  );
}

/** Nothing is there yet: says what would be, and what to do. */
export function Empty({
  icon,
  title,
  children,
  actions,
}: {
  icon?: ReactNode;
  title: string;
  children?: ReactNode;
  actions?: ReactNode;
}) {
  return (
    <div className="empty">
      {icon && (
        <div className="art" aria-hidden="true">
          {icon}
        </div>
      )}
      <h2>{title}</h2>
      {children && <p>{children}</p>}
      {actions && <div className="row">{actions}</div>}
    </div>
  );
}

export function Figure({ label, children, note }: { label: string; children: ReactNode; note?: ReactNode }) {
  return (
    <div className="figure">
      <dt>{label}</dt>
      <dd>{children}</dd>
      {note && <dd className="tiny muted" style={{ fontSize: "0.75rem", letterSpacing: 0, fontWeight: 400 }}>{note}</dd>}
    </div>
  );
}

export function Meter({ part, label }: { part: number; label: string }) {
  const percent = Math.max(0, Math.min(100, part * 100));
  const tone = part >= 1 ? "bad" : part >= 0.8 ? "warn" : undefined;
  return (
    <div
      className="meter"
      data-tone={tone}
      role="meter"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={100}
      aria-valuenow={Math.round(percent)}
    >
      <i style={{ width: `${percent}%` }} />
    </div>
  );
}

/** A line of recent values; it says nothing that is not also said in numbers. */
export function Spark({ values, height = 36 }: { values: number[]; height?: number }) {
  if (values.length < 2) return <div style={{ height }} />;
  const most = Math.max(...values, 1e-9);
  const step = 100 / (values.length - 1);
  const points = values.map((value, index) => `${(index * step).toFixed(2)},${(height - 2 - (value / most) * (height - 4)).toFixed(2)}`);
  return (
    <svg className="spark" viewBox={`0 0 100 ${height}`} height={height} preserveAspectRatio="none" aria-hidden="true">
      <path d={`M0,${height} L${points.join(" L")} L100,${height} Z`} fill="var(--accent-soft)" />
      <path d={`M${points.join(" L")}`} fill="none" stroke="var(--accent)" strokeWidth="1.5" strokeLinejoin="round" />
    </svg>
  );
}

export function Skeleton({ lines = 5 }: { lines?: number }) {
  return (
    <div className="stack" style={{ padding: "var(--s4)" }} aria-hidden="true">
      {Array.from({ length: lines }, (_, index) => (
        <div key={index} className="skeleton" style={{ width: `${92 - ((index * 17) % 45)}%` }} />
      ))}
    </div>
  );
}

export function Pairs({ of }: { of: [string, ReactNode][] }) {
  return (
    <dl className="pairs">
      {of.map(([name, value]) => (
        <Pair key={name} name={name} value={value} />
      ))}
    </dl>
  );
}

function Pair({ name, value }: { name: string; value: ReactNode }) {
  return (
    <>
      <dt>{name}</dt>
      <dd>{value === null || value === undefined || value === "" ? <span className="muted">{"\u2013"}</span> : value}</dd>
    </>
  );
}

export function Json({ value }: { value: unknown }) {
  return (
    <pre className="code" tabIndex={0}>
      {JSON.stringify(value, null, 2)}
    </pre>
  );
}

/** The mark of the product: twelve cells for twelve services. */
export function Mark({ lit }: { lit?: number[] }) {
  return (
    <span className="mark" aria-hidden="true">
      {Array.from({ length: 12 }, (_, index) => (
        <i key={index} style={lit ? ({ "--lit": lit[index] ?? 0.35 } as React.CSSProperties) : undefined} />
      ))}
    </span>
  );
}
