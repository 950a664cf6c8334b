import { expect, it } from "vitest";
import { merge, topicOf } from "./tail";

const event = (id: string, at: number) =>
  ({ id, type: "crm.deal.won", source: "crm", key: "k", data: {}, schemaVersion: "1.0.0", timestamp: new Date(at).toISOString() }) as never;

it("the tail keeps the newest, once each, in order of time", () => {
  const first = merge([], [event("a", 1), event("b", 3)]);
  const second = merge(first, [event("b", 3), event("c", 2)], 2);
  expect(second.map((one) => one.id)).toEqual(["b", "c"]);
  expect(merge(second, [event("b", 3)])).toBe(second);
});

it("an event's topic is told by the first word of its type", () => {
  expect(topicOf("crm.deal.won")).toBe("platform.crm.events");
  expect(topicOf("audit.record.appended")).toBe("platform.audit.events");
});
