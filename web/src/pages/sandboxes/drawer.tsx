import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Camera, Clock3, Copy as CopyIcon, ExternalLink, History, Trash2 } from "lucide-react";
import { useState } from "react";
import { api } from "../../api/client";
import { bracing, survive, useSession } from "../../api/session";
import { t } from "../../text";
import { full } from "../../text/format";
import { Badge, Empty, Pairs, Skeleton, When } from "../../ui/bits";
import { Button } from "../../ui/button";
import { Copy } from "../../ui/copy";
import { AskByName, Drawer } from "../../ui/dialog";
import { ActMenu } from "../../ui/menu";
import { ProblemNote } from "../../ui/problem";
import { tell } from "../../ui/toast";
import { type Sandbox, type Verb, visit } from "./index";

/** One sandbox: where it is, its clock, its snapshots. */
export function SandboxDrawer({
  sandbox,
  onClose,
  run,
}: {
  sandbox: Sandbox | undefined;
  onClose: () => void;
  run: (verb: Verb) => void;
}) {
  return (
    <Drawer open={sandbox !== undefined} onClose={onClose} title={sandbox?.name ?? ""} about={sandbox?.url}>
      {sandbox && (
        <>
          <div className="row">
            <Button kind="primary" onClick={() => void visit(sandbox)}>
              <ExternalLink size={15} />
              {t.sandboxes.visit}
            </Button>
            <Button onClick={() => run("snapshot")}>
              <Camera size={15} />
              {t.sandboxes.snapshot}
            </Button>
            <Button onClick={() => run("fork")}>
              <CopyIcon size={15} />
              {t.sandboxes.fork}
            </Button>
          </div>
          {sandbox.failure && (
            <div className="problem" role="alert">
              <strong>{t.sandboxes.failed}</strong>
              <span>{sandbox.failure}</span>
            </div>
          )}
          <Pairs
            of={[
              [t.sandboxes.from, sandbox.source ? t.sandboxes.forkOf(sandbox.source) : sandbox.template],
              [t.sandboxes.made, full(sandbox.createdAt)],
              [t.sandboxes.expires, sandbox.expiresAt ? full(sandbox.expiresAt) : t.sandboxes.never],
              [t.sandboxes.generation, String(sandbox.generation)],
              [t.sandboxes.shell, <Copy key="env" text={`eval $(platform-kernel env ${sandbox.name})`} />],
            ]}
          />
          <Time sandbox={sandbox} run={run} />
          <Snapshots sandbox={sandbox} run={run} />
        </>
      )}
    </Drawer>
  );
}

function Time({ sandbox, run }: { sandbox: Sandbox; run: (verb: Verb) => void }) {
  const queries = useQueryClient();
  const query = useQuery({
    queryKey: ["clock", sandbox.name],
    queryFn: ({ signal }) =>
      api.get("/api/v1/sandboxes/{name}/clock", { as: "operator", path: { name: sandbox.name }, signal }),
    refetchInterval: 2_000,
  });
  const [busy, setBusy] = useState(false);
  const set = async (mode: "freeze" | "follow") => {
    setBusy(true);
    try {
      await api.post("/api/v1/sandboxes/{name}/clock", {
        as: "operator",
        path: { name: sandbox.name },
        body: { mode },
      });
      await queries.invalidateQueries({ queryKey: ["clock", sandbox.name] });
    } finally {
      setBusy(false);
    }
  };
  const frozen = query.data?.frozen === true;
  return (
    <section className="stack">
      <div className="row-apart">
        <h3>{t.clock.heading}</h3>
        <div className="row">
          <Button size="small" busy={busy} onClick={() => void set(frozen ? "follow" : "freeze")} disabled={!query.data}>
            {frozen ? t.clock.run : t.clock.freeze}
          </Button>
          <Button size="small" onClick={() => run("clock")}>
            <Clock3 size={14} />
            {t.clock.advance}
          </Button>
        </div>
      </div>
      {query.error ? (
        <ProblemNote error={query.error} />
      ) : query.data ? (
        <p className="row">
          <strong className="tabular">{full(query.data.now)}</strong>
          {frozen && <Badge tone="warn">{t.clock.frozen}</Badge>}
        </p>
      ) : (
        <Skeleton lines={1} />
      )}
    </section>
  );
}

function Snapshots({ sandbox, run }: { sandbox: Sandbox; run: (verb: Verb) => void }) {
  const here = useSession().facts?.sandbox === sandbox.name;
  const queries = useQueryClient();
  const [act, setAct] = useState<{ kind: "restore" | "delete"; label: string } | null>(null);
  const at = { as: "operator", path: { name: sandbox.name } } as const;
  const query = useQuery({
    queryKey: ["snapshots", sandbox.name],
    queryFn: ({ signal }) => api.get("/api/v1/sandboxes/{name}/snapshots", { ...at, signal }),
  });
  const rows = query.data?.data ?? [];
  const restore = (label: string) => api.post("/api/v1/sandboxes/{name}/restore", { ...at, body: { snapshot: label } });
  return (
    <section className="stack">
      <h3>{t.sandboxes.snapshots}</h3>
      {query.error ? (
        <ProblemNote error={query.error} />
      ) : query.isPending ? (
        <Skeleton lines={2} />
      ) : rows.length === 0 ? (
        <div className="panel">
          <Empty
            icon={<History size={24} />}
            title={t.sandboxes.noSnapshots}
            actions={<Button onClick={() => run("snapshot")}>{t.sandboxes.snapshotAct}</Button>}
          >
            {t.sandboxes.noSnapshotsHint}
          </Empty>
        </div>
      ) : (
        <ul className="feed panel">
          {rows.map((row) => (
            <li key={row.label}>
              <Camera size={15} aria-hidden="true" className="muted" />
              <span className="grow">
                <strong>{row.label}</strong>
                <span className="small muted" style={{ display: "block" }}>
                  <When at={row.createdAt} real />
                  {` \u00b7 ${t.clock.shows(full(row.clock))}`}
                </span>
              </span>
              <Button size="small" onClick={() => setAct({ kind: "restore", label: row.label })}>
                {t.sandboxes.restore}
              </Button>
              <ActMenu
                label={t.sandboxes.actsOf(row.label)}
                groups={[
                  [
                    {
                      label: t.sandboxes.deleteSnapshot,
                      icon: <Trash2 size={15} />,
                      tone: "bad",
                      run: () => setAct({ kind: "delete", label: row.label }),
                    },
                  ],
                ]}
              />
            </li>
          ))}
        </ul>
      )}
      {act && (
        <AskByName
          key={act.kind + act.label}
          open
          onClose={() => setAct(null)}
          name={act.kind === "restore" ? sandbox.name : act.label}
          title={act.kind === "restore" ? t.sandboxes.restoreTitle(sandbox.name) : t.sandboxes.deleteSnapshotTitle(act.label)}
          consequence={act.kind === "restore" ? t.sandboxes.restoreAbout(act.label) : t.sandboxes.deleteSnapshotAbout}
          action={act.kind === "restore" ? t.sandboxes.restore : t.sandboxes.deleteSnapshot}
          submit={() =>
            act.kind === "restore"
              ? here
                ? bracing(t.sandboxes.restoreEnded, () => restore(act.label))
                : restore(act.label)
              : api.delete("/api/v1/sandboxes/{name}/snapshots/{label}", {
                  as: "operator",
                  path: { name: sandbox.name, label: act.label },
                })
          }
          onDone={() => {
            tell(act.kind === "restore" ? t.sandboxes.restored(act.label) : t.sandboxes.snapshotGone(act.label));
            if (act.kind === "restore" && here) {
              void survive(t.sandboxes.restoreEnded).then(() => queries.invalidateQueries());
            } else void queries.invalidateQueries();
          }}
        />
      )}
    </section>
  );
}
