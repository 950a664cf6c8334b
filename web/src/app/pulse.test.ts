import { expect, it } from "vitest";
import { ratesOf } from "./pulse";

const beat = (at: number, calls: number) => ({ at, calls, errors: 0, busyMicros: 0, measured: 0 });

it("rates are differences a second", () => {
  expect(ratesOf([beat(0, 10), beat(1000, 30), beat(3000, 40)])).toEqual([20, 5]);
});

it("a kernel that began anew does not count backwards", () => {
  expect(ratesOf([beat(0, 500), beat(1000, 3)])).toEqual([0]);
  expect(ratesOf([beat(0, 5)])).toEqual([]);
});
