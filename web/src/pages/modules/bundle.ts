/** A module as its author has it on disk: a manifest and SQL files. */
export interface Bundle {
  manifest: { name?: string; version?: string } & Record<string, unknown>;
  migrations: { file: string; sql: string }[];
}

export class NoModule extends Error {}

/** Reads a folder, or the files of one. Paths are cut to the names that the kernel knows migrations by. */
export async function bundleOf(files: Iterable<{ name: string; text(): Promise<string> }>): Promise<Bundle> {
  let manifest: Bundle["manifest"] | null = null;
  const migrations: Bundle["migrations"] = [];
  for (const file of files) {
    if (file.name === "module.manifest.json") {
      try {
        manifest = JSON.parse(await file.text()) as Bundle["manifest"];
      } catch (error) {
        throw new NoModule(`module.manifest.json: ${(error as Error).message}`);
      }
    } else if (file.name.endsWith(".sql")) migrations.push({ file: file.name, sql: await file.text() });
  }
  if (!manifest) throw new NoModule("module.manifest.json is not among the files.");
  migrations.sort((a, b) => (a.file < b.file ? -1 : 1));
  return { manifest, migrations };
}

/** A fault at a place of a file: `00002_contacts.sql:14: …`. */
export interface Place {
  file: string;
  line: number;
}

/** Where a problem's field or words point to; null when to no file. */
export function placeOf(text: string): Place | null {
  const match = /([\w.-]+\.sql)(?:\D{1,12})?:?\s*(?:line\s*)?(\d+)/i.exec(text);
  return match ? { file: match[1] ?? "", line: Number(match[2]) } : null;
}

/** Some lines around a place, with their numbers. */
export function excerpt(sql: string, line: number, around = 3): { number: number; text: string; hit: boolean }[] {
  const lines = sql.split("\n");
  const from = Math.max(1, line - around);
  const to = Math.min(lines.length, line + around);
  return Array.from({ length: Math.max(0, to - from + 1) }, (_, index) => ({
    number: from + index,
    text: lines[from + index - 1] ?? "",
    hit: from + index === line,
  }));
}
