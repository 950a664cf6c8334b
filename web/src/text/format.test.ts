import { describe, expect, it } from "vitest";
import { bytes, initials, micros, minorUnits, money, span, words } from "./format";

describe("amounts", () => {
  it("are typed in units and kept in minor units, exactly", () => {
    expect(minorUnits("12.34", "EUR")).toBe(1234);
    expect(minorUnits(" 12,3 ", "EUR")).toBe(1230);
    expect(minorUnits("0.29", "USD")).toBe(29);
    expect(minorUnits("500", "JPY")).toBe(500);
    expect(minorUnits("1.234", "BHD")).toBe(1234);
  });

  it("are refused when they are no amount or finer than the currency", () => {
    for (const text of ["", "-1", "1.2.3", "1e3", "abc", "1.234"]) expect(minorUnits(text, "EUR")).toBeNull();
    expect(minorUnits("5.5", "JPY")).toBeNull();
  });

  it("are shown with the currency's own places", () => {
    expect(money(123456, "EUR")).toBe("€1,234.56");
    expect(money(500, "JPY")).toBe("¥500");
  });
});

describe("sizes and spans", () => {
  it("keep two units at most", () => {
    expect(span(38 * 86_400_000)).toBe("38 d");
    expect(span(4 * 3_600_000 + 10 * 60_000 + 5_000)).toBe("4 h 10 min");
    expect(span(0)).toBe("0 s");
    expect(span(-60_000)).toBe("\u22121 min");
  });

  it("take the unit that keeps the number short", () => {
    expect(bytes(999)).toBe("999 B");
    expect(bytes(1_536_000)).toBe("1.5 MB");
    expect(micros(4.2)).toBe("4.2 \u00b5s");
    expect(micros(12_400)).toBe("12 ms");
  });

  it("people have two letters", () => expect(["Avery Admin", "Ada", "Juan de la Cruz"].map(initials)).toEqual(["AA", "A", "Jd"]));

  it("names become words", () => expect(words("past_due")).toBe("Past due"));
});
