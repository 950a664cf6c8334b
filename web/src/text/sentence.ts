/** What happened, from its name: `money.transfer.completed` → `Transfer completed`. */

const spaced = (text: string): string => text.replace(/[_-]+/g, " ");
const upper = (text: string): string => text.charAt(0).toUpperCase() + text.slice(1);

/** One of many: `companies` → `company`. */
export function singular(name: string): string {
  return name
    .replace(/ies$/, "y")
    .replace(/(ss|sh|ch|x)es$/, "$1")
    .replace(/([^s])s$/, "$1");
}

function plural(name: string): string {
  if (/[^aeiou]y$/.test(name)) return name.replace(/y$/, "ies");
  return /(s|sh|ch|x)$/.test(name) ? `${name}es` : `${name}s`;
}

/** Verbs that say more in other words. */
const VERBS: Record<string, string> = { loggedin: "signed in", login: "signed in", logout: "signed out" };
/** Nouns that say nothing without what stands before them. */
const VAGUE = new Set(["head", "record", "name", "key", "call", "circuit", "manifest"]);
/** What only holds the things that it is about. */
const HOLDERS = new Set(["registry"]);

/**
 * The verb is the last part and what it was done to the one before; parts in front of that are where it belongs and are
 * left out, but where the noun alone would say nothing.
 */
export function sentence(action: string): string {
  const parts = action.split(".").filter(Boolean);
  const verb = parts.pop() ?? action;
  while (parts.length > 1 && HOLDERS.has(parts.at(-1) ?? "")) parts.pop();
  const noun = parts.pop();
  if (noun === undefined) return upper(spaced(verb));
  const before = VAGUE.has(noun) ? parts.at(-1) : undefined;
  const thing = spaced(singular(before ? `${before} ${noun}` : noun));
  const all = /^all_(.+)$/.exec(verb);
  if (all) return `All ${plural(thing)} ${spaced(all[1] ?? "")}`;
  return upper(`${thing} ${VERBS[verb] ?? spaced(verb)}`);
}
