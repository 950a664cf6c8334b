import { useQueryClient } from "@tanstack/react-query";
import { type FormEvent, useState } from "react";
import { api } from "../api/client";
import { usePaged } from "../api/paged";
import type { components } from "../api/schema";
import { signOut, useSession } from "../api/session";
import { t } from "../text";
import { Badge, Empty, PageHead, Pairs, Panel, When } from "../ui/bits";
import { Button } from "../ui/button";
import { TextField } from "../ui/field";
import { useWork } from "../ui/form";
import { List } from "../ui/list";
import { Refusal } from "../ui/problem";
import { tell, tellProblem } from "../ui/toast";
import { PersonOnly } from "./operator-only";

type Open = components["schemas"]["SessionOut"];

export default function Account() {
  const { me } = useSession();
  const queries = useQueryClient();
  const list = usePaged<Open>(
    ["sessions"],
    (cursor, signal) => api.get("/api/v1/auth/sessions", { query: { limit: 20, cursor }, signal }),
    { enabled: me !== null },
  );
  if (!me) return <PersonOnly title={t.account.title} />;
  const end = async (session: Open) => {
    try {
      if (session.current) return await signOut();
      await api.delete("/api/v1/auth/sessions/{id}", { path: { id: session.id } });
      tell(t.account.ended);
      await queries.invalidateQueries({ queryKey: ["sessions"] });
    } catch (error) {
      tellProblem(error);
    }
  };
  return (
    <>
      <PageHead title={me.user?.name ?? t.account.title} about={me.user?.email} />
      <div className="halves">
        <Panel title={t.account.who}>
          <Pairs
            of={[
              [t.account.tenant, `${me.tenant.name} (${me.tenant.kind})`],
              [t.users.roles, me.roles.join(", ")],
              [t.users.verified, me.flags.emailVerified ? t.ui.yes : t.ui.no],
              [
                t.account.permissions,
                me.permissions.includes("*") ? t.account.everything : <Permissions key="p" all={me.permissions} />,
              ],
            ]}
          />
        </Panel>
        <Password />
      </div>
      <Panel title={t.account.sessions} about={t.account.sessionsAbout} flush>
        <List
          label={t.account.sessions}
          list={list}
          keyOf={(row) => row.id}
          columns={[
            {
              id: "device",
              title: t.account.device,
              cell: (row) => (
                <span className="row">
                  <span className="clip" style={{ maxWidth: "22rem" }}>
                    {browser(row.device)}
                  </span>
                  {row.current && <Badge tone="accent">{t.account.current}</Badge>}
                </span>
              ),
            },
            { id: "address", title: t.audit.address, cell: (row) => <code className="small">{row.address}</code> },
            { id: "created", title: t.account.since, cell: (row) => <When at={row.createdAt} /> },
            { id: "used", title: t.account.used, cell: (row) => <When at={row.lastUsedAt} /> },
            {
              id: "end",
              title: "",
              cell: (row) => (
                <Button size="small" onClick={() => void end(row)}>
                  {row.current ? t.shell.signOut : t.account.end}
                </Button>
              ),
            },
          ]}
          empty={<Empty title={t.account.noSessions} />}
        />
      </Panel>
    </>
  );
}

function Permissions({ all }: { all: string[] }) {
  return (
    <details>
      <summary>{t.account.count(all.length)}</summary>
      <ul className="small mono">
        {all.map((one) => (
          <li key={one}>{one}</li>
        ))}
      </ul>
    </details>
  );
}

/** What a browser calls itself, said shortly. */
export function browser(agent: string | null | undefined): string {
  if (!agent) return t.account.unknown;
  const name = /(Edg|Firefox|Chrome|Safari|curl)\/(\d+)/.exec(agent.replace(/HeadlessChrome/, "Chrome"));
  const system = /(Windows|Mac OS X|Android|iPhone|Linux)/.exec(agent);
  if (!name) return agent;
  return [name[1] === "Edg" ? "Edge" : name[1], name[2], system ? `\u00b7 ${system[1]}` : ""].join(" ").trim();
}

function Password() {
  const [texts, setTexts] = useState({ currentPassword: "", newPassword: "" });
  const work = useWork();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void work.run(async () => {
      await api.post("/api/v1/auth/change-password", { body: texts });
      setTexts({ currentPassword: "", newPassword: "" });
      tell(t.account.changed, t.account.changedHint);
    });
  };
  return (
    <Panel title={t.account.password}>
      <form className="stack" onSubmit={submit}>
        <TextField
          label={t.account.oldPassword}
          type="password"
          autoComplete="current-password"
          value={texts.currentPassword}
          onChange={(event) => setTexts({ ...texts, currentPassword: event.target.value })}
          fault={work.fault("/currentPassword")}
        />
        <TextField
          label={t.account.newPassword}
          type="password"
          autoComplete="new-password"
          hint={t.account.passwordRule}
          value={texts.newPassword}
          onChange={(event) => setTexts({ ...texts, newPassword: event.target.value })}
          fault={work.fault("/newPassword")}
        />
        <Refusal of={work} />
        <div>
          <Button type="submit" kind="primary" busy={work.busy} disabled={!texts.currentPassword || !texts.newPassword}>
            {t.account.change}
          </Button>
        </div>
      </form>
    </Panel>
  );
}
