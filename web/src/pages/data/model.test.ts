import { describe, expect, it } from "vitest";
import { type ModelSchema, kindOf, queryOf, read, shownColumns, titleOf, valueOf, written } from "./model";

const schema: ModelSchema = {
  title: "crm.contacts",
  required: ["email"],
  properties: {
    id: { type: "string", format: "uuid", readOnly: true },
    company_id: { type: ["string", "null"], format: "uuid" },
    email: { type: "string" },
    first_name: { type: "string" },
    score: { type: "integer" },
    tags: { type: "array" },
    custom: {},
    updated_at: { type: "string", format: "date-time", readOnly: true },
  },
};

describe("a model", () => {
  it("shows what names a record first", () => {
    expect(shownColumns(schema)).toEqual(["first_name", "email", "score", "tags", "updated_at"]);
    expect(titleOf({ first_name: "Ada", last_name: "Lovelace" })).toBe("Ada Lovelace");
    expect(titleOf({ name: "Northwind" })).toBe("Northwind");
  });

  it("has kinds", () => {
    expect(kindOf({ type: ["integer", "null"] })).toBe("number");
    expect(kindOf({ type: "string", enum: ["won"] })).toBe("choice");
    expect(kindOf({})).toBe("json");
  });
});

describe("filters", () => {
  it("are written and read alike", () => {
    const filter = { field: "score", op: "gte", value: "50" };
    expect(read(written(filter))).toEqual(filter);
    expect(read("no filter")).toBeNull();
  });

  it("become the API's query; what is typed can't end a list", () => {
    expect(queryOf(schema, { filter: ["score=gte.50", "email=ilike.ada"], sort: "-score" })).toEqual({
      score: ["gte.50"],
      email: ["ilike.*ada*"],
      sort: "-score",
    });
    expect(queryOf(schema, { q: 'a",b)' }).or).toBe('(email.ilike."*a\\",b)*",first_name.ilike."*a\\",b)*")');
  });

  it("empty text is null, lists are parted by commas", () => {
    expect(valueOf({ type: "array" }, "a, b ,")).toEqual(["a", "b"]);
    expect(valueOf({ type: "integer" }, "7")).toBe(7);
    expect(valueOf({ type: "string" }, "")).toBeNull();
  });
});
