import { useQuery } from "@tanstack/react-query";
import { Lock, Mail, MailOpen } from "lucide-react";
import { useState } from "react";
import { type Answer, api } from "../api/client";
import { usePaged } from "../api/paged";
import { useSession } from "../api/session";
import { t } from "../text";
import { full, words } from "../text/format";
import { Badge, Empty, PageHead, Pairs, Panel, Skeleton, type Tone, When } from "../ui/bits";
import { Button } from "../ui/button";
import { SearchField } from "../ui/field";
import { More } from "../ui/list";
import { MailBody } from "../ui/mail";
import { ProblemNote } from "../ui/problem";

type MailOut = Answer<"/api/v1/sandbox/outbox", "get">["data"][number];
const TONE: Record<string, Tone> = { captured: "accent", waiting: "warn", sent: "good", failed: "bad" };

/** What would have been sent: kept here, because nothing leaves a sandbox unless it is allowed to. */
export default function Outbox() {
  const { me, facts } = useSession();
  const [to, setTo] = useState("");
  const [chosen, setChosen] = useState<string | null>(null);
  // The operator sees all mails, also those that belong to no tenant.
  const as = facts?.operator ? "operator" : "user";
  const list = usePaged<MailOut>(
    ["outbox", as, to],
    (cursor, signal) => api.get("/api/v1/sandbox/outbox", { as, query: { limit: 30, cursor, to: to || undefined }, signal }),
    { enabled: facts?.operator || me !== null, refetchInterval: 3_000 },
  );
  const current = list.rows.find((row) => row.id === chosen) ?? (window.innerWidth > 860 ? list.rows[0] : undefined);
  return (
    <>
      <PageHead title={t.outbox.title} about={t.outbox.about} />
      {list.rows.length === 0 && !list.loading && !list.error && !to ? (
        <Panel>
          <Empty icon={<Mail size={28} />} title={t.outbox.none}>
            {t.outbox.noneHint}
          </Empty>
        </Panel>
      ) : (
        <>
          <div className="filters">
            <SearchField label={t.outbox.search} value={to} onSearch={setTo} />
          </div>
          <section className="panel mailbox" data-open={chosen ? "" : undefined}>
            <div className="mail-list">
              {list.error && list.rows.length === 0 ? (
                <div style={{ padding: 16 }}>
                  <ProblemNote error={list.error} retry={list.reload} />
                </div>
              ) : list.loading ? (
                <Skeleton />
              ) : list.rows.length === 0 ? (
                <Empty icon={<Mail size={28} />} title={t.outbox.noMatch}>
                  {t.outbox.noMatchHint}
                </Empty>
              ) : (
                <ul>
                  {list.rows.map((row) => (
                    <li key={row.id}>
                      <button type="button" aria-current={row.id === current?.id || undefined} onClick={() => setChosen(row.id)}>
                        <span className="row-apart">
                          <span className="small muted clip">{row.to}</span>
                          <span className="tiny muted">
                            <When at={row.createdAt} />
                          </span>
                        </span>
                        <strong className="clip">{row.subject}</strong>
                        <span className="row">
                          <Badge tone={TONE[row.status]}>{t.outbox.states(row.status)}</Badge>
                          {row.private && <Lock size={12} aria-label={t.outbox.private} />}
                        </span>
                      </button>
                    </li>
                  ))}
                </ul>
              )}
              <More list={list} />
            </div>
            <div className="mail-read">
              <span className="only-small">
                <Button size="small" onClick={() => setChosen(null)}>
                  {t.outbox.back}
                </Button>
              </span>
              {current ? <Reader key={current.id} id={current.id} as={as} /> : <Empty icon={<MailOpen size={28} />} title={t.outbox.choose} />}
            </div>
          </section>
        </>
      )}
    </>
  );
}

function Reader({ id, as }: { id: string; as: "operator" | "user" }) {
  const [form, setForm] = useState<"html" | "text" | "headers">("html");
  const query = useQuery({
    queryKey: ["outbox", "one", id, as],
    queryFn: ({ signal }) => api.get("/api/v1/sandbox/outbox/{id}", { as, path: { id }, signal }),
  });
  if (query.error) return <ProblemNote error={query.error} />;
  const mail = query.data;
  if (!mail) return <Skeleton />;
  const forms = [...(mail.html ? (["html"] as const) : []), ...(mail.text ? (["text"] as const) : []), "headers" as const];
  const shown = forms.includes(form as never) ? form : (forms[0] ?? "headers");
  return (
    <article className="stack">
      <h2 className="mail-subject">{mail.subject}</h2>
      <Pairs
        of={[
          [t.outbox.to, mail.to],
          [t.audit.when, full(mail.createdAt)],
          [t.outbox.template, mail.template ? <code key="t">{mail.template}</code> : null],
          ...(mail.error ? ([[t.outbox.error, <span key="e" className="bad">{mail.error}</span>]] as [string, React.ReactNode][]) : []),
        ]}
      />
      <div className="tabs" role="tablist" aria-label={t.outbox.forms}>
        {forms.map((one) => (
          <button key={one} type="button" role="tab" className="tab" aria-selected={one === shown} onClick={() => setForm(one)}>
            {t.outbox.form[one]}
          </button>
        ))}
      </div>
      {shown === "html" && mail.html && <MailBody html={mail.html} />}
      {shown === "text" && <pre className="code mail-text" tabIndex={0}>{mail.text}</pre>}
      {shown === "headers" && <Pairs of={(mail.headers ?? []).map(({ name, value }) => [words(name), value])} />}
    </article>
  );
}
