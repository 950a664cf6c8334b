import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { ArrowRight } from "lucide-react";
import { api } from "../api/client";
import { may, useSession } from "../api/session";
import { usePulse } from "../app/pulse";
import { t } from "../text";
import { count, micros } from "../text/format";
import { Badge, Empty, Figure, Mark, PageHead, Panel, Skeleton, Spark, When } from "../ui/bits";
import { ProblemNote } from "../ui/problem";
import { folded, toneOf } from "./latest";
import { SignIn } from "./sign-in";

export default function Home() {
  const { me, facts } = useSession();
  const first = me?.user?.name.split(" ")[0];
  return (
    <>
      <PageHead
        title={first ? t.home.hello(first) : t.home.title}
        about={me ? t.home.about(me.tenant.name, facts?.sandbox ?? "") : t.home.operatorAbout}
      />
      {facts?.operator && <Traffic />}
      {me ? (
        <div className="columns">
          <Latest />
          <Next />
        </div>
      ) : (
        <div className="columns">
          <Panel title={t.home.enter} about={t.home.enterAbout}>
            <SignIn embedded />
          </Panel>
          <Next />
        </div>
      )}
    </>
  );
}

function Traffic() {
  const { pulses, total, loading } = usePulse();
  if (loading) return <Skeleton lines={3} />;
  const now = total.at(-1) ?? 0;
  const worst = pulses.reduce((top, pulse) => Math.max(top, pulse.p99), 0);
  const failed = pulses.reduce((sum, pulse) => sum + pulse.errorsNow, 0);
  const awake = pulses.filter((pulse) => pulse.links.length > 0).length;
  return (
    <Link to="/topology" className="traffic" aria-label={t.home.toTopology}>
      <dl className="figures traffic-figures">
        <Figure label={t.home.rate}>
          {count(Math.round(now))} <small>{t.home.perSecond}</small>
        </Figure>
        <Figure label={t.home.p99}>{micros(worst)}</Figure>
        <Figure label={t.home.errors}>
          <span className={failed > 0 ? "bad" : undefined}>{failed}</span>
        </Figure>
        <Figure label={t.home.services}>
          {awake} <small>{t.home.ofTwelve}</small>
        </Figure>
      </dl>
      <div className="traffic-line">
        <Spark values={total.length > 1 ? total : [0, 0]} height={64} />
      </div>
    </Link>
  );
}

/** The newest things that happened in the tenant, as the audit trail has them. */
function Latest() {
  const { me } = useSession();
  const allowed = may(me, "audit.read");
  const query = useQuery({
    queryKey: ["audit", "latest"],
    queryFn: ({ signal }) => api.get("/api/v1/audit/records", { query: { limit: 50 }, signal }),
    enabled: allowed,
    refetchInterval: 5_000,
  });
  if (!allowed) {
    return (
      <Panel title={t.home.latest}>
        <Empty title={t.home.latestHidden} icon={<Mark />}>
          {t.home.latestHiddenHint}
        </Empty>
      </Panel>
    );
  }
  const rows = folded(query.data?.data ?? [], 9);
  return (
    <Panel
      title={t.home.latest}
      flush
      side={
        <Link to="/audit" className="small">
          {t.home.all}
        </Link>
      }
    >
      {query.error && rows.length === 0 ? (
        <div style={{ padding: "var(--s4)" }}>
          <ProblemNote error={query.error} retry={() => void query.refetch()} />
        </div>
      ) : query.isPending ? (
        <Skeleton />
      ) : rows.length === 0 ? (
        <Empty title={t.audit.none}>{t.audit.noneHint}</Empty>
      ) : (
        <ol className="feed">
          {rows.map(({ row, times }) => (
            <li key={row.auditId}>
              <span className="dot" data-tone={toneOf(row.action)} aria-hidden="true" />
              <span className="grow">
                <Link
                  to="/audit"
                  search={times > 1 ? { action: row.action } : { entityType: row.entityType, entityId: row.entityId }}
                  className="quiet-link"
                >
                  {row.description || t.audit.sentence(row.action)}
                </Link>{" "}
                {times > 1 && <Badge>{t.home.times(times)}</Badge>}
                <span className="small muted clip" style={{ display: "block" }}>
                  {row.actorEmail ?? t.audit.actor(row.actor)} {"\u00b7"} <code>{row.action}</code>
                </span>
              </span>
              <span className="small muted">
                <When at={row.timestamp} />
              </span>
            </li>
          ))}
        </ol>
      )}
    </Panel>
  );
}

/** What to do first: what this person may do, in the order in which it makes sense. */
function Next() {
  const { me, facts } = useSession();
  const steps = t.home.steps.filter((step) => {
    if (step.operator && !facts?.operator) return false;
    return step.permission ? may(me, step.permission) : step.operator;
  });
  return (
    <Panel title={t.home.next} flush>
      <ol className="steps">
        {steps.map((step) => (
          <li key={step.title}>
            <Link to={step.to}>
              <span className="grow">
                <strong>{step.title}</strong>
                <span className="small muted">{step.text}</span>
              </span>
              <ArrowRight size={16} aria-hidden="true" />
            </Link>
          </li>
        ))}
        {!facts?.operator && (
          <li>
            <span className="step-still">
              <span className="grow">
                <strong>{t.home.become}</strong>
                <span className="small muted">{t.signIn.operatorHint}</span>
                <code className="small">platform-kernel open</code>
              </span>
            </span>
          </li>
        )}
      </ol>
    </Panel>
  );
}
