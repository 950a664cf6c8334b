import { afterEach, expect, it, vi } from "vitest";
import { Unreachable, away, reach } from "./reach";

afterEach(() => vi.unstubAllGlobals());

it("a kernel that does not answer is away until it answers again, be it with a refusal", async () => {
  vi.stubGlobal("fetch", () => Promise.reject(new TypeError("Failed to fetch")));
  await expect(reach("/x")).rejects.toBeInstanceOf(Unreachable);
  expect(away.get()).toBe(true);
  vi.stubGlobal("fetch", () => Promise.resolve(new Response("", { status: 403 })));
  expect((await reach("/x")).status).toBe(403);
  expect(away.get()).toBe(false);
});

it("whoever takes a question back does not learn from it that the kernel is away", async () => {
  const stop = new AbortController();
  stop.abort();
  vi.stubGlobal("fetch", () => Promise.reject(new DOMException("aborted", "AbortError")));
  await expect(reach("/x", { signal: stop.signal })).rejects.toBeInstanceOf(DOMException);
  expect(away.get()).toBe(false);
});
