import { type FormEvent, useState } from "react";
import { useNavigate } from "@tanstack/react-router";
import { Problem } from "../api/problem";
import { setUp } from "../api/session";
import { t } from "../text";
import { Button } from "../ui/button";
import { TextField } from "../ui/field";
import { ProblemNote } from "../ui/problem";
import { Door } from "./sign-in";

/** The path of the link that a new, empty platform prints into its log. */
export const SET_UP = "/set-up";

/** Whoever holds the log's link becomes the owner of a new, empty platform. */
export function SetUp() {
  const navigate = useNavigate();
  // Read once: the address is cleared of it when it has been used.
  const [token] = useState(() => new URLSearchParams(location.hash.slice(1)).get("token") ?? "");
  const [texts, setTexts] = useState({ name: "", email: "", password: "" });
  const [state, setState] = useState<{ busy: boolean; error: unknown }>({ busy: false, error: null });
  const fault = (field: string) => (state.error instanceof Problem ? state.error.of(field) : undefined);
  const submit = async (event: FormEvent) => {
    event.preventDefault();
    setState({ busy: true, error: null });
    try {
      await setUp({ ...texts, token });
      await navigate({ to: "/", replace: true });
    } catch (error) {
      setState({ busy: false, error });
    }
  };
  const field = (name: keyof typeof texts) => ({
    name,
    required: true,
    label: t.setUp[name],
    value: texts[name],
    fault: fault(`/${name}`),
    onChange: (event: { target: { value: string } }) => setTexts((now) => ({ ...now, [name]: event.target.value })),
  });
  const isNamed = ["/name", "/email", "/password"].some(fault);
  return (
    <Door title={t.setUp.title}>
      <p className="muted">{t.setUp.about}</p>
      {token ? (
        <form className="stack" onSubmit={(event) => void submit(event)}>
          <TextField {...field("name")} autoComplete="name" />
          <TextField {...field("email")} type="email" autoComplete="username" />
          <TextField {...field("password")} type="password" autoComplete="new-password" hint={t.setUp.passwordHint} />
          <Button type="submit" kind="primary" busy={state.busy} disabled={!texts.name || !texts.email || !texts.password}>
            {t.setUp.enter}
          </Button>
        </form>
      ) : (
        <div className="problem" data-tone="accent" role="status">
          <span>{t.setUp.noToken}</span>
        </div>
      )}
      {state.error !== null && !isNamed && <ProblemNote error={state.error} />}
    </Door>
  );
}
