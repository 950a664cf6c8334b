import { expect, it } from "vitest";
import { bundleOf, excerpt, placeOf } from "./bundle";

const file = (name: string, text: string) => ({ name, text: async () => text });

it("a folder becomes a manifest and its migrations in order", async () => {
  const bundle = await bundleOf([
    file("00002_b.sql", "b"),
    file("README.md", "-"),
    file("module.manifest.json", '{"name":"@a/b"}'),
    file("00001_a.sql", "a"),
  ]);
  expect(bundle.manifest.name).toBe("@a/b");
  expect(bundle.migrations.map((one) => one.file)).toEqual(["00001_a.sql", "00002_b.sql"]);
  await expect(bundleOf([file("a.sql", "")])).rejects.toThrow("not among the files");
  await expect(bundleOf([file("module.manifest.json", "{")])).rejects.toThrow("module.manifest.json:");
});

it("a fault is found in its file", () => {
  expect(placeOf("00001_notes.sql:3: syntax error")).toEqual({ file: "00001_notes.sql", line: 3 });
  expect(placeOf("00001_notes.sql, line 12")).toEqual({ file: "00001_notes.sql", line: 12 });
  expect(placeOf("/manifest/name")).toBeNull();
  expect(excerpt("a\nb\nc", 2, 1).map((line) => line.hit)).toEqual([false, true, false]);
});
