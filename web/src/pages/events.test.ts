import { expect, it } from "vitest";
import { merge } from "./events";

const event = (id: string, at: number) =>
  ({ id, type: "crm.deal.won", source: "crm", key: "k", data: {}, schemaVersion: "1.0.0", timestamp: new Date(at).toISOString() }) as never;

it("the tail keeps the newest, once each, in order of time", () => {
  const first = merge([], [event("a", 1), event("b", 3)]);
  const second = merge(first, [event("b", 3), event("c", 2)], 2);
  expect(second.map((one) => one.id)).toEqual(["b", "c"]);
  expect(merge(second, [event("b", 3)])).toBe(second);
});
