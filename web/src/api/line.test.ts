import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type Ends, type Wire, listen } from "./line";

class Kernel implements Wire {
  heard: { type: string; token?: string; channels?: string[] }[] = [];
  closed = false;
  onmessage: Wire["onmessage"] = null;
  onclose: Wire["onclose"] = null;
  send(text: string) {
    this.heard.push(JSON.parse(text) as (typeof this.heard)[number]);
  }
  close() {
    this.closed = true;
  }
  says(what: object) {
    this.onmessage?.({ data: JSON.stringify(what) });
  }
}

let tokens: string[];
let log: string[];
const ends: Ends = {
  token: () => tokens[0] ?? null,
  renew: async () => tokens.shift() !== undefined && tokens.length > 0,
  told: (event) => log.push(`told ${String(event)}`),
  live: () => log.push("live"),
  over: (refused) => log.push(refused ? "refused" : "over"),
};
beforeEach(() => {
  vi.useFakeTimers();
  tokens = ["first", "second"];
  log = [];
});
afterEach(() => vi.useRealTimers());

it("says who it is, asks for the channel, and passes on what it is told", () => {
  const kernel = new Kernel();
  const stop = listen("events", ends, () => kernel);
  kernel.says({ type: "auth_required", reason: "say who you are" });
  kernel.says({ type: "auth_ok" });
  kernel.says({ type: "subscribed", channels: ["events"], refused: [] });
  kernel.says({ type: "event", channel: "events", event: "one", eventId: "1" });
  expect(kernel.heard).toEqual([{ type: "auth", token: "first" }, { type: "subscribe", channels: ["events"] }]);
  expect(log).toEqual(["live", "told one"]);
  vi.advanceTimersByTime(30_000);
  expect(kernel.heard.filter(({ type }) => type === "ping").length).toBeGreaterThan(1);
  stop();
  kernel.says({ type: "event", event: "two" });
  kernel.onclose?.({ code: 1000 });
  expect(kernel.closed).toBe(true);
  expect(log).toEqual(["live", "told one"]);
});

it("shows a fresh token when the one before has ended, and gives up when there is none", async () => {
  const kernel = new Kernel();
  listen("events", ends, () => kernel);
  kernel.says({ type: "auth_required" });
  kernel.says({ type: "auth_required" });
  await vi.advanceTimersByTimeAsync(1);
  expect(kernel.heard.map(({ token }) => token)).toEqual(["first", "second"]);
  kernel.says({ type: "auth_required" });
  await vi.advanceTimersByTimeAsync(1);
  expect(log).toEqual(["over"]);
  expect(kernel.closed).toBe(true);
});

it("tells a refusal, which lasts, from a line that broke, which does not", () => {
  const [refusing, breaking, taking] = [new Kernel(), new Kernel(), new Kernel()];
  listen("events", ends, () => refusing);
  refusing.says({ type: "subscribed", channels: [], refused: [{ channel: "events", code: "forbidden" }] });
  listen("events", ends, () => breaking);
  breaking.onclose?.({ code: 1012 });
  listen("events", ends, () => taking);
  taking.says({ type: "unsubscribed", channels: ["events"], reason: "forbidden" });
  expect(log).toEqual(["refused", "over", "refused"]);
});
