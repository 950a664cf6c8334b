/** Whether the kernel can be reached: every request tells. */
import { store, useStore } from "./store";

/** The kernel did not answer at all. */
export class Unreachable extends Error {}

export const away = store(false);
export const useAway = (): boolean => useStore(away);

export async function reach(url: string, init: RequestInit = {}): Promise<Response> {
  try {
    const response = await fetch(url, init);
    if (away.get()) away.set(false);
    return response;
  } catch (cause) {
    if (init.signal?.aborted) throw cause;
    if (!away.get()) away.set(true);
    throw new Unreachable("The kernel does not answer.", { cause });
  }
}
