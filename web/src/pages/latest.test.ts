import { expect, it } from "vitest";
import { folded, toneOf } from "./latest";

const row = (action: string, actor = "a") => ({ action, actor });

it("what one hand did over and over stands there once", () => {
  const rows = [row("x"), row("x"), row("x", "b"), row("x"), row("y"), row("z")];
  expect(folded(rows, 9).map(({ row: { action, actor }, times }) => `${times} ${action} ${actor}`)).toEqual(["2 x a", "1 x b", "1 x a", "1 y a", "1 z a"]);
  expect(folded(rows, 2)).toHaveLength(2);
});

it("losses are red, gains green, visits grey", () => {
  expect(["role.deleted", "files.file.uploaded", "user.login", "user.updated"].map(toneOf)).toEqual(["bad", "good", undefined, "accent"]);
});
