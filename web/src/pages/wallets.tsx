import { useQuery, useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { ArrowDownLeft, ArrowLeftRight, ArrowUpRight, Plus, Scale, Snowflake, Undo2, Wallet as WalletIcon } from "lucide-react";
import { useMemo, useState } from "react";
import { type Answer, api } from "../api/client";
import { usePaged } from "../api/paged";
import { useMay, useSession } from "../api/session";
import { t } from "../text";
import { full, minorUnits, money, words } from "../text/format";
import { Badge, Empty, PageHead, Pairs, Panel, Skeleton, When } from "../ui/bits";
import { Button } from "../ui/button";
import { Copy, Id } from "../ui/copy";
import { Drawer, FormDialog } from "../ui/dialog";
import { SelectField, TextField } from "../ui/field";
import { List } from "../ui/list";
import { ActMenu } from "../ui/menu";
import { ProblemNote } from "../ui/problem";
import { tell, tellProblem } from "../ui/toast";
import { PersonOnly } from "./operator-only";

type Wallet = Answer<"/api/v1/wallets", "get">["data"][number];
type Transaction = Answer<"/api/v1/wallets/{id}/transactions", "get">["data"][number];
const route = getRouteApi("/wallets");

const nameOf = (wallet: Wallet): string => wallet.label || t.wallets.kinds[wallet.kind as keyof typeof t.wallets.kinds] || wallet.currency;

export default function Wallets() {
  const { me } = useSession();
  const { wallet: chosen } = route.useSearch();
  const navigate = route.useNavigate();
  const queries = useQueryClient();
  const mayWrite = useMay("wallets.write");
  const [act, setAct] = useState<"create" | "transfer" | "credit" | "debit" | null>(null);
  const list = usePaged<Wallet>(
    ["wallets"],
    (cursor, signal) => api.get("/api/v1/wallets", { query: { limit: 50, cursor }, signal }),
    { enabled: me !== null, refetchInterval: 10_000 },
  );
  if (!me) return <PersonOnly title={t.wallets.title} />;
  const wallet = list.rows.find((row) => row.id === chosen) ?? list.rows[0];
  const refresh = () => {
    void queries.invalidateQueries({ queryKey: ["wallets"] });
    void queries.invalidateQueries({ queryKey: ["transactions"] });
  };
  return (
    <>
      <PageHead title={t.wallets.title} about={t.wallets.about}>
        {mayWrite && (
          <>
            <Button onClick={() => setAct("create")}>
              <Plus size={15} />
              {t.wallets.create}
            </Button>
            <Button kind="primary" onClick={() => setAct("transfer")} disabled={list.rows.length < 2}>
              <ArrowLeftRight size={15} />
              {t.wallets.transfer}
            </Button>
          </>
        )}
      </PageHead>
      <Ledger />
      {list.error && list.rows.length === 0 ? (
        <ProblemNote error={list.error} retry={list.reload} />
      ) : list.loading ? (
        <Skeleton lines={3} />
      ) : list.rows.length === 0 ? (
        <Panel>
          <Empty
            icon={<WalletIcon size={28} />}
            title={t.wallets.none}
            actions={
              mayWrite ? (
                <Button kind="primary" onClick={() => setAct("create")}>
                  {t.wallets.create}
                </Button>
              ) : null
            }
          >
            {t.wallets.noneHint}
          </Empty>
        </Panel>
      ) : (
        <>
          <ul className="purse">
            {list.rows.map((row) => (
              <li key={row.id}>
                <button
                  type="button"
                  className="wallet"
                  aria-pressed={row.id === wallet?.id}
                  onClick={() => void navigate({ search: { wallet: row.id }, replace: true })}
                >
                  <span className="row-apart">
                    <span className="small clip">{nameOf(row)}</span>
                    {row.state !== "active" ? <Snowflake size={14} aria-label={t.wallets.frozenState} /> : <code className="tiny">{row.currency}</code>}
                  </span>
                  <strong className="wallet-amount tabular">{money(row.available, row.currency)}</strong>
                  <span className="tiny muted tabular">
                    {row.frozen > 0 ? t.wallets.held(money(row.frozen, row.currency)) : t.wallets.noHolds}
                  </span>
                </button>
              </li>
            ))}
            {list.hasMore && (
              <li>
                <Button onClick={list.more} busy={list.loadingMore}>
                  {t.ui.more}
                </Button>
              </li>
            )}
          </ul>
          {wallet && <Transactions wallet={wallet} wallets={list.rows} onAct={setAct} mayWrite={mayWrite} onDone={refresh} />}
        </>
      )}
      {act === "create" && <Create onClose={() => setAct(null)} onDone={refresh} />}
      {act === "transfer" && wallet && <Transfer from={wallet} wallets={list.rows} onClose={() => setAct(null)} onDone={refresh} />}
      {(act === "credit" || act === "debit") && wallet && <Move kind={act} wallet={wallet} onClose={() => setAct(null)} onDone={refresh} />}
    </>
  );
}

function Transactions({
  wallet,
  wallets,
  onAct,
  mayWrite,
  onDone,
}: {
  wallet: Wallet;
  wallets: Wallet[];
  onAct: (act: "credit" | "debit") => void;
  mayWrite: boolean;
  onDone: () => void;
}) {
  const [open, setOpen] = useState<Transaction | null>(null);
  const list = usePaged<Transaction>(["transactions", wallet.id], (cursor, signal) =>
    api.get("/api/v1/wallets/{id}/transactions", { path: { id: wallet.id }, query: { limit: 30, cursor }, signal }),
  );
  const freeze = async () => {
    try {
      if (wallet.state === "active") {
        await api.post("/api/v1/wallets/{id}/freeze", { path: { id: wallet.id }, body: { reason: t.wallets.freezeReason } });
      } else await api.post("/api/v1/wallets/{id}/unfreeze", { path: { id: wallet.id } });
      tell(wallet.state === "active" ? t.wallets.frozen(nameOf(wallet)) : t.wallets.thawed(nameOf(wallet)));
      onDone();
    } catch (error) {
      tellProblem(error);
    }
  };
  const side = (row: Transaction): number =>
    row.entries.filter((entry) => entry.account === "wallet" && entry.walletId === wallet.id).reduce((sum, entry) => sum + entry.amount, 0);
  const other = (row: Transaction): string => {
    const id = row.walletId === wallet.id ? row.counterpartyId : row.walletId;
    const known = wallets.find((one) => one.id === id);
    return known ? nameOf(known) : id ? id.slice(-6) : t.wallets.outside;
  };
  return (
    <Panel
      title={nameOf(wallet)}
      about={<Id id={wallet.id} />}
      flush
      side={
        mayWrite && (
          <>
            <Button size="small" onClick={() => onAct("credit")}>
              <ArrowDownLeft size={14} />
              {t.wallets.credit}
            </Button>
            <Button size="small" onClick={() => onAct("debit")}>
              <ArrowUpRight size={14} />
              {t.wallets.debit}
            </Button>
            <ActMenu
              label={t.sandboxes.actsOf(nameOf(wallet))}
              groups={[[{ label: wallet.state === "active" ? t.wallets.freeze : t.wallets.thaw, icon: <Snowflake size={15} />, run: () => void freeze() }]]}
            />
          </>
        )
      }
    >
      {wallet.state !== "active" && (
        <div className="problem" data-tone="warn" style={{ margin: "var(--s3) var(--s4)" }}>
          <strong>{t.wallets.frozenState}</strong>
          <span>{wallet.reason}</span>
        </div>
      )}
      <List
        label={t.wallets.transactions}
        list={list}
        keyOf={(row) => row.id}
        onOpen={setOpen}
        columns={[
          { id: "what", title: t.wallets.what, cell: (row) => row.description || t.wallets.transactionKinds(row.kind) },
          { id: "kind", title: t.wallets.kind, cell: (row) => <Badge>{words(row.kind)}</Badge> },
          { id: "other", title: t.wallets.other, cell: (row) => <span className="muted">{other(row)}</span> },
          {
            id: "state",
            title: t.users.state,
            cell: (row) => <Badge tone={row.state === "held" ? "warn" : row.state === "completed" ? "good" : undefined}>{words(row.state)}</Badge>,
          },
          { id: "when", title: t.audit.when, cell: (row) => <When at={row.createdAt} /> },
          {
            id: "amount",
            title: t.wallets.amount,
            numeric: true,
            cell: (row) => {
              const amount = side(row);
              return (
                <span className={amount > 0 ? "good nowrap" : "nowrap"}>
                  {amount > 0 ? "+" : amount < 0 ? "\u2212" : ""}
                  {money(Math.abs(amount || row.amount), row.currency)}
                </span>
              );
            },
          },
        ]}
        empty={
          <Empty icon={<ArrowLeftRight size={26} />} title={t.wallets.still}>
            {t.wallets.stillHint}
          </Empty>
        }
      />
      <Drawer open={open !== null} onClose={() => setOpen(null)} title={open ? open.description || t.wallets.transactionKinds(open.kind) : ""} about={open ? full(open.createdAt) : ""}>
        {open && <OneTransaction transaction={open} wallets={wallets} mayWrite={mayWrite} onDone={onDone} />}
      </Drawer>
    </Panel>
  );
}

function OneTransaction({
  transaction,
  wallets,
  mayWrite,
  onDone,
}: {
  transaction: Transaction;
  wallets: Wallet[];
  mayWrite: boolean;
  onDone: () => void;
}) {
  const [reversing, setReversing] = useState(false);
  const [reason, setReason] = useState("");
  const key = useMemo(() => crypto.randomUUID(), []);
  const wallet = (id: string | null | undefined) => {
    const known = wallets.find((one) => one.id === id);
    return known ? nameOf(known) : id ? <Id id={id} /> : null;
  };
  return (
    <>
      <Pairs
        of={[
          [t.events.id, <Copy key="id" text={transaction.id} />],
          [t.wallets.kind, words(transaction.kind)],
          [t.users.state, words(transaction.state)],
          [t.wallets.amount, money(transaction.amount, transaction.currency)],
        ]}
      />
      <section className="stack">
        <h3>{t.wallets.entries}</h3>
        <div className="table-frame panel">
          <table className="table" aria-label={t.wallets.entries}>
            <tbody>
              {transaction.entries.map((entry, index) => (
                <tr key={index}>
                  <td>{words(entry.account)}</td>
                  <td className="muted">{wallet(entry.walletId)}</td>
                  <td className="num nowrap">{money(entry.amount, transaction.currency)}</td>
                </tr>
              ))}
              <tr>
                <td>
                  <strong>{t.wallets.sum}</strong>
                </td>
                <td />
                <td className="num nowrap">
                  <strong>{money(transaction.entries.reduce((sum, entry) => sum + entry.amount, 0), transaction.currency)}</strong>
                </td>
              </tr>
            </tbody>
          </table>
        </div>
        <p className="small muted">{t.wallets.entriesHint}</p>
      </section>
      {mayWrite && transaction.state === "completed" && !transaction.reversedBy && (
        <div>
          <Button onClick={() => setReversing(true)}>
            <Undo2 size={15} />
            {t.wallets.reverse}
          </Button>
        </div>
      )}
      <FormDialog
        open={reversing}
        onClose={() => setReversing(false)}
        title={t.wallets.reverseTitle(money(transaction.amount, transaction.currency))}
        about={t.wallets.reverseAbout}
        action={t.wallets.reverse}
        danger
        ready={reason.trim().length > 0}
        submit={() =>
          api.post("/api/v1/wallets/{id}/reversal", {
            path: { id: transaction.walletId },
            body: { transactionId: transaction.id, reason },
            key,
          })
        }
        onDone={() => {
          tell(t.wallets.reversed);
          onDone();
        }}
      >
        <TextField label={t.wallets.reason} value={reason} onChange={(event) => setReason(event.target.value)} autoFocus />
      </FormDialog>
    </>
  );
}

function Create({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
  const [currency, setCurrency] = useState("EUR");
  const [label, setLabel] = useState("");
  return (
    <FormDialog
      open
      onClose={onClose}
      title={t.wallets.create}
      about={t.wallets.createAbout}
      action={t.wallets.create}
      ready={/^[A-Z]{3}$/.test(currency)}
      submit={() => api.post("/api/v1/wallets", { body: { currency, label: label || undefined } })}
      onDone={() => {
        tell(t.wallets.created);
        onDone();
      }}
    >
      {(fault) => (
        <>
          <TextField label={t.wallets.label} value={label} onChange={(event) => setLabel(event.target.value)} fault={fault("/label")} autoFocus />
          <TextField
            label={t.wallets.currency}
            hint={t.wallets.currencyHint}
            value={currency}
            maxLength={3}
            onChange={(event) => setCurrency(event.target.value.toUpperCase())}
            fault={fault("/currency")}
          />
        </>
      )}
    </FormDialog>
  );
}

function Transfer({ from, wallets, onClose, onDone }: { from: Wallet; wallets: Wallet[]; onClose: () => void; onDone: () => void }) {
  const [source, setSource] = useState(from.id);
  const [target, setTarget] = useState("");
  const [text, setText] = useState("");
  const [about, setAbout] = useState("");
  // One key for this form: whoever clicks twice, or tries again after a broken line, pays once.
  const key = useMemo(() => crypto.randomUUID(), []);
  const wallet = wallets.find((row) => row.id === source) ?? from;
  const targets = wallets.filter((row) => row.currency === wallet.currency && row.id !== wallet.id);
  const to = targets.some((row) => row.id === target) ? target : (targets[0]?.id ?? "");
  const amount = minorUnits(text, wallet.currency);
  return (
    <FormDialog
      open
      onClose={onClose}
      title={t.wallets.transfer}
      about={t.wallets.transferAbout}
      action={amount ? t.wallets.send(money(amount, wallet.currency)) : t.wallets.transfer}
      ready={Boolean(amount && to)}
      submit={() =>
        api.post("/api/v1/transfers", {
          body: { from: source, to, amount: amount ?? 0, description: about || undefined },
          key,
        })
      }
      onDone={(made) => {
        tell(t.wallets.sent(money(made.amount, made.currency)));
        onDone();
      }}
    >
      {(fault) => (
        <>
          <SelectField label={t.wallets.from} value={source} onChange={(event) => setSource(event.target.value)} fault={fault("/from")}>
            {wallets.map((row) => (
              <option key={row.id} value={row.id}>
                {`${nameOf(row)} \u00b7 ${money(row.available, row.currency)}`}
              </option>
            ))}
          </SelectField>
          <SelectField
            label={t.wallets.to}
            value={to}
            onChange={(event) => setTarget(event.target.value)}
            hint={targets.length === 0 ? t.wallets.noTarget(wallet.currency) : undefined}
            fault={fault("/to")}
          >
            {targets.map((row) => (
              <option key={row.id} value={row.id}>
                {`${nameOf(row)} \u00b7 ${row.id.slice(-6)}`}
              </option>
            ))}
          </SelectField>
          <TextField
            label={t.wallets.amountIn(wallet.currency)}
            inputMode="decimal"
            value={text}
            onChange={(event) => setText(event.target.value)}
            fault={fault("/amount") ?? (text && amount === null ? t.wallets.badAmount : undefined)}
            hint={t.wallets.availableNow(money(wallet.available, wallet.currency))}
            autoFocus
          />
          <TextField label={t.wallets.description} value={about} maxLength={500} onChange={(event) => setAbout(event.target.value)} />
        </>
      )}
    </FormDialog>
  );
}

function Move({ kind, wallet, onClose, onDone }: { kind: "credit" | "debit"; wallet: Wallet; onClose: () => void; onDone: () => void }) {
  const [text, setText] = useState("");
  const [about, setAbout] = useState("");
  const key = useMemo(() => crypto.randomUUID(), []);
  const amount = minorUnits(text, wallet.currency);
  return (
    <FormDialog
      open
      onClose={onClose}
      title={kind === "credit" ? t.wallets.creditTitle(nameOf(wallet)) : t.wallets.debitTitle(nameOf(wallet))}
      about={kind === "credit" ? t.wallets.creditAbout : t.wallets.debitAbout}
      action={kind === "credit" ? t.wallets.credit : t.wallets.debit}
      ready={Boolean(amount)}
      submit={() => api.post(`/api/v1/wallets/{id}/${kind}`, { path: { id: wallet.id }, body: { amount: amount ?? 0, description: about || undefined }, key })}
      onDone={() => {
        tell(t.wallets.moved);
        onDone();
      }}
    >
      {(fault) => (
        <>
          <TextField
            label={t.wallets.amountIn(wallet.currency)}
            inputMode="decimal"
            value={text}
            onChange={(event) => setText(event.target.value)}
            fault={fault("/amount") ?? (text && amount === null ? t.wallets.badAmount : undefined)}
            autoFocus
          />
          <TextField label={t.wallets.description} value={about} maxLength={500} onChange={(event) => setAbout(event.target.value)} />
        </>
      )}
    </FormDialog>
  );
}

/** Recomputes every balance from its entries. */
function Ledger() {
  const [asked, setAsked] = useState(false);
  const query = useQuery({
    queryKey: ["ledger"],
    queryFn: ({ signal }) => api.get("/api/v1/ledger/verify", { signal }),
    enabled: asked,
  });
  const answer = query.data;
  return (
    <section className="proof" data-state={answer ? (answer.valid ? "good" : "bad") : undefined} aria-live="polite">
      <Scale size={22} aria-hidden="true" />
      <div className="grow">
        <strong>{answer ? (answer.valid ? t.wallets.balanced : t.wallets.unbalanced(answer.differences.length)) : t.wallets.ledger}</strong>
        <p className="small muted">{answer ? t.wallets.counted(answer.wallets, answer.transactions, answer.entries) : t.wallets.ledgerHint}</p>
        {query.error ? <ProblemNote error={query.error} /> : null}
      </div>
      <Button
        onClick={() => {
          if (asked) void query.refetch();
          else setAsked(true);
        }}
        busy={query.isFetching}
      >
        {t.wallets.verify}
      </Button>
    </section>
  );
}
