import { useQuery, useQueryClient } from "@tanstack/react-query";
import { FastForward, FileText } from "lucide-react";
import { useMemo, useState } from "react";
import { type Answer, api } from "../api/client";
import { usePaged } from "../api/paged";
import { useMay, useSession } from "../api/session";
import { t } from "../text";
import { bytes, count, date, money, span } from "../text/format";
import { Badge, Empty, Meter, PageHead, Panel, Skeleton, type Tone } from "../ui/bits";
import { Button } from "../ui/button";
import { FormDialog } from "../ui/dialog";
import { List } from "../ui/list";
import { ProblemNote } from "../ui/problem";
import { tell, tellProblem } from "../ui/toast";
import { PersonOnly } from "./operator-only";
import { AdvanceDialog } from "./sandboxes/clock";

type Plan = Answer<"/api/v1/billing/plans", "get">["data"][number];
type Subscription = Answer<"/api/v1/billing/subscriptions/current", "get">;
type Invoice = Answer<"/api/v1/billing/invoices", "get">["data"][number];

const TONE: Record<string, Tone> = {
  trialing: "accent",
  active: "good",
  past_due: "warn",
  suspended: "bad",
  terminated: "bad",
  canceled: "warn",
};

export default function Billing() {
  const { me, facts } = useSession();
  const [advancing, setAdvancing] = useState(false);
  const current = useQuery({
    queryKey: ["billing", "subscription"],
    queryFn: ({ signal }) => api.get("/api/v1/billing/subscriptions/current", { signal }),
    enabled: me !== null,
    refetchInterval: 5_000,
  });
  const plans = useQuery({
    queryKey: ["billing", "plans"],
    queryFn: ({ signal }) => api.get("/api/v1/billing/plans", { query: { limit: 50 }, signal }),
    enabled: me !== null,
  });
  if (!me) return <PersonOnly title={t.plan.title} />;
  const subscription = current.data;
  return (
    <>
      <PageHead title={t.plan.title} about={t.plan.about(me.tenant.name)}>
        {facts?.operator && (
          <Button onClick={() => setAdvancing(true)}>
            <FastForward size={15} />
            {t.plan.advance}
          </Button>
        )}
      </PageHead>
      {current.error ? (
        <ProblemNote error={current.error} retry={() => void current.refetch()} />
      ) : !subscription ? (
        <Skeleton lines={3} />
      ) : (
        <>
          <Life subscription={subscription} />
          <Usage />
          <Plans plans={plans.data?.data ?? []} subscription={subscription} />
          <Invoices />
        </>
      )}
      {facts && <AdvanceDialog sandbox={facts.sandbox} open={advancing} onClose={() => setAdvancing(false)} days={38} />}
    </>
  );
}

/** Where the subscription is on its way from trial to termination. */
function Life({ subscription }: { subscription: Subscription }) {
  const { ahead } = useSession();
  const mayChange = useMay("billing.change");
  const queries = useQueryClient();
  const [busy, setBusy] = useState<string | null>(null);
  const simulate = async (event: "payment_failed" | "payment_succeeded" | "renewal") => {
    setBusy(event);
    try {
      await api.post("/api/v1/billing/simulate", { body: { event } });
      await queries.invalidateQueries({ queryKey: ["billing"] });
    } catch (error) {
      tellProblem(error);
    } finally {
      setBusy(null);
    }
  };
  const now = Date.now() + ahead;
  const steps = ["trialing", "active", "past_due", "suspended", "terminated"] as const;
  const at = steps.indexOf(subscription.state as (typeof steps)[number]);
  const end =
    (subscription.state === "past_due" ? subscription.suspendsAt : subscription.state === "suspended" ? subscription.terminatesAt : null) ??
    subscription.periodEnd;
  return (
    <section className="panel life" aria-label={t.plan.life}>
      <div className="row-apart">
        <div className="row">
          <h2>{t.plan.planName(subscription.plan.name)}</h2>
          <Badge tone={TONE[subscription.state]}>{t.plan.states[subscription.state as keyof typeof t.plan.states] ?? subscription.state}</Badge>
        </div>
        {at < 4 && <span className="small muted">{t.plan.until(date(end), span(Date.parse(end) - now))}</span>}
      </div>
      <ol className="life-line">
        {steps.map((step, index) => (
          <li key={step} data-state={index < at ? "past" : index === at ? "now" : undefined} aria-current={index === at ? "step" : undefined}>
            <span>{t.plan.states[step]}</span>
          </li>
        ))}
      </ol>
      <p className="small muted">
        {t.plan.stateHints[subscription.state as keyof typeof t.plan.stateHints] ?? ""}
        {subscription.nextPlan ? ` ${t.plan.next(t.plan.planName(subscription.nextPlan.name))}` : ""}
      </p>
      {mayChange && (
        <div className="row" role="group" aria-label={t.plan.simulate}>
          <span className="small muted">{t.plan.simulate}</span>
          {(["payment_failed", "payment_succeeded", "renewal"] as const).map((event) => (
            <Button key={event} size="small" busy={busy === event} disabled={busy !== null} onClick={() => void simulate(event)}>
              {t.plan.events[event]}
            </Button>
          ))}
        </div>
      )}
    </section>
  );
}

function Usage() {
  const query = useQuery({
    queryKey: ["billing", "usage"],
    queryFn: ({ signal }) => api.get("/api/v1/billing/usage", { signal }),
    refetchInterval: 5_000,
  });
  if (query.error) return <ProblemNote error={query.error} />;
  const shown = (name: string, value: number) => (name === "storageBytes" ? bytes(value) : count(value));
  return (
    <Panel title={t.plan.usage} about={t.plan.usageAbout}>
      {!query.data ? (
        <Skeleton lines={4} />
      ) : (
        <div className="usage">
          {query.data.current.map((row) => (
            <div key={row.what} className="stack-tight">
              <div className="row-apart small">
                <strong>{t.plan.limits[row.what as keyof typeof t.plan.limits] ?? row.what}</strong>
                <span className="tabular muted">
                  {shown(row.what, row.used)} / {row.limit ? shown(row.what, row.limit) : t.plan.unlimited}
                </span>
              </div>
              <Meter part={row.limit ? row.used / row.limit : 0} label={t.plan.limits[row.what as keyof typeof t.plan.limits] ?? row.what} />
            </div>
          ))}
        </div>
      )}
    </Panel>
  );
}

function Plans({ plans, subscription }: { plans: Plan[]; subscription: Subscription }) {
  const mayChange = useMay("billing.change");
  const queries = useQueryClient();
  const [chosen, setChosen] = useState<Plan | null>(null);
  const key = useMemo(() => crypto.randomUUID(), [chosen]);
  const price = plans.find((plan) => plan.id === subscription.plan.id)?.price ?? 0;
  const limit = (name: string, value: number) => (value === 0 ? t.plan.unlimited : name === "storageBytes" ? bytes(value) : count(value));
  return (
    <section className="stack">
      <h2>{t.plan.plans}</h2>
      <ul className="plans">
        {plans.filter((plan) => plan.offered || plan.id === subscription.plan.id).map((plan) => {
          const mine = plan.id === subscription.plan.id;
          return (
            <li key={plan.id} className="panel plan" data-mine={mine || undefined}>
              <h3>{t.plan.planName(plan.name)}</h3>
              <p className="plan-price tabular">
                {plan.price === 0 ? t.plan.free : money(plan.price, plan.currency)}
                {plan.price > 0 && <small className="muted"> {t.plan.every[plan.interval as keyof typeof t.plan.every] ?? ""}</small>}
              </p>
              <dl className="plan-limits small tabular">
                {(["users", "records", "storageBytes", "eventsPerDay", "modules"] as const).map((name) => (
                  <div key={name} className="row-apart">
                    <dt className="muted">{name === "eventsPerDay" ? t.plan.eventsADay : t.plan.limits[name]}</dt>
                    <dd>{limit(name, plan.limits[name])}</dd>
                  </div>
                ))}
              </dl>
              {mine ? (
                <Badge tone="accent">{t.plan.mine}</Badge>
              ) : (
                mayChange && <Button onClick={() => setChosen(plan)}>{t.plan.choose(t.plan.planName(plan.name))}</Button>
              )}
            </li>
          );
        })}
      </ul>
      <FormDialog
        open={chosen !== null}
        onClose={() => setChosen(null)}
        title={t.plan.changeTitle(chosen ? t.plan.planName(chosen.name) : "")}
        about={chosen && chosen.price >= price ? t.plan.upgradeAbout : t.plan.downgradeAbout}
        action={t.plan.change}
        submit={() =>
          api.patch("/api/v1/billing/subscriptions/{id}", {
            path: { id: subscription.id },
            body: { plan: chosen?.name ?? "" },
            version: subscription.version,
            key,
          })
        }
        onDone={() => {
          tell(t.plan.changed);
          void queries.invalidateQueries({ queryKey: ["billing"] });
        }}
      />
    </section>
  );
}

function Invoices() {
  const list = usePaged<Invoice>(["billing", "invoices"], (cursor, signal) =>
    api.get("/api/v1/billing/invoices", { query: { limit: 20, cursor }, signal }),
  );
  return (
    <Panel title={t.plan.invoices} flush>
      <List
        label={t.plan.invoices}
        list={list}
        keyOf={(row) => row.id}
        columns={[
          { id: "number", title: t.plan.number, cell: (row) => `#${row.number}` },
          { id: "state", title: t.users.state, cell: (row) => <Badge tone={row.state === "paid" ? "good" : row.state === "open" ? "warn" : undefined}>{t.plan.invoiceStates(row.state)}</Badge> },
          { id: "date", title: t.audit.when, cell: (row) => date(row.issuedAt) },
          { id: "total", title: t.wallets.amount, numeric: true, cell: (row) => money(row.total, row.currency) },
        ]}
        empty={
          <Empty icon={<FileText size={26} />} title={t.plan.noInvoices}>
            {t.plan.noInvoicesHint}
          </Empty>
        }
      />
    </Panel>
  );
}
