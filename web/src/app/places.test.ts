import { expect, it } from "vitest";
import type { Session } from "../api/session";
import { barredFrom, placesFor } from "./places";

type Here = Pick<Session, "me" | "facts">;
const here = (permissions: string[] | null, operator = false): Here =>
  ({ me: permissions && { permissions }, facts: { operator } }) as unknown as Here;
const names = (now: Here) => placesFor(now).flatMap((group) => group.places.map((place) => place.to));

it("a person is shown what they may see, the operator what is the process's", () => {
  expect(names(here(["files.read"]))).toEqual(["/", "/data", "/files", "/modules", "/docs"]);
  expect(names(here(null, true))).toEqual(["/", "/topology", "/sandboxes", "/outbox", "/modules", "/docs"]);
  expect(names(here(["*"], true))).toHaveLength(13);
});

it("whoever comes to a place without its permission is told which", () => {
  expect(barredFrom("/audit", here(["files.read"]))?.permission).toBe("audit.read");
  expect(barredFrom("/audit", here(["audit.*"]))).toBeUndefined();
  expect(barredFrom("/outbox", here([], false))?.permission).toBe("notifications.read");
  expect(barredFrom("/outbox", here([], true))).toBeUndefined();
  expect(barredFrom("/audit", here(null, true))).toBeUndefined();
});
