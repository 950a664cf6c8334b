/** The newest events of some topics: the last quarter of an hour, then what is told as it happens. */
import { useEffect, useRef, useState } from "react";
import { api } from "../../api/client";
import { listen } from "../../api/line";
import type { components } from "../../api/schema";
import { renew, session } from "../../api/session";

export type Event = components["schemas"]["DomainEvent"];

/** The audit trail echoes every other change: followed only when it is asked for. */
export const AUDIT = "platform.audit.events";
const KEPT = 400;
const BACKLOG_MS = 15 * 60_000;
const ROUND_MS = 1_000;
const LONGEST_WAIT_MS = 60_000;

export const topicOf = (type: string): string => `platform.${type.split(".")[0]}.events`;

/** Adds what came, drops what was there already, keeps the newest; events of several topics are put in order of time. */
export function merge(before: Event[], came: Event[], kept = KEPT): Event[] {
  const known = new Set(before.map((event) => event.id));
  const fresh = came.filter((event) => !known.has(event.id));
  if (fresh.length === 0) return before;
  return [...before, ...fresh].toSorted((a, b) => (a.timestamp < b.timestamp ? 1 : a.timestamp > b.timestamp ? -1 : 0)).slice(0, kept);
}

/** The time `back` milliseconds ago on the sandbox's clock. */
const ago = (back: number): string => new Date(Date.now() + session.get().ahead - back).toISOString();

export interface Tail {
  events: Event[];
  error: unknown;
  started: boolean;
  /** Whether the kernel tells what happens, or is asked for it every second because it can't be heard. */
  line: "live" | "polled";
  clear: () => void;
}

export function useTail(topics: string[], running: boolean): Tail {
  const [events, setEvents] = useState<Event[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [started, setStarted] = useState(false);
  const [line, setLine] = useState<Tail["line"]>("polled");
  const cursors = useRef(new Map<string, string>());
  const names = topics.join(" ");
  useEffect(() => {
    cursors.current.clear();
    setEvents([]);
    setStarted(false);
  }, [names]);
  useEffect(() => {
    if (!running || names === "") return;
    const stop = new AbortController();
    const followed = names.split(" ");
    let since = ago(BACKLOG_MS);
    const round = async (): Promise<void> => {
      let full = false;
      const pages = await Promise.all(
        followed.map(async (topic) => {
          const page = await api.get("/api/v1/events/topics/{topic}/messages", {
            path: { topic },
            query: { from: cursors.current.get(topic) ?? since, limit: 100 },
            signal: stop.signal,
          });
          if (page.meta.cursor) cursors.current.set(topic, page.meta.cursor);
          full ||= page.data.length === 100;
          return page.data;
        }),
      );
      setEvents((before) => merge(before, pages.flat()));
      if (full && !stop.signal.aborted) await round();
    };

    let hangUp: (() => void) | null = null;
    let live = false;
    // What happened before the kernel began to tell is asked for once more.
    let behind = true;
    let refused = false;
    let [wait, next] = [ROUND_MS, 0];
    const call = () => {
      next = Date.now() + wait;
      wait = Math.min(wait * 2, LONGEST_WAIT_MS);
      hangUp = listen("events", {
        token: () => session.get().token,
        renew,
        told: (event) => {
          const one = event as Event;
          if (followed.includes(topicOf(one.type))) setEvents((before) => merge(before, [one]));
        },
        live: () => {
          [live, behind, wait] = [true, true, ROUND_MS];
          setLine("live");
        },
        over: (forGood) => {
          // Cursors stand where the last question left them; from here on is enough.
          if (live) {
            since = ago(10_000);
            cursors.current.clear();
          }
          [live, hangUp, refused] = [false, null, forGood];
          setLine("polled");
        },
      });
    };
    const loop = async () => {
      while (!stop.signal.aborted) {
        let pause = ROUND_MS;
        if (behind || !live) {
          const wasLive = live;
          try {
            await round();
            if (wasLive) behind = false;
            setStarted(true);
            setError(null);
            // Only a kernel that has just answered is called.
            if (!hangUp && !refused && Date.now() >= next && !stop.signal.aborted) call();
            if (live && behind) pause = 0;
          } catch (problem) {
            if (!stop.signal.aborted) setError(problem);
          }
        }
        await new Promise((resolve) => setTimeout(resolve, pause));
      }
    };
    void loop();
    return () => {
      stop.abort();
      hangUp?.();
      setLine("polled");
    };
  }, [names, running]);
  return { events, error, started, line, clear: () => setEvents([]) };
}
