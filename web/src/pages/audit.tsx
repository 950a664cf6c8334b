import { useQuery } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Download, ScrollText, ShieldCheck, ShieldX, X } from "lucide-react";
import { useState } from "react";
import { type Answer, address, api } from "../api/client";
import { usePaged } from "../api/paged";
import { useMay, useSession } from "../api/session";
import { t } from "../text";
import { full } from "../text/format";
import { Badge, Empty, Json, PageHead, Pairs, Panel, Skeleton, When } from "../ui/bits";
import { Button } from "../ui/button";
import { Copy, Id } from "../ui/copy";
import { Drawer } from "../ui/dialog";
import { Choice, SearchField } from "../ui/field";
import { List } from "../ui/list";
import { ProblemNote } from "../ui/problem";
import { save } from "../ui/save";
import { Changes } from "./changes";
import { PersonOnly } from "./operator-only";

type Record_ = Answer<"/api/v1/audit/records", "get">["data"][number];
type Verified = Answer<"/api/v1/audit/verify", "get">;
const route = getRouteApi("/audit");
const SPANS: [string, number][] = [
  ["", 0],
  ["hour", 3_600_000],
  ["day", 86_400_000],
  ["week", 604_800_000],
];

export default function Audit() {
  const { me, ahead } = useSession();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const mayExport = useMay("audit.export");
  const [open, setOpen] = useState<Record_ | null>(null);
  const [busy, setBusy] = useState(false);
  const span = SPANS.find(([name]) => name === (search.since ?? ""))?.[1] ?? 0;
  // To the minute, so that the query stays the same while one looks at it.
  const from = span ? new Date(Math.floor((Date.now() + ahead - span) / 60_000) * 60_000).toISOString() : undefined;
  const query = { q: search.q, action: search.action, entityType: search.entityType, entityId: search.entityId, from };
  const list = usePaged<Record_>(
    ["audit", query],
    (cursor, signal) => api.get("/api/v1/audit/records", { query: { ...query, limit: 50, cursor }, signal }),
    { enabled: me !== null },
  );
  if (!me) return <PersonOnly title={t.audit.title} />;
  const change = (next: Partial<typeof search>) => void navigate({ search: { ...search, ...next }, replace: true });
  const download = async () => {
    setBusy(true);
    await save(address("/api/v1/audit/export", {}, { ...query, q: undefined, format: "csv" }), "audit.csv");
    setBusy(false);
  };
  return (
    <>
      <PageHead title={t.audit.title} about={t.audit.about}>
        {mayExport && (
          <Button onClick={() => void download()} busy={busy}>
            <Download size={15} />
            {t.data.export}
          </Button>
        )}
      </PageHead>
      <Proof />
      <div className="filters">
        <SearchField label={t.audit.search} value={search.q ?? ""} onSearch={(q) => change({ q: q || undefined })} />
        <SearchField label={t.audit.action} value={search.action ?? ""} onSearch={(action) => change({ action: action || undefined })} />
        <Choice label={t.audit.since} value={search.since ?? ""} onChange={(event) => change({ since: event.target.value || undefined })}>
          <option value="">{t.audit.always}</option>
          <option value="hour">{t.audit.hour}</option>
          <option value="day">{t.audit.day}</option>
          <option value="week">{t.audit.week}</option>
        </Choice>
        {search.entityType && (
          <span className="chip">
            <span>
              {search.entityType} <Id id={search.entityId ?? ""} />
            </span>
            <button type="button" aria-label={t.audit.allThings} onClick={() => change({ entityType: undefined, entityId: undefined })}>
              <X size={13} />
            </button>
          </span>
        )}
      </div>
      <Panel flush>
        <List
          label={t.audit.title}
          list={list}
          keyOf={(row) => row.auditId}
          onOpen={setOpen}
          columns={[
            { id: "what", title: t.audit.what, cell: (row) => row.description || t.audit.sentence(row.action) },
            { id: "action", title: t.audit.actionColumn, cell: (row) => <code className="small">{row.action}</code> },
            {
              id: "who",
              title: t.audit.who,
              cell: (row) => (
                <span className="clip" style={{ display: "inline-block", maxWidth: "14rem" }}>
                  {row.actorEmail ?? t.audit.actor(row.actor)}
                </span>
              ),
            },
            { id: "when", title: t.audit.when, cell: (row) => <When at={row.timestamp} /> },
            {
              id: "seq",
              title: t.audit.place,
              numeric: true,
              cell: (row) => (row.seq === null || row.seq === undefined ? <Badge>{t.audit.pending}</Badge> : `#${row.seq}`),
            },
          ]}
          empty={
            <Empty icon={<ScrollText size={28} />} title={search.q || search.action || search.since ? t.data.noMatch : t.audit.none}>
              {search.q || search.action || search.since ? t.audit.noMatchHint : t.audit.noneHint}
            </Empty>
          }
        />
      </Panel>
      <Drawer
        open={open !== null}
        onClose={() => setOpen(null)}
        title={open ? open.description || t.audit.sentence(open.action) : ""}
        about={open ? full(open.timestamp) : ""}
      >
        {open && <One record={open} />}
      </Drawer>
    </>
  );
}

function One({ record }: { record: Record_ }) {
  const history = useQuery({
    queryKey: ["history", record.entityType, record.entityId],
    queryFn: ({ signal }) =>
      api.get("/api/v1/audit/entity/{type}/{key}", {
        path: { type: record.entityType, key: record.entityId },
        query: { limit: 50 },
        signal,
      }),
  });
  const entry = history.data?.data.find((one) => one.auditId === record.auditId);
  return (
    <>
      <Pairs
        of={[
          [t.audit.actionColumn, <code key="a">{record.action}</code>],
          [t.audit.who, record.actorEmail ?? t.audit.actor(record.actor)],
          [t.audit.kind, record.actorKind],
          [t.audit.thing, <span key="t">{record.entityType} <Copy text={record.entityId} /></span>],
          [t.audit.address, record.ip],
          [t.audit.agent, record.userAgent],
          [t.events.trace, record.traceId ? <Copy key="trace" text={record.traceId} /> : null],
          [t.audit.place, record.seq ? `#${record.seq}` : t.audit.pendingLong],
          [t.audit.hash, record.hash ? <Copy key="hash" text={record.hash} /> : null],
        ]}
      />
      {entry && entry.changes.length > 0 && (
        <section className="stack">
          <h3>{t.audit.changes}</h3>
          <Changes of={entry.changes} />
        </section>
      )}
      {!entry && (record.before || record.after) ? (
        <section className="stack">
          <h3>{t.audit.changes}</h3>
          <Json value={{ before: record.before, after: record.after }} />
        </section>
      ) : null}
      <section className="stack">
        <h3>{t.audit.history}</h3>
        {history.isPending ? (
          <Skeleton lines={2} />
        ) : history.error ? (
          <ProblemNote error={history.error} />
        ) : (
          <ol className="history">
            {history.data.data.map((one) => (
              <li key={one.auditId} aria-current={one.auditId === record.auditId || undefined}>
                <div className="row-apart small">
                  <code>{one.action}</code>
                  <span className="muted">
                    {one.actorEmail ?? t.audit.actor(one.actor)} {"\u00b7"} <When at={one.timestamp} />
                  </span>
                </div>
              </li>
            ))}
          </ol>
        )}
      </section>
    </>
  );
}

/** The proof: every record's hash holds the one before, so a change anywhere shows. */
function Proof() {
  const [state, setState] = useState<{ busy: boolean; answer: Verified | null; error: unknown }>({
    busy: false,
    answer: null,
    error: null,
  });
  const verify = async () => {
    setState({ busy: true, answer: null, error: null });
    try {
      setState({ busy: false, answer: await api.get("/api/v1/audit/verify"), error: null });
    } catch (error) {
      setState({ busy: false, answer: null, error });
    }
  };
  const { answer } = state;
  return (
    <section className="proof" data-state={answer ? (answer.valid ? "good" : "bad") : undefined} aria-live="polite">
      {answer && !answer.valid ? <ShieldX size={22} aria-hidden="true" /> : <ShieldCheck size={22} aria-hidden="true" />}
      <div className="grow">
        <strong>
          {answer ? (answer.valid ? t.audit.valid(answer.checked) : t.audit.invalid(answer.firstBad?.seq ?? 0)) : t.audit.proof}
        </strong>
        <p className="small muted">
          {answer
            ? answer.valid
              ? t.audit.head(answer.head.seq, answer.head.hash.slice(0, 16))
              : t.audit.faults[answer.firstBad?.reason ?? "changed"]
            : t.audit.proofHint}
        </p>
        {state.error ? <ProblemNote error={state.error} /> : null}
      </div>
      <Button kind={answer ? "plain" : "primary"} onClick={() => void verify()} busy={state.busy}>
        {answer ? t.audit.verifyAgain : t.audit.verify}
      </Button>
    </section>
  );
}
