import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Ban, Check, Plus, RotateCcw, ShieldCheck, Trash2, UserRound, UsersRound } from "lucide-react";
import { useState } from "react";
import { api } from "../api/client";
import { usePaged } from "../api/paged";
import type { components } from "../api/schema";
import { useMay, useSession } from "../api/session";
import { t } from "../text";
import { initials } from "../text/format";
import { Badge, Empty, PageHead, Panel, When } from "../ui/bits";
import { Button } from "../ui/button";
import { AskByName, FormDialog } from "../ui/dialog";
import { Choice, TextField } from "../ui/field";
import { List } from "../ui/list";
import { ActMenu } from "../ui/menu";
import { tell, tellProblem } from "../ui/toast";
import { PersonOnly } from "./operator-only";

type User = components["schemas"]["UserOut"];
type State = User["state"];
const TONE = { active: "good", blocked: "warn", deleted: "bad" } as const;

export default function Users() {
  const { me } = useSession();
  const queries = useQueryClient();
  const [state, setState] = useState<State | "">("");
  const [adding, setAdding] = useState(false);
  const [act, setAct] = useState<{ kind: "roles" | "delete" | "rename"; user: User } | null>(null);
  const [mayCreate, mayUpdate, mayDelete, mayAssign] = [
    useMay("users.create"),
    useMay("users.update"),
    useMay("users.delete"),
    useMay("roles.assign"),
  ];
  const list = usePaged<User>(
    ["users", state],
    (cursor, signal) => api.get("/api/v1/users", { query: { limit: 50, cursor, state: state || undefined }, signal }),
    { enabled: me !== null },
  );
  if (!me) return <PersonOnly title={t.users.title} />;
  const refresh = () => void queries.invalidateQueries({ queryKey: ["users"] });
  const run = async (verb: "block" | "unblock" | "restore", user: User) => {
    try {
      await api.post(`/api/v1/users/{id}/${verb}`, { path: { id: user.id } });
      tell(t.users.done[verb](user.name));
      refresh();
    } catch (error) {
      tellProblem(error);
    }
  };
  const acts = (user: User) => {
    const gone = user.state === "deleted";
    return [
      [
        ...(mayUpdate && !gone ? [{ label: t.users.rename, icon: <UserRound size={15} />, run: () => setAct({ kind: "rename", user }) }] : []),
        ...(mayAssign && !gone ? [{ label: t.users.roles, icon: <ShieldCheck size={15} />, run: () => setAct({ kind: "roles", user }) }] : []),
        ...(mayUpdate && user.state === "active" ? [{ label: t.users.block, icon: <Ban size={15} />, run: () => void run("block", user) }] : []),
        ...(mayUpdate && user.state === "blocked" ? [{ label: t.users.unblock, icon: <Check size={15} />, run: () => void run("unblock", user) }] : []),
        ...(mayDelete && gone ? [{ label: t.users.restore, icon: <RotateCcw size={15} />, run: () => void run("restore", user) }] : []),
      ],
      mayDelete && !gone ? [{ label: t.users.delete, icon: <Trash2 size={15} />, tone: "bad" as const, run: () => setAct({ kind: "delete", user }) }] : [],
    ];
  };
  return (
    <>
      <PageHead title={t.users.title} about={t.users.about(me.tenant.name)}>
        {mayCreate && (
          <Button kind="primary" onClick={() => setAdding(true)}>
            <Plus size={16} />
            {t.users.add}
          </Button>
        )}
      </PageHead>
      <div className="filters">
        <Choice label={t.users.state} value={state} onChange={(event) => setState(event.target.value as State | "")}>
          <option value="">{t.users.all}</option>
          <option value="active">{t.users.states.active}</option>
          <option value="blocked">{t.users.states.blocked}</option>
          <option value="deleted">{t.users.states.deleted}</option>
        </Choice>
      </div>
      <Panel flush>
        <List
          label={t.users.title}
          list={list}
          keyOf={(row) => row.id}
          columns={[
            {
              id: "name",
              title: t.users.name,
              cell: (row) => (
                <span className="row" style={{ flexWrap: "nowrap" }}>
                  <span className="avatar" data-size="small" aria-hidden="true">
                    {initials(row.name)}
                  </span>
                  <span>
                    <strong>{row.name}</strong> {row.id === me.user?.id && <Badge tone="accent">{t.users.you}</Badge>}
                    <span className="small muted" style={{ display: "block" }}>
                      {row.email}
                    </span>
                  </span>
                </span>
              ),
            },
            {
              id: "roles",
              title: t.users.roles,
              cell: (row) => (
                <span className="row" style={{ gap: 4 }}>
                  {row.roles.map((role) => (
                    <Badge key={role.id}>{role.name}</Badge>
                  ))}
                </span>
              ),
            },
            { id: "state", title: t.users.state, cell: (row) => <Badge tone={TONE[row.state]}>{t.users.states[row.state]}</Badge> },
            {
              id: "verified",
              title: t.users.verified,
              cell: (row) => (row.emailVerified ? <span className="good">{t.ui.yes}</span> : <span className="muted">{t.ui.no}</span>),
            },
            { id: "since", title: t.users.since, cell: (row) => <When at={row.createdAt} /> },
            { id: "acts", title: "", cell: (row) => <ActMenu label={t.sandboxes.actsOf(row.name)} groups={acts(row)} /> },
          ]}
          empty={
            <Empty icon={<UsersRound size={28} />} title={t.users.none}>
              {t.users.noneHint}
            </Empty>
          }
        />
      </Panel>
      <Add open={adding} onClose={() => setAdding(false)} onDone={refresh} />
      {act?.kind === "roles" && <Roles user={act.user} onClose={() => setAct(null)} onDone={refresh} />}
      {act?.kind === "rename" && <Rename user={act.user} onClose={() => setAct(null)} onDone={refresh} />}
      {act?.kind === "delete" && (
        <AskByName
          open
          onClose={() => setAct(null)}
          name={act.user.email}
          title={t.users.deleteTitle(act.user.name)}
          consequence={t.users.deleteAbout}
          action={t.users.delete}
          submit={() => api.delete("/api/v1/users/{id}", { path: { id: act.user.id }, version: act.user.version })}
          onDone={() => {
            tell(t.users.deleted(act.user.name));
            refresh();
          }}
        />
      )}
    </>
  );
}

function Add({ open, onClose, onDone }: { open: boolean; onClose: () => void; onDone: () => void }) {
  const [user, setUser] = useState({ name: "", email: "", password: "" });
  const set = (field: keyof typeof user) => (event: { target: { value: string } }) => setUser({ ...user, [field]: event.target.value });
  return (
    <FormDialog
      open={open}
      onClose={onClose}
      title={t.users.add}
      about={t.users.addAbout}
      action={t.users.addAct}
      ready={Boolean(user.name && user.email && user.password)}
      submit={() => api.post("/api/v1/users", { body: user })}
      onDone={(made) => {
        tell(t.users.added(made.name));
        setUser({ name: "", email: "", password: "" });
        onDone();
      }}
    >
      {(fault) => (
        <>
          <TextField label={t.users.name} value={user.name} onChange={set("name")} fault={fault("/name")} autoFocus />
          <TextField label={t.signIn.email} type="email" value={user.email} onChange={set("email")} fault={fault("/email")} />
          <TextField
            label={t.signIn.password}
            type="password"
            autoComplete="new-password"
            hint={t.account.passwordRule}
            value={user.password}
            onChange={set("password")}
            fault={fault("/password")}
          />
        </>
      )}
    </FormDialog>
  );
}

function Rename({ user, onClose, onDone }: { user: User; onClose: () => void; onDone: () => void }) {
  const [name, setName] = useState(user.name);
  return (
    <FormDialog
      open
      onClose={onClose}
      title={t.users.renameTitle(user.name)}
      action={t.sandboxes.save}
      ready={name.trim().length > 0 && name !== user.name}
      submit={() => api.patch("/api/v1/users/{id}", { path: { id: user.id }, body: { name }, version: user.version })}
      onDone={() => {
        tell(t.users.renamed(name));
        onDone();
      }}
    >
      {(fault) => <TextField label={t.users.name} value={name} onChange={(event) => setName(event.target.value)} fault={fault("/name")} autoFocus />}
    </FormDialog>
  );
}

function Roles({ user, onClose, onDone }: { user: User; onClose: () => void; onDone: () => void }) {
  const [held, setHeld] = useState(() => new Set(user.roles.map((role) => role.id)));
  const roles = useQuery({ queryKey: ["roles"], queryFn: ({ signal }) => api.get("/api/v1/roles", { query: { limit: 100 }, signal }) });
  return (
    <FormDialog
      open
      onClose={onClose}
      title={t.users.rolesTitle(user.name)}
      about={t.users.rolesAbout}
      action={t.sandboxes.save}
      ready={held.size > 0}
      submit={() => api.post("/api/v1/users/{id}/roles", { path: { id: user.id }, body: { roleIds: [...held] } })}
      onDone={() => {
        tell(t.users.rolesSet(user.name));
        onDone();
      }}
    >
      <div className="stack-tight">
        {(roles.data?.data ?? []).map((role) => (
          <label key={role.id} className="check">
            <input
              type="checkbox"
              checked={held.has(role.id)}
              onChange={(event) => {
                const next = new Set(held);
                if (event.target.checked) next.add(role.id);
                else next.delete(role.id);
                setHeld(next);
              }}
            />
            <span>
              {role.name} <span className="small muted">{role.description}</span>
            </span>
          </label>
        ))}
      </div>
    </FormDialog>
  );
}
