import { words } from "../text/format";

interface Change {
  field: string;
  before?: unknown;
  after?: unknown;
}

const shown = (value: unknown): string => {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 160 ? `${text.slice(0, 160)}\u2026` : text;
};

/** What a change took away and what it put in its place. */
export function Changes({ of }: { of: Change[] | undefined }) {
  const told = (of ?? []).filter(({ field }) => !["updated_at", "version", "/updated_at", "/version"].includes(field));
  if (told.length === 0) return null;
  return (
    <div className="diff">
      {told.slice(0, 20).map((change) => (
        <div key={change.field}>
          <span className="muted tiny">{words(change.field.replace(/^\//, ""))}</span>
          <span className="row" style={{ gap: 4 }}>
            {change.before !== undefined && change.before !== null && <del>{shown(change.before)}</del>}
            {change.after !== undefined && change.after !== null && <ins>{shown(change.after)}</ins>}
          </span>
        </div>
      ))}
    </div>
  );
}
