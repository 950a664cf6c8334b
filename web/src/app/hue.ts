/** Hues that are easy to tell apart; red is left out, because it means danger. */
const HUES = [265, 310, 345, 60, 95, 130, 165, 235, 285, 45];

/** The hue of a sandbox: always the same for a name, so that one knows where one is. `default` is petrol. */
export function hueOf(sandbox: string): number {
  if (sandbox === "default") return 205;
  let hash = 0;
  for (const character of sandbox) hash = (Math.imul(hash, 31) + (character.codePointAt(0) ?? 0)) >>> 0;
  return HUES[hash % HUES.length] ?? 205;
}

export function wear(sandbox: string): void {
  document.documentElement.style.setProperty("--hue", String(hueOf(sandbox)));
}

export type Theme = "system" | "light" | "dark";

export const theme = {
  get: (): Theme => (localStorage.getItem("pk.theme") as Theme | null) ?? "system",
  set(next: Theme) {
    if (next === "system") {
      localStorage.removeItem("pk.theme");
      delete document.documentElement.dataset.theme;
    } else {
      localStorage.setItem("pk.theme", next);
      document.documentElement.dataset.theme = next;
    }
  },
};
