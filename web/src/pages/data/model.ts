/** What the console makes of a model: columns, their kinds, filters in the API's own language. */
export interface Property {
  type?: string | string[];
  format?: string;
  enum?: (string | null)[];
  description?: string;
  readOnly?: boolean;
  maxLength?: number;
  minimum?: number;
  maximum?: number;
}

export interface ModelSchema {
  title: string;
  description?: string;
  properties: Record<string, Property>;
  required: string[];
  "x-relations"?: Record<string, { model: string; many: boolean }>;
}

export type Row = Record<string, unknown>;
export type Kind = "text" | "number" | "boolean" | "date" | "time" | "choice" | "id" | "json" | "list";

export function kindOf(property: Property): Kind {
  const types = [property.type ?? []].flat().filter((type) => type !== "null");
  if (property.enum) return "choice";
  if (property.format === "uuid") return "id";
  if (property.format === "date") return "date";
  if (property.format === "date-time") return "time";
  if (types.includes("boolean")) return "boolean";
  if (types.includes("integer") || types.includes("number")) return "number";
  if (types.includes("array")) return "list";
  if (types.includes("string")) return "text";
  return "json";
}

const KERNEL = ["id", "tenant_id", "created_at", "updated_at", "deleted_at", "version"];

/** Columns that a grid begins with: what names the record first, what the kernel keeps last. */
export function shownColumns(schema: ModelSchema, most = 7): string[] {
  const own = Object.keys(schema.properties).filter((name) => {
    const kind = kindOf(schema.properties[name] ?? {});
    return !KERNEL.includes(name) && kind !== "json" && kind !== "id";
  });
  const weight = (name: string) => {
    const at = NAMES.indexOf(name);
    return at < 0 ? NAMES.length : at;
  };
  const columns = own.toSorted((a, b) => weight(a) - weight(b)).slice(0, most);
  return "updated_at" in schema.properties ? [...columns, "updated_at"] : columns;
}

const NAMES = ["name", "first_name", "last_name", "title", "reference", "subject", "email"];

export function titleOf(row: Row): string {
  const name = [row.first_name, row.last_name].filter((part) => typeof part === "string" && part).join(" ");
  for (const value of [name, row.name, row.title, row.reference, row.subject, row.email]) {
    if (typeof value === "string" && value) return value;
  }
  return String(row.id ?? "").slice(0, 8);
}

/** A relation's key column: `company` is told by `company_id`. */
export const keyOfRelation = (relation: string): string => `${relation}_id`;

export interface Filter {
  field: string;
  op: string;
  value: string;
}

export const OPERATORS: Record<Kind, string[]> = {
  text: ["ilike", "eq", "neq", "is"],
  number: ["eq", "gte", "lte", "neq", "is"],
  boolean: ["is"],
  date: ["gte", "lte", "eq", "is"],
  time: ["gte", "lte", "is"],
  choice: ["eq", "neq", "is"],
  id: ["eq", "is"],
  list: ["contains", "is"],
  json: ["is"],
};

/** `field=op.value` as the address bar keeps it. */
export const written = ({ field, op, value }: Filter): string => `${field}=${op}.${value}`;

export function read(text: string): Filter | null {
  const match = /^([a-z_][a-z0-9_]*)=([a-z]+)\.(.*)$/s.exec(text);
  return match ? { field: match[1] ?? "", op: match[2] ?? "", value: match[3] ?? "" } : null;
}

/** Text that stands within a list of the query language: commas, brackets and quotes would end it. */
const quoted = (text: string): string => `"${text.replace(/([\\"])/g, "\\$1")}"`;

export function queryOf(
  schema: ModelSchema,
  asked: { filter?: string[] | undefined; q?: string | undefined; sort?: string | undefined; deleted?: string | undefined },
): Record<string, string[] | string> {
  const query: Record<string, string[] | string> = {};
  for (const one of asked.filter ?? []) {
    const filter = read(one);
    if (!filter) continue;
    const { field, op } = filter;
    const value = op === "ilike" ? `*${filter.value}*` : op === "contains" ? `{${quoted(filter.value)}}` : filter.value;
    query[field] = [...[query[field] ?? []].flat(), `${op}.${value}`];
  }
  if (asked.q) {
    const texts = Object.keys(schema.properties).filter((name) => kindOf(schema.properties[name] ?? {}) === "text");
    const pattern = quoted(`*${asked.q}*`);
    if (texts.length > 0) query.or = `(${texts.slice(0, 12).map((name) => `${name}.ilike.${pattern}`).join(",")})`;
  }
  if (asked.sort) query.sort = asked.sort;
  if (asked.deleted) query.deleted = asked.deleted;
  return query;
}

/** What a form's text means for a column; undefined when it is unchanged or empty and may stay away. */
export function valueOf(property: Property, text: string): unknown {
  const kind = kindOf(property);
  if (text === "") return null;
  if (kind === "number") return Number(text);
  if (kind === "boolean") return text === "true";
  if (kind === "list") return text.split(",").map((one) => one.trim()).filter(Boolean);
  if (kind === "json") return JSON.parse(text);
  if (kind === "time") return new Date(text).toISOString();
  return text;
}

export function textOf(property: Property, value: unknown): string {
  if (value === null || value === undefined) return "";
  const kind = kindOf(property);
  if (kind === "list" && Array.isArray(value)) return value.join(", ");
  if (kind === "json") return JSON.stringify(value, null, 2);
  if (kind === "time") {
    const at = new Date(String(value));
    return new Date(at.getTime() - at.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  }
  return String(value);
}
