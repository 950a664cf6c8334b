/**
 * Who is using the console.
 *
 * The access token lives in memory and nowhere else. The refresh token lives in a cookie that no script can read: the
 * gateway puts it there when a call says `X-Kernel-Session: cookie`. The operator's session is a cookie of its own, so
 * both can be open at once: calls say in whose name they are made.
 */
import type { components } from "./schema";
import { Problem } from "./problem";
import { reach } from "./reach";
import { store, useStore } from "./store";
import { t } from "../text";

type Schemas = components["schemas"];
export type Me = Schemas["MeOut"];
export type Facts = Schemas["ConsoleOut"];
type Tokens = Pick<Schemas["TokensOut"], "accessToken" | "expiresAt">;
type Selection = Schemas["SelectionOut"];

export interface Session {
  phase: "starting" | "out" | "in";
  facts: Facts | null;
  /** How far the sandbox's clock is ahead of the real one, in milliseconds. */
  ahead: number;
  token: string | null;
  me: Me | null;
  /** Why somebody who was signed in is not any more. */
  why: string | null;
}

export const session = store<Session>({ phase: "starting", facts: null, ahead: 0, token: null, me: null, why: null });

export const useSession = (): Session => useStore(session);

const COOKIE = { "x-kernel-session": "cookie", "content-type": "application/json", accept: "application/json" };

/** Remembers, without any secret, that there may be a session to go on with: spares strangers a refused request. */
const hint = {
  name: () => `pk.session.${location.host}`,
  get: () => localStorage.getItem(hint.name()),
  set: (email: string) => localStorage.setItem(hint.name(), email),
  clear: () => localStorage.removeItem(hint.name()),
};

/** What was just done to the sandbox that ends sessions; told to whoever is signed out by it. */
const reason = {
  name: () => `pk.why.${location.host}`,
  take: () => {
    const text = sessionStorage.getItem(reason.name());
    sessionStorage.removeItem(reason.name());
    return text;
  },
  leave: (text: string) => sessionStorage.setItem(reason.name(), text),
};

async function post(path: string, body: unknown): Promise<Response> {
  return reach(`/api/v1/auth/${path}`, { method: "POST", headers: COOKIE, body: JSON.stringify(body) });
}

async function refused(response: Response): Promise<Error> {
  return new Problem(await response.json());
}

/** What this address is, and whether somebody is signed in. */
export async function start(): Promise<void> {
  await look();
  if (hint.get() && (await renew())) return;
  session.set((now) => ({ ...now, phase: now.token ? "in" : "out" }));
}

/** Asks again what is known without signing in: the clock, and whether the operator's session is open. */
export async function look(): Promise<void> {
  const response = await reach("/api/v1/console", { headers: { accept: "application/json" } });
  if (!response.ok) throw await refused(response);
  const facts = (await response.json()) as Facts;
  const ahead = Date.parse(facts.now) - Date.parse(facts.realNow);
  session.set((now) => ({ ...now, facts, ahead }));
}

async function enter(tokens: Tokens): Promise<void> {
  const headers = { authorization: `Bearer ${tokens.accessToken}`, accept: "application/json" };
  const response = await reach("/api/v1/auth/me", { headers });
  if (!response.ok) throw await refused(response);
  const me = (await response.json()) as Me;
  hint.set(me.user?.email ?? "");
  reason.take();
  session.set((now) => ({ ...now, phase: "in", token: tokens.accessToken, me, why: null }));
}

let renewal: Promise<boolean> | null = null;

/** A fresh access token; false when the session has ended. Calls at the same time share one request. */
export function renew(): Promise<boolean> {
  renewal ??= (async () => {
    try {
      const response = await post("refresh", {});
      if (response.ok) {
        const tokens = (await response.json()) as Tokens;
        if (session.get().me) session.set((now) => ({ ...now, token: tokens.accessToken }));
        else await enter(tokens);
        return true;
      }
      return response.status === 401 && (await ended());
    } catch {
      return false;
    } finally {
      renewal = null;
    }
  })();
  return renewal;
}

/** The session is over. In a demo, whose password everybody knows, its person is let in again at once: true then. */
async function ended(): Promise<boolean> {
  const email = hint.get();
  const why = reason.take();
  const { facts } = session.get();
  const demo = facts?.demo;
  if (why && demo?.people.some((person) => person.email === email)) {
    const response = await post("login", { email, password: demo.password });
    if (response.ok) {
      const answer = (await response.json()) as Tokens | Selection;
      if ("accessToken" in answer) {
        await enter(answer);
        return true;
      }
    }
  }
  hint.clear();
  session.set((now) => ({ ...now, phase: "out", token: null, me: null, why: why ?? (email ? t.signIn.ended : null) }));
  return false;
}

/** Signs in; answers the tenants when one is to be chosen. */
export async function signIn(email: string, password: string): Promise<Selection | null> {
  const response = await post("login", { email, password });
  if (!response.ok) throw await refused(response);
  const answer = (await response.json()) as Tokens | Selection;
  if ("accessToken" in answer) {
    await enter(answer);
    return null;
  }
  return answer;
}

/** Makes the owner of a new platform, and signs them in. */
export async function setUp(owner: Schemas["SetUpIn"]): Promise<void> {
  const response = await post("set-up", owner);
  if (!response.ok) throw await refused(response);
  await enter((await response.json()) as Tokens);
}

export async function selectTenant(sessionToken: string, tenantId: string): Promise<void> {
  const response = await post("select-tenant", { sessionToken, tenantId });
  if (!response.ok) throw await refused(response);
  await enter((await response.json()) as Tokens);
}

export async function signOut(): Promise<void> {
  await post("logout", {}).catch(() => undefined);
  hint.clear();
  session.set((now) => ({ ...now, phase: "out", token: null, me: null, why: null }));
}

/** Ends the operator's session of this browser. */
export async function closeOperator(): Promise<void> {
  await reach("/api/v1/operator/sign-out", { method: "POST" });
  await look();
}

/** Does what may end sessions. Whoever finds theirs ended, be it before the answer is here, finds the reason, too. */
export async function bracing<T>(why: string, act: () => Promise<T>): Promise<T> {
  if (session.get().phase === "in") reason.leave(why);
  try {
    return await act();
  } catch (error) {
    reason.take();
    throw error;
  }
}

/**
 * After an act on this sandbox that may end sessions (clock, reset, restore): goes on if the session still holds, signs
 * a demo person in again, and tells others why they are out.
 */
export async function survive(why: string): Promise<void> {
  // A sandbox that has not come back yet is asked again by whatever page is open: its next 401 finds the reason.
  if (session.get().phase === "in") reason.leave(why);
  await look().catch(() => undefined);
  if (session.get().phase !== "in") return;
  const me = await reach("/api/v1/auth/me", { headers: { authorization: `Bearer ${session.get().token}` } }).catch(() => null);
  if (me?.ok) reason.take();
  else if (me?.status === 401) await renew();
}

/** Whether the person may do this; wildcards as the kernel reads them. */
export function may(me: Me | null, permission: string): boolean {
  if (!me) return false;
  return me.permissions.some((grant) => {
    if (grant === "*" || grant === permission) return true;
    return grant.endsWith(".*") && permission.startsWith(grant.slice(0, -1));
  });
}

export function useMay(permission: string): boolean {
  return may(useSession().me, permission);
}
