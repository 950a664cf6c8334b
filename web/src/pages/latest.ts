/** How the newest records of the audit trail are told on the home page. */
interface Told {
  action: string;
  actor: string;
  description?: string | null;
}

/** The same thing done over and over by the same hand stands there once, with how often. */
export function folded<T extends Told>(rows: T[], most: number): { row: T; times: number }[] {
  const groups: { row: T; times: number }[] = [];
  for (const row of rows) {
    const last = groups.at(-1);
    const same = last && (["action", "actor", "description"] as const).every((one) => last.row[one] === row[one]);
    if (same) last.times += 1;
    else if (groups.length === most) break;
    else groups.push({ row, times: 1 });
  }
  return groups;
}

export function toneOf(action: string): "good" | "bad" | "accent" | undefined {
  if (/(deleted|removed|revoked|failed|blocked|rejected)$/.test(action)) return "bad";
  if (/(created|registered|installed|restored|uploaded|completed)$/.test(action)) return "good";
  if (/(login|logout|refreshed)$/.test(action)) return undefined;
  return "accent";
}
