import { ArrowRight, KeyRound } from "lucide-react";
import { type FormEvent, type ReactNode, useState } from "react";
import { selectTenant, signIn, useSession } from "../api/session";
import type { components } from "../api/schema";
import { t } from "../text";
import { initials } from "../text/format";
import { Mark } from "../ui/bits";
import { Button } from "../ui/button";
import { TextField } from "../ui/field";
import { ProblemNote } from "../ui/problem";
import { Copy } from "../ui/copy";

type Selection = components["schemas"]["SelectionOut"];

/** One door: a demo person with one click, or an address and a password. */
export function SignIn({ embedded }: { embedded?: boolean }) {
  const { facts, why } = useSession();
  const [busy, setBusy] = useState<string | null>(null);
  const [error, setError] = useState<unknown>(null);
  const [choice, setChoice] = useState<Selection | null>(null);
  const [email, setEmail] = useState("");
  const [password, setPassword] = useState("");

  const run = async (who: string, act: () => Promise<Selection | null | void>) => {
    setBusy(who);
    setError(null);
    try {
      setChoice((await act()) ?? null);
    } catch (problem) {
      setError(problem);
    } finally {
      setBusy(null);
    }
  };
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void run("form", () => signIn(email, password));
  };
  const inner = (
    <>
      {why && (
        <div className="problem" data-tone="accent" role="status">
          <span>{why}</span>
        </div>
      )}
      {choice ? (
        <section className="stack" aria-labelledby="choose">
          <h2 id="choose">{t.signIn.choose}</h2>
          <div className="people">
            {choice.tenants.map((tenant) => (
              <button
                key={tenant.id}
                type="button"
                className="person"
                disabled={busy !== null}
                onClick={() => void run(tenant.id, () => selectTenant(choice.sessionToken, tenant.id))}
              >
                <span className="grow">
                  <strong>{tenant.name}</strong>
                  <span className="small muted">{tenant.kind}</span>
                </span>
                {busy === tenant.id ? <span className="spin" /> : <ArrowRight size={16} aria-hidden="true" />}
              </button>
            ))}
          </div>
        </section>
      ) : (
        <>
          {facts?.demo && (
            <section className="stack" aria-labelledby="demo">
              <h2 id="demo">{t.signIn.demo}</h2>
              <div className="people">
                {facts.demo.people.map((person) => (
                  <button
                    key={person.email}
                    type="button"
                    className="person"
                    disabled={busy !== null}
                    onClick={() => void run(person.email, () => signIn(person.email, facts.demo?.password ?? ""))}
                  >
                    <span className="avatar" aria-hidden="true">
                      {initials(person.name)}
                    </span>
                    <span className="grow">
                      <strong>{person.name}</strong>
                      <span className="small muted">
                        {person.role} {"\u00b7"} {t.signIn.can[person.role as keyof typeof t.signIn.can] ?? person.email}
                      </span>
                    </span>
                    {busy === person.email ? <span className="spin" /> : <ArrowRight size={16} aria-hidden="true" />}
                  </button>
                ))}
              </div>
            </section>
          )}
          <form className="stack" onSubmit={submit}>
            <h2>{facts?.demo ? t.signIn.orPassword : t.signIn.withPassword}</h2>
            <TextField
              label={t.signIn.email}
              type="email"
              name="email"
              autoComplete="username"
              required
              value={email}
              onChange={(event) => setEmail(event.target.value)}
            />
            <TextField
              label={t.signIn.password}
              type="password"
              name="password"
              autoComplete="current-password"
              required
              value={password}
              onChange={(event) => setPassword(event.target.value)}
            />
            <Button type="submit" kind={facts?.demo ? "plain" : "primary"} busy={busy === "form"} disabled={!email || !password}>
              {t.signIn.enter}
            </Button>
          </form>
        </>
      )}
      {error !== null && <ProblemNote error={error} />}
    </>
  );
  if (embedded) return <div className="stack">{inner}</div>;
  return (
    <Door title={t.signIn.title}>
      {inner}
      <div className="operator-hint">
        <KeyRound size={16} aria-hidden="true" />
        <div>
          <strong className="small">{t.signIn.operator}</strong>
          <p className="small muted">{t.signIn.operatorHint}</p>
          <Copy text="platform-kernel open" />
        </div>
      </div>
    </Door>
  );
}

/** What stands before the console: which sandbox it is on one side, a form on the other. */
export function Door({ title, children }: { title: string; children: ReactNode }) {
  const { facts } = useSession();
  return (
    <div className="door">
      <div className="door-side">
        <div className="door-brand">
          <Mark />
          <span>Platform Kernel</span>
        </div>
        <div className="door-words">
          <p className="door-line">{t.signIn.line}</p>
          <p>{t.signIn.about}</p>
        </div>
        <p className="small">
          {t.signIn.sandbox} <span className="plate">{facts?.sandbox}</span>
        </p>
      </div>
      <main className="door-form">
        <h1>{title}</h1>
        {children}
      </main>
    </div>
  );
}
