import { Check, FileCode2, FolderOpen, TriangleAlert } from "lucide-react";
import { type DragEvent, useRef, useState } from "react";
import { type Answer, Problem, api } from "../../api/client";
import { useSession } from "../../api/session";
import { t } from "../../text";
import { Badge, Empty, Pairs, Panel } from "../../ui/bits";
import { Button } from "../../ui/button";
import { ProblemNote } from "../../ui/problem";
import { tell } from "../../ui/toast";
import { type Bundle, bundleOf, excerpt, placeOf } from "./bundle";

type Plan = Answer<"/api/v1/modules/validate", "post">;

/** The files of a dropped folder, whatever its depth. */
async function filesOf(items: DataTransferItemList): Promise<File[]> {
  const found: File[] = [];
  const walk = async (entry: FileSystemEntry): Promise<void> => {
    if (entry.isFile) {
      found.push(await new Promise<File>((resolve, reject) => (entry as FileSystemFileEntry).file(resolve, reject)));
      return;
    }
    if (entry.name === "node_modules" || entry.name === "target" || entry.name.startsWith(".")) return;
    const reader = (entry as FileSystemDirectoryEntry).createReader();
    for (;;) {
      const entries = await new Promise<FileSystemEntry[]>((resolve, reject) => reader.readEntries(resolve, reject));
      if (entries.length === 0) return;
      for (const one of entries) await walk(one);
    }
  };
  for (const entry of [...items].map((item) => item.webkitGetAsEntry())) if (entry) await walk(entry);
  return found;
}

/** Where an author tries a module, sees each of his own faults at its line, and registers it. */
export function Workbench({ onDone }: { onDone: () => void }) {
  const { facts } = useSession();
  const as = facts?.operator ? "operator" : "user";
  const picker = useRef<HTMLInputElement>(null);
  const [bundle, setBundle] = useState<Bundle | null>(null);
  const [plan, setPlan] = useState<Plan | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [busy, setBusy] = useState<"read" | "try" | "register" | null>(null);
  const [over, setOver] = useState(false);

  const attempt = async (next: Bundle) => {
    setBusy("try");
    setPlan(null);
    setError(null);
    try {
      setPlan(await api.post("/api/v1/modules/validate", { as, body: next as never }));
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(null);
    }
  };
  const take = async (files: Iterable<File>) => {
    setBusy("read");
    setError(null);
    setPlan(null);
    try {
      const next = await bundleOf(files);
      setBundle(next);
      await attempt(next);
    } catch (problem) {
      setBundle(null);
      setError(problem);
      setBusy(null);
    }
  };
  const register = async () => {
    if (!bundle || !plan) return;
    setBusy("register");
    setError(null);
    try {
      const made =
        plan.action === "update"
          ? await api.patch("/api/v1/modules/{id}", { as, path: { id: plan.slug }, body: bundle as never })
          : await api.post("/api/v1/modules", { as, body: bundle as never });
      tell(t.modules.registeredNow(made.name, made.version), t.modules.registeredHint);
      setBundle(null);
      setPlan(null);
      onDone();
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(null);
    }
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    setOver(false);
    void filesOf(event.dataTransfer.items).then(take);
  };
  return (
    <div className="stack">
      <div
        className="panel drop"
        data-over={over || undefined}
        onDragOver={(event) => {
          event.preventDefault();
          setOver(true);
        }}
        onDragLeave={() => setOver(false)}
        onDrop={drop}
      >
        <Empty
          icon={<FolderOpen size={28} />}
          title={bundle ? `${bundle.manifest.name ?? ""} ${bundle.manifest.version ?? ""}` : t.modules.drop}
          actions={
            <>
              <Button kind={bundle ? "plain" : "primary"} onClick={() => picker.current?.click()} busy={busy === "read"}>
                {bundle ? t.modules.another : t.modules.choose}
              </Button>
              {bundle && (
                <Button onClick={() => void attempt(bundle)} busy={busy === "try"}>
                  {t.modules.tryAgain}
                </Button>
              )}
            </>
          }
        >
          {bundle ? t.modules.files(bundle.migrations.length) : t.modules.dropHint}
        </Empty>
        <input
          ref={picker}
          type="file"
          multiple
          hidden
          {...{ webkitdirectory: "" }}
          onChange={(event) => {
            void take([...(event.target.files ?? [])]);
            event.target.value = "";
          }}
        />
      </div>
      {error !== null && <Faults error={error} bundle={bundle} />}
      {plan && (
        <Panel
          title={
            <span className="row">
              <Check size={17} className="good" aria-hidden="true" />
              {t.modules.planOf(plan.name, plan.version)}
            </span>
          }
          about={t.modules.planActions[plan.action as keyof typeof t.modules.planActions] ?? plan.action}
          side={
            <Button kind="primary" onClick={() => void register()} busy={busy === "register"} disabled={plan.action === "nothing"}>
              {plan.action === "update" ? t.modules.update : t.modules.register}
            </Button>
          }
        >
          <div className="stack">
            <Pairs
              of={[
                [t.modules.migrations, <Migrations key="m" plan={plan} />],
                [t.modules.permissions, t.account.count(plan.permissions.length)],
                [t.modules.routes, plan.routes.length > 0 ? plan.routes.join(", ") : null],
                [t.modules.publishes, plan.publishes.join(", ")],
              ]}
            />
            <div className="halves">
              {plan.tables.map((table) => (
                <section key={table.name} className="table-card">
                  <h3>
                    <code>{table.name}</code>
                  </h3>
                  <ul className="small">
                    {table.columns.map((column) => (
                      <li key={column.name} className="row-apart">
                        <code>{column.name}</code>
                        <span className="muted">
                          {column.type}
                          {column.nullable ? "" : " *"}
                        </span>
                      </li>
                    ))}
                  </ul>
                </section>
              ))}
            </div>
          </div>
        </Panel>
      )}
    </div>
  );
}

function Migrations({ plan }: { plan: Plan }) {
  return (
    <ul className="small">
      {plan.migrations.map((migration) => (
        <li key={migration.file} className="row">
          <code>{migration.file}</code>
          <Badge tone={migration.runs ? "accent" : undefined}>{migration.runs ? t.modules.runs(migration.statements) : t.modules.ran}</Badge>
        </li>
      ))}
    </ul>
  );
}

/** Each fault with the words of whoever found it; those in SQL at their line of the file. */
function Faults({ error, bundle }: { error: unknown; bundle: Bundle | null }) {
  if (!(error instanceof Problem)) return <ProblemNote error={error} />;
  const faults = error.errors.length > 0 ? error.errors : [{ field: "", message: error.message, code: "" }];
  return (
    <Panel
      title={
        <span className="row">
          <TriangleAlert size={17} className="bad" aria-hidden="true" />
          {t.modules.refused(faults.length)}
        </span>
      }
      about={error.errors.length > 0 ? error.message : undefined}
      flush
    >
      <ol className="tries">
        {faults.map((fault, index) => {
          const place = fault.file && fault.line ? { file: fault.file, line: fault.line } : placeOf(`${fault.field} ${fault.message}`);
          const sql = place ? bundle?.migrations.find((migration) => migration.file === place.file)?.sql : undefined;
          return (
            <li key={index} className="stack">
              <div className="row">
                <FileCode2 size={15} aria-hidden="true" className="muted" />
                <code className="small">{place ? `${place.file}:${place.line}` : fault.field || t.modules.whole}</code>
              </div>
              <p>{fault.message}</p>
              {sql && place && (
                <pre className="code lines" tabIndex={0}>
                  {excerpt(sql, place.line).map((line) => (
                    <span key={line.number} data-hit={line.hit || undefined}>
                      <i>{line.number}</i>
                      {`${line.text}\n`}
                    </span>
                  ))}
                </pre>
              )}
            </li>
          );
        })}
      </ol>
    </Panel>
  );
}
