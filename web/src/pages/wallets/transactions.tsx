import { ArrowDownLeft, ArrowLeftRight, ArrowUpRight, Snowflake, Undo2 } from "lucide-react";
import { useMemo, useState } from "react";
import { api } from "../../api/client";
import { usePaged } from "../../api/paged";
import { t } from "../../text";
import { full, money, words } from "../../text/format";
import { Badge, Empty, Pairs, Panel, When } from "../../ui/bits";
import { Button } from "../../ui/button";
import { Copy, Id } from "../../ui/copy";
import { Drawer, FormDialog } from "../../ui/dialog";
import { TextField } from "../../ui/field";
import { List } from "../../ui/list";
import { ActMenu } from "../../ui/menu";
import { tell, tellProblem } from "../../ui/toast";
import type { Named, Transaction, Wallet } from "./wallet";

export function Transactions({
  wallet,
  wallets,
  nameOf,
  onAct,
  mayWrite,
  onDone,
}: {
  wallet: Wallet;
  wallets: Wallet[];
  nameOf: Named;
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
        {open && <OneTransaction transaction={open} wallets={wallets} nameOf={nameOf} mayWrite={mayWrite} onDone={onDone} />}
      </Drawer>
    </Panel>
  );
}

function OneTransaction({
  transaction,
  wallets,
  nameOf,
  mayWrite,
  onDone,
}: {
  transaction: Transaction;
  wallets: Wallet[];
  nameOf: Named;
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
