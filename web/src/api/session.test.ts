import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { bracing, renew, session, survive } from "./session";

const PERSON = "avery@example.com";
const kept = () => {
  const all = new Map<string, string>();
  return { getItem: (key: string) => all.get(key) ?? null, setItem: (key: string, value: string) => void all.set(key, value), removeItem: (key: string) => void all.delete(key) };
};
const CONSOLE = {
  sandbox: "x",
  operator: true,
  now: "2026-01-09T00:00:00Z",
  realNow: "2026-01-01T00:00:00Z",
  demo: { password: "known", people: [{ email: PERSON }] },
};
const ME = { user: { email: PERSON }, permissions: [] };
let asked: string[];

/** A kernel that knows no session from before, but the demo's password. */
function kernel(valid: (token: string | null) => boolean): void {
  vi.stubGlobal("fetch", async (url: string, init: RequestInit = {}) => {
    asked.push(url);
    const token = new Headers(init.headers).get("authorization");
    const answer = (status: number, body: unknown) => new Response(JSON.stringify(body), { status });
    if (url === "/api/v1/console") return answer(200, CONSOLE);
    if (url === "/api/v1/auth/me") return valid(token) ? answer(200, ME) : answer(401, { type: "unauthorized" });
    if (url === "/api/v1/auth/login") return answer(200, { accessToken: "new", expiresAt: "" });
    return answer(401, { type: "unauthorized" });
  });
}

beforeEach(() => {
  asked = [];
  vi.stubGlobal("location", { host: "x.localhost" });
  vi.stubGlobal("localStorage", kept());
  vi.stubGlobal("sessionStorage", kept());
  localStorage.setItem("pk.session.x.localhost", PERSON);
  session.set({ phase: "in", facts: CONSOLE as never, ahead: 0, token: "old", me: ME as never, why: null });
});
afterEach(() => vi.unstubAllGlobals());

it("a demo person whose session an act here has ended is let in again, and what was refused meanwhile is asked again", async () => {
  kernel((token) => token === "Bearer new");
  // What polls finds out before the act itself has its answer.
  expect(await bracing("the clock moved", () => renew())).toBe(true);
  expect(session.get()).toMatchObject({ phase: "in", token: "new" });
});

it("an act that was refused leaves no reason behind", async () => {
  await expect(bracing("the clock moved", () => Promise.reject(new Error("no")))).rejects.toThrow("no");
  expect(sessionStorage.getItem("pk.why.x.localhost")).toBeNull();
});

it("an act that ended nothing leaves no reason behind", async () => {
  kernel(() => true);
  await survive("the clock moved");
  expect(session.get()).toMatchObject({ phase: "in", token: "old", ahead: 8 * 86_400_000 });
  expect(sessionStorage.getItem("pk.why.x.localhost")).toBeNull();
  expect(asked).not.toContain("/api/v1/auth/refresh");
});

it("whoever is not of the demo is told why they are out", async () => {
  kernel(() => false);
  localStorage.setItem("pk.session.x.localhost", "ruth@example.com");
  await survive("the sandbox was reset");
  expect(session.get()).toMatchObject({ phase: "out", token: null, me: null, why: "the sandbox was reset" });
});
