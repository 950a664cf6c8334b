import { type FormEvent, useState } from "react";
import { useNavigate } from "@tanstack/react-router";
import { setUp } from "../api/session";
import { t } from "../text";
import { Button } from "../ui/button";
import { TextField } from "../ui/field";
import { useWork } from "../ui/form";
import { Refusal } from "../ui/problem";
import { Door } from "./sign-in";

/** The path of the link that a new, empty platform prints into its log. */
export const SET_UP = "/set-up";

/** Whoever holds the log's link becomes the owner of a new, empty platform. */
export function SetUp() {
  const navigate = useNavigate();
  // Read once: the address is cleared of it when it has been used.
  const [token] = useState(() => new URLSearchParams(location.hash.slice(1)).get("token") ?? "");
  const [texts, setTexts] = useState({ name: "", email: "", password: "" });
  const work = useWork();
  const submit = (event: FormEvent) => {
    event.preventDefault();
    void work.run(async () => {
      await setUp({ ...texts, token });
      await navigate({ to: "/", replace: true });
    });
  };
  const field = (name: keyof typeof texts) => ({
    name,
    required: true,
    label: t.setUp[name],
    value: texts[name],
    fault: work.fault(`/${name}`),
    onChange: (event: { target: { value: string } }) => setTexts((now) => ({ ...now, [name]: event.target.value })),
  });
  return (
    <Door title={t.setUp.title}>
      <p className="muted">{t.setUp.about}</p>
      {token ? (
        <form className="stack" onSubmit={submit}>
          <TextField {...field("name")} autoComplete="name" />
          <TextField {...field("email")} type="email" autoComplete="username" />
          <TextField {...field("password")} type="password" autoComplete="new-password" hint={t.setUp.passwordHint} />
          <Button type="submit" kind="primary" busy={work.busy} disabled={!texts.name || !texts.email || !texts.password}>
            {t.setUp.enter}
          </Button>
        </form>
      ) : (
        <div className="problem" data-tone="accent" role="status">
          <span>{t.setUp.noToken}</span>
        </div>
      )}
      <Refusal of={work} />
    </Door>
  );
}
