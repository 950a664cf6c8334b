import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Pause, Play, Radio } from "lucide-react";
import { useEffect, useRef, useState } from "react";
import { api } from "../api/client";
import type { components } from "../api/schema";
import { useSession } from "../api/session";
import { t } from "../text";
import { clock } from "../text/format";
import { Badge, Empty, Json, PageHead, Pairs, Panel, Skeleton, When } from "../ui/bits";
import { Button } from "../ui/button";
import { Copy } from "../ui/copy";
import { Drawer } from "../ui/dialog";
import { Choice } from "../ui/field";
import { ProblemNote } from "../ui/problem";
import { PersonOnly } from "./operator-only";

type Event = components["schemas"]["DomainEvent"];
const route = getRouteApi("/events");
/** The audit trail echoes every other change: followed only when it is asked for. */
const AUDIT = "platform.audit.events";
const KEPT = 400;
const BACKLOG_MS = 15 * 60_000;

/** Adds what came, drops what was there already, keeps the newest; events of several topics are put in order of time. */
export function merge(before: Event[], came: Event[], kept = KEPT): Event[] {
  const known = new Set(before.map((event) => event.id));
  const fresh = came.filter((event) => !known.has(event.id));
  if (fresh.length === 0) return before;
  return [...before, ...fresh].toSorted((a, b) => (a.timestamp < b.timestamp ? 1 : a.timestamp > b.timestamp ? -1 : 0)).slice(0, kept);
}

/** Follows topics from a quarter of an hour ago: each keeps the cursor behind its last event. */
function useTail(topics: string[], running: boolean): { events: Event[]; error: unknown; started: boolean; clear: () => void } {
  const [events, setEvents] = useState<Event[]>([]);
  const [error, setError] = useState<unknown>(null);
  const [started, setStarted] = useState(false);
  const cursors = useRef(new Map<string, string>());
  const { ahead } = useSession();
  const names = topics.join(" ");
  useEffect(() => {
    cursors.current.clear();
    setEvents([]);
    setStarted(false);
  }, [names]);
  useEffect(() => {
    if (!running || names === "") return;
    const stop = new AbortController();
    const since = new Date(Date.now() + ahead - BACKLOG_MS).toISOString();
    const round = async (): Promise<void> => {
      let full = false;
      const pages = await Promise.all(
        names.split(" ").map(async (topic) => {
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
      setStarted(true);
      setError(null);
      if (full && !stop.signal.aborted) await round();
    };
    const loop = async () => {
      while (!stop.signal.aborted) {
        try {
          await round();
        } catch (problem) {
          if (!stop.signal.aborted) setError(problem);
        }
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    };
    void loop();
    return () => stop.abort();
  }, [names, running, ahead]);
  return { events, error, started, clear: () => setEvents([]) };
}

export default function Events() {
  const { me } = useSession();
  const { topic } = route.useSearch();
  const navigate = route.useNavigate();
  const [running, setRunning] = useState(true);
  const [narrow, setNarrow] = useState("");
  const [open, setOpen] = useState<Event | null>(null);
  const topics = useQuery({
    queryKey: ["topics"],
    queryFn: ({ signal }) => api.get("/api/v1/events/topics", { signal }),
    enabled: me !== null,
  });
  const all = (topics.data?.data ?? []).map((one) => one.topic);
  const { events, error, started, clear } = useTail(topic ? [topic] : all.filter((one) => one !== AUDIT), running);
  if (!me) return <PersonOnly title={t.events.title} />;
  const wanted = narrow.trim().toLowerCase();
  const shown = wanted
    ? events.filter((event) => `${event.type} ${event.key} ${event.source}`.toLowerCase().includes(wanted))
    : events;
  return (
    <>
      <PageHead title={t.events.title} about={t.events.about}>
        <Button onClick={() => setRunning(!running)} aria-pressed={!running}>
          {running ? <Pause size={15} /> : <Play size={15} />}
          {running ? t.events.pause : t.events.follow}
        </Button>
        <Button kind="quiet" onClick={clear} disabled={events.length === 0}>
          {t.events.clear}
        </Button>
      </PageHead>
      <div className="filters">
        <Choice
          label={t.events.topic}
          value={topic ?? ""}
          onChange={(event) => void navigate({ search: { topic: event.target.value || undefined } })}
        >
          <option value="">{t.events.allTopics}</option>
          {all.map((one) => (
            <option key={one}>{one}</option>
          ))}
        </Choice>
        <input
          className="input"
          type="search"
          aria-label={t.events.narrow}
          placeholder={t.events.narrow}
          value={narrow}
          onChange={(event) => setNarrow(event.target.value)}
        />
        <span className="row small muted" role="status">
          <span className="dot" data-tone={error ? "bad" : running ? "good" : undefined} data-live={running || undefined} aria-hidden="true" />
          {running ? t.events.live : t.events.paused}
        </span>
      </div>
      {error ? <ProblemNote error={error} /> : null}
      <Panel flush foot={shown.length > 0 ? t.events.shown(shown.length) : undefined}>
        {!started && running ? (
          <Skeleton lines={6} />
        ) : shown.length === 0 ? (
          <Empty icon={<Radio size={28} />} title={wanted ? t.events.noMatch : t.events.quiet}>
            {wanted ? t.events.noMatchHint : t.events.quietHint}
          </Empty>
        ) : (
          <ol className="tail">
            {shown.map((event) => (
              <li key={event.id}>
                <button type="button" onClick={() => setOpen(event)}>
                  <time dateTime={event.timestamp} className="tabular muted">
                    {clock(event.timestamp)}
                  </time>
                  <code className="tail-type">{event.type}</code>
                  <span className="clip muted">{summary(event)}</span>
                </button>
              </li>
            ))}
          </ol>
        )}
      </Panel>
      <Drawer open={open !== null} onClose={() => setOpen(null)} title={open?.type ?? ""} about={open ? <When at={open.timestamp} /> : null}>
        {open && (
          <>
            <Pairs
              of={[
                [t.events.id, <Copy key="id" text={open.id} />],
                [t.events.source, <Badge key="source">{open.source}</Badge>],
                [t.events.key, <code key="key">{open.key}</code>],
                [t.events.version, open.schemaVersion],
                [t.events.trace, open.traceId ? <Copy key="trace" text={open.traceId} /> : null],
              ]}
            />
            <section className="stack">
              <h3>{t.events.data}</h3>
              <Json value={open.data} />
            </section>
          </>
        )}
      </Drawer>
    </>
  );
}

function summary(event: Event): string {
  const data = (event.data ?? {}) as Record<string, unknown>;
  const inner = (typeof data.after === "object" && data.after !== null ? data.after : data) as Record<string, unknown>;
  const parts = Object.entries(inner)
    .filter(([name, value]) => !/id$/i.test(name) && (typeof value === "string" || typeof value === "number") && value !== "")
    .slice(0, 4)
    .map(([name, value]) => `${name} ${value}`);
  return parts.join(" \u00b7 ");
}
