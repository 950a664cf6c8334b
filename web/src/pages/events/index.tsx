import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Pause, Play, Radio } from "lucide-react";
import { useState } from "react";
import { api } from "../../api/client";
import { useSession } from "../../api/session";
import { t } from "../../text";
import { clock } from "../../text/format";
import { Badge, Empty, Json, PageHead, Pairs, Panel, Skeleton, When } from "../../ui/bits";
import { Button } from "../../ui/button";
import { Copy } from "../../ui/copy";
import { Drawer } from "../../ui/dialog";
import { Choice } from "../../ui/field";
import { ProblemNote } from "../../ui/problem";
import { PersonOnly } from "../operator-only";
import { AUDIT, type Event, useTail } from "./tail";

const route = getRouteApi("/events");

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
  const { events, error, started, line, clear } = useTail(topic ? [topic] : all.filter((one) => one !== AUDIT), running);
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
          <span className="dot" data-tone={error ? "bad" : !running ? undefined : line === "live" ? "good" : "warn"} data-live={running || undefined} aria-hidden="true" />
          {!running ? t.events.paused : line === "live" ? t.events.live : t.events.polled}
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
      <Drawer open={open !== null} onClose={() => setOpen(null)} title={open ? t.audit.sentence(open.type) : ""} about={open ? <When at={open.timestamp} /> : null}>
        {open && (
          <>
            <Pairs
              of={[
                [t.events.type, <code key="type">{open.type}</code>],
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
