import { expect, it } from "vitest";
import { hueOf } from "./hue";

it("a sandbox always has the same hue, and none is red", () => {
  expect(hueOf("default")).toBe(205);
  expect(hueOf("acme")).toBe(hueOf("acme"));
  const hues = ["acme", "demo-2", "try-out", "nightly", "qa", "x", "load-test"].map(hueOf);
  expect(new Set(hues).size).toBeGreaterThan(3);
  for (const hue of hues) expect(hue < 15 || hue > 355).toBe(false);
});
