import { useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Boxes, Camera, Clock3, Copy as CopyIcon, ExternalLink, Hourglass, Plus, RotateCcw, Send, Sprout, Trash2 } from "lucide-react";
import { useState } from "react";
import { api } from "../../api/client";
import { usePaged } from "../../api/paged";
import type { components } from "../../api/schema";
import { bracing, survive, useSession } from "../../api/session";
import { hueOf } from "../../app/hue";
import { t } from "../../text";
import { Badge, Empty, PageHead, Panel, type Tone, When } from "../../ui/bits";
import { Button } from "../../ui/button";
import { AskByName, FormDialog } from "../../ui/dialog";
import { SelectField, TextField } from "../../ui/field";
import { List } from "../../ui/list";
import { ActMenu } from "../../ui/menu";
import { tell, tellProblem } from "../../ui/toast";
import { OperatorOnly } from "../operator-only";
import { AdvanceDialog } from "./clock";
import { SandboxDrawer } from "./drawer";
import { SeedDialog } from "./seed";

export type Sandbox = components["schemas"]["SandboxOut"];

const route = getRouteApi("/sandboxes");
const STATE: Record<string, Tone> = { ready: "good", failed: "bad", changing: "warn", creating: "warn", deleting: "bad" };

export type Verb = "fork" | "reset" | "delete" | "expire" | "clock" | "snapshot" | "outbound" | "seed";

/** Opens another sandbox signed in as the operator: its host gets a cookie of its own by a single-use link. */
export async function visit(sandbox: Sandbox): Promise<void> {
  const page = window.open("about:blank", "_blank");
  try {
    const { url } = await api.post("/api/v1/operator/links", { as: "operator" });
    const token = new URL(url).search;
    const target = `${sandbox.url}/open${token}`;
    if (page) page.location.href = target;
    else location.href = target;
  } catch (error) {
    page?.close();
    tellProblem(error);
  }
}

export default function Sandboxes() {
  const { facts } = useSession();
  const { open } = route.useSearch();
  const navigate = route.useNavigate();
  const queries = useQueryClient();
  const [creating, setCreating] = useState(false);
  const [act, setAct] = useState<{ verb: Verb; on: Sandbox } | null>(null);
  const operator = facts?.operator ?? false;
  const list = usePaged<Sandbox>(
    ["sandboxes"],
    (cursor, signal) => api.get("/api/v1/sandboxes", { as: "operator", query: { limit: 50, cursor }, signal }),
    { enabled: operator, refetchInterval: 4_000 },
  );
  if (!operator) return <OperatorOnly title={t.sandboxes.title} />;
  const refresh = () => void queries.invalidateQueries({ queryKey: ["sandboxes"] });
  const shown = list.rows.find((row) => row.name === open);
  return (
    <>
      <PageHead title={t.sandboxes.title} about={t.sandboxes.about}>
        <Button kind="primary" onClick={() => setCreating(true)}>
          <Plus size={16} />
          {t.sandboxes.create}
        </Button>
      </PageHead>
      <Panel flush>
        <List
          label={t.sandboxes.title}
          list={list}
          keyOf={(row) => row.name}
          onOpen={(row) => void navigate({ search: { open: row.name } })}
          empty={
            <Empty icon={<Boxes size={28} />} title={t.sandboxes.none}>
              {t.sandboxes.noneHint}
            </Empty>
          }
          columns={[
            {
              id: "name",
              title: t.sandboxes.name,
              cell: (row) => (
                <span className="row">
                  <span className="plate" style={{ "--plate-hue": hueOf(row.name) } as React.CSSProperties}>
                    {row.name}
                  </span>
                  {row.name === facts?.sandbox && <Badge tone="accent">{t.sandboxes.here}</Badge>}
                </span>
              ),
            },
            {
              id: "state",
              title: t.sandboxes.state,
              cell: (row) => (
                <Badge tone={STATE[row.state]}>
                  {row.state === "ready" ? (row.awake ? t.sandboxes.awake : t.sandboxes.asleep) : t.sandboxes.states(row.state)}
                </Badge>
              ),
            },
            {
              id: "from",
              title: t.sandboxes.from,
              cell: (row) => (row.source ? t.sandboxes.forkOf(row.source) : row.template),
            },
            { id: "made", title: t.sandboxes.made, cell: (row) => <When at={row.createdAt} real /> },
            {
              id: "expires",
              title: t.sandboxes.expires,
              cell: (row) =>
                row.expiresAt ? <When at={row.expiresAt} real /> : <span className="muted">{t.sandboxes.never}</span>,
            },
            {
              id: "acts",
              title: "",
              cell: (row) => <Acts row={row} run={(verb) => setAct({ verb, on: row })} />,
            },
          ]}
        />
      </Panel>
      <Create open={creating} onClose={() => setCreating(false)} onDone={refresh} />
      {act && <Perform key={act.verb + act.on.name} {...act} onClose={() => setAct(null)} onDone={refresh} />}
      <SandboxDrawer
        sandbox={shown}
        onClose={() => void navigate({ search: {} })}
        run={(verb) => shown && setAct({ verb, on: shown })}
      />
    </>
  );
}

function Acts({ row, run }: { row: Sandbox; run: (verb: Verb) => void }) {
  return (
    <ActMenu
      label={t.sandboxes.actsOf(row.name)}
      groups={[
        [
          { label: t.sandboxes.visit, icon: <ExternalLink size={15} />, run: () => void visit(row) },
          { label: t.sandboxes.fork, icon: <CopyIcon size={15} />, run: () => run("fork") },
          { label: t.sandboxes.snapshot, icon: <Camera size={15} />, run: () => run("snapshot") },
        ],
        [
          { label: t.sandboxes.clock, icon: <Clock3 size={15} />, run: () => run("clock") },
          { label: t.sandboxes.expire, icon: <Hourglass size={15} />, run: () => run("expire"), disabled: row.name === "default" },
          { label: t.sandboxes.seed, icon: <Sprout size={15} />, run: () => run("seed") },
          { label: t.sandboxes.outbound, icon: <Send size={15} />, run: () => run("outbound") },
        ],
        [
          { label: t.sandboxes.reset, icon: <RotateCcw size={15} />, run: () => run("reset"), tone: "bad" },
          { label: t.sandboxes.delete, icon: <Trash2 size={15} />, run: () => run("delete"), tone: "bad" },
        ],
      ]}
    />
  );
}

const LIVES: [string, number | null][] = [
  [t.sandboxes.lives.never, null],
  [t.sandboxes.lives.hour, 3_600],
  [t.sandboxes.lives.day, 86_400],
  [t.sandboxes.lives.week, 604_800],
];

function Life({ value, onChange }: { value: number | null; onChange: (seconds: number | null) => void }) {
  return (
    <SelectField
      label={t.sandboxes.life}
      value={value ?? ""}
      onChange={(event) => onChange(event.target.value ? Number(event.target.value) : null)}
    >
      {LIVES.map(([label, seconds]) => (
        <option key={label} value={seconds ?? ""}>
          {label}
        </option>
      ))}
    </SelectField>
  );
}

function NameField({ value, onChange, fault }: { value: string; onChange: (name: string) => void; fault?: string | undefined }) {
  return (
    <TextField
      label={t.sandboxes.name}
      hint={t.sandboxes.nameHint}
      fault={fault}
      value={value}
      onChange={(event) => onChange(event.target.value.toLowerCase())}
      spellCheck={false}
      maxLength={40}
      autoFocus
    />
  );
}

function Create({ open, onClose, onDone }: { open: boolean; onClose: () => void; onDone: () => void }) {
  const [name, setName] = useState("");
  const [template, setTemplate] = useState("demo");
  const [life, setLife] = useState<number | null>(null);
  return (
    <FormDialog
      open={open}
      onClose={onClose}
      title={t.sandboxes.create}
      about={t.sandboxes.createAbout}
      action={t.sandboxes.createAct}
      ready={name.length > 0}
      submit={() =>
        api.post("/api/v1/sandboxes", { as: "operator", body: { name, template, expiresInSeconds: life ?? undefined } })
      }
      onDone={(made) => {
        tell(t.sandboxes.created(made.name), made.url);
        setName("");
        onDone();
      }}
    >
      {(fault) => (
        <>
          <NameField value={name} onChange={setName} fault={fault("/name")} />
          <SelectField
            label={t.sandboxes.template}
            fault={fault("/template")}
            value={template}
            onChange={(event) => setTemplate(event.target.value)}
          >
            <option value="demo">{t.sandboxes.templates.demo}</option>
            <option value="empty">{t.sandboxes.templates.empty}</option>
          </SelectField>
          <Life value={life} onChange={setLife} />
        </>
      )}
    </FormDialog>
  );
}

function Perform({ verb, on, onClose, onDone }: { verb: Verb; on: Sandbox; onClose: () => void; onDone: () => void }) {
  const here = useSession().facts?.sandbox === on.name;
  const queries = useQueryClient();
  const [name, setName] = useState(verb === "snapshot" ? "" : `${on.name}-copy`.replace(/^default-/, ""));
  const [life, setLife] = useState<number | null>(86_400);
  const at = { as: "operator", path: { name: on.name } } as const;
  const done = (text: string, about?: string) => {
    tell(text, about);
    onDone();
  };
  if (verb === "seed") return <SeedDialog sandbox={on.name} onClose={onClose} />;
  if (verb === "clock") return <AdvanceDialog sandbox={on.name} open onClose={onClose} />;
  if (verb === "fork") {
    return (
      <FormDialog
        open
        onClose={onClose}
        title={t.sandboxes.forkTitle(on.name)}
        about={t.sandboxes.forkAbout}
        action={t.sandboxes.forkAct}
        ready={name.length > 0}
        submit={() => api.post("/api/v1/sandboxes/{name}/fork", { ...at, body: { name, expiresInSeconds: life ?? undefined } })}
        onDone={(made) => done(t.sandboxes.created(made.name), made.url)}
      >
        {(fault) => (
          <>
            <NameField value={name} onChange={setName} fault={fault("/name")} />
            <Life value={life} onChange={setLife} />
          </>
        )}
      </FormDialog>
    );
  }
  if (verb === "snapshot") {
    return (
      <FormDialog
        open
        onClose={onClose}
        title={t.sandboxes.snapshotTitle(on.name)}
        about={t.sandboxes.snapshotAbout}
        action={t.sandboxes.snapshotAct}
        ready={name.length > 0}
        submit={() => api.post("/api/v1/sandboxes/{name}/snapshots", { ...at, body: { label: name } })}
        onDone={() => {
          done(t.sandboxes.snapshotDone(name), t.sandboxes.snapshotWhere);
          void queries.invalidateQueries({ queryKey: ["snapshots", on.name] });
        }}
      >
        {(fault) => (
          <TextField
            label={t.sandboxes.label}
            hint={t.sandboxes.labelHint}
            fault={fault("/label")}
            value={name}
            onChange={(event) => setName(event.target.value)}
            autoFocus
          />
        )}
      </FormDialog>
    );
  }
  if (verb === "expire") {
    return (
      <FormDialog
        open
        onClose={onClose}
        title={t.sandboxes.expireTitle(on.name)}
        about={t.sandboxes.expireAbout}
        action={t.sandboxes.expireAct}
        submit={() => api.post("/api/v1/sandboxes/{name}/expire", { ...at, body: { expiresInSeconds: life } })}
        onDone={() => done(t.sandboxes.expireDone(on.name))}
      >
        <Life value={life} onChange={setLife} />
      </FormDialog>
    );
  }
  if (verb === "outbound") {
    return (
      <FormDialog
        open
        onClose={onClose}
        title={t.sandboxes.outboundTitle(on.name)}
        about={t.sandboxes.outboundAbout}
        action={t.sandboxes.save}
        submit={() => api.post("/api/v1/sandboxes/{name}/allow-outbound", { ...at, body: { allowed: name === "yes" } })}
        onDone={() => done(t.sandboxes.outboundDone(on.name, name === "yes"))}
      >
        <SelectField label={t.sandboxes.outboundChoice} value={name === "yes" ? "yes" : "no"} onChange={(event) => setName(event.target.value)}>
          <option value="no">{t.sandboxes.outboundNo}</option>
          <option value="yes">{t.sandboxes.outboundYes}</option>
        </SelectField>
      </FormDialog>
    );
  }
  const reset = verb === "reset";
  return (
    <AskByName
      open
      onClose={onClose}
      name={on.name}
      title={reset ? t.sandboxes.resetTitle(on.name) : t.sandboxes.deleteTitle(on.name)}
      consequence={reset ? t.sandboxes.resetAbout(on.source ?? on.template) : t.sandboxes.deleteAbout}
      action={reset ? t.sandboxes.resetAct : t.sandboxes.deleteAct}
      submit={() => {
        if (!reset) return api.delete("/api/v1/sandboxes/{name}", at);
        const again = () => api.post("/api/v1/sandboxes/{name}/reset", at);
        return here ? bracing(t.sandboxes.resetEnded, again) : again();
      }}
      onDone={() => {
        done(reset ? t.sandboxes.resetDone(on.name) : t.sandboxes.deleteDone(on.name));
        if (here && reset) void survive(t.sandboxes.resetEnded).then(() => queries.invalidateQueries());
      }}
    />
  );
}
