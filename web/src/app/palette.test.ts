import { expect, it } from "vitest";
import { fit } from "./palette";

it("finds by letters in order, whole words first", () => {
  expect(fit("wal", "Wallets")).toBeGreaterThan(fit("wls", "Wallets"));
  expect(fit("wls", "Wallets")).toBeGreaterThan(0);
  expect(fit("xyz", "Wallets")).toBe(0);
  expect(fit("", "anything")).toBe(1);
});
