/** Times, sizes and amounts as people read them. */
const time = new Intl.DateTimeFormat(undefined, { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const day = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short" });
const dayOfYear = new Intl.DateTimeFormat(undefined, { day: "numeric", month: "short", year: "numeric" });
const whole = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });
const relative = new Intl.RelativeTimeFormat("en", { numeric: "auto", style: "short" });
const plain = new Intl.NumberFormat("en", { maximumFractionDigits: 1 });
const compact = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 1 });

export const count = (value: number): string => (Math.abs(value) < 100_000 ? plain.format(value) : compact.format(value));

export const clock = (at: string | Date): string => time.format(new Date(at));
export const full = (at: string | Date): string => whole.format(new Date(at));

export function date(at: string | Date, now = Date.now()): string {
  const value = new Date(at);
  return (value.getFullYear() === new Date(now).getFullYear() ? day : dayOfYear).format(value);
}

const STEPS: [Intl.RelativeTimeFormatUnit, number][] = [
  ["year", 31_536_000],
  ["month", 2_592_000],
  ["day", 86_400],
  ["hour", 3_600],
  ["minute", 60],
];

/** How long ago, or how far ahead, counted from `now`. */
export function ago(at: string | Date, now: number): string {
  const seconds = (new Date(at).getTime() - now) / 1000;
  for (const [unit, size] of STEPS) {
    if (Math.abs(seconds) >= size) return relative.format(Math.trunc(seconds / size), unit);
  }
  return relative.format(Math.trunc(seconds), "second");
}

/** A span in the two largest units that say something: `38 d`, `4 h 10 min`. */
export function span(milliseconds: number): string {
  const sign = milliseconds < 0 ? "\u2212" : "";
  let rest = Math.abs(Math.round(milliseconds / 1000));
  const parts: string[] = [];
  for (const [name, size] of [["d", 86_400], ["h", 3_600], ["min", 60], ["s", 1]] as const) {
    const amount = Math.floor(rest / size);
    rest -= amount * size;
    if (amount > 0 && parts.length < 2) parts.push(`${amount} ${name}`);
    else if (parts.length > 0) break;
  }
  return parts.length ? sign + parts.join(" ") : "0 s";
}

export function bytes(value: number): string {
  const units = ["B", "KB", "MB", "GB", "TB"];
  let size = value;
  let unit = 0;
  while (size >= 1000 && unit < units.length - 1) {
    size /= 1000;
    unit += 1;
  }
  return `${size >= 100 || unit === 0 ? Math.round(size) : size.toFixed(1)} ${units[unit]}`;
}

/** Microseconds, in the unit that keeps the number short. */
export function micros(value: number): string {
  if (value <= 0) return "\u2013";
  if (value < 1_000) return `${value < 10 ? value.toFixed(1) : Math.round(value)} \u00b5s`;
  if (value < 1_000_000) return `${(value / 1_000).toFixed(value < 10_000 ? 1 : 0)} ms`;
  return `${(value / 1_000_000).toFixed(1)} s`;
}

function digits(currency: string): number {
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency }).resolvedOptions().maximumFractionDigits ?? 2;
  } catch {
    return 2;
  }
}

/** An amount of minor units. */
export function money(minor: number, currency: string): string {
  const places = digits(currency);
  try {
    return new Intl.NumberFormat("en", { style: "currency", currency }).format(minor / 10 ** places);
  } catch {
    return `${(minor / 10 ** places).toFixed(places)} ${currency}`;
  }
}

/** Minor units of an amount that somebody typed; null if it is none, or finer than the currency. */
export function minorUnits(text: string, currency: string): number | null {
  const places = digits(currency);
  const match = /^\s*(\d{1,12})(?:[.,](\d+))?\s*$/.exec(text);
  if (!match) return null;
  const [, units = "0", fraction = ""] = match;
  if (fraction.length > places) return null;
  const value = Number(units) * 10 ** places + Number(fraction.padEnd(places, "0") || "0");
  return Number.isSafeInteger(value) ? value : null;
}

/** `invoice_paid` → `Invoice paid`. */
export function words(name: string): string {
  const text = name.replace(/[_-]+/g, " ").trim();
  return text.charAt(0).toUpperCase() + text.slice(1);
}

/** `Avery Admin` → `AA`. */
export const initials = (name: string): string =>
  name.split(/\s+/).map((part) => part.charAt(0)).slice(0, 2).join("");
