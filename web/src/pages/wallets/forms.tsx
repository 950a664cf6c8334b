import { useMemo, useState } from "react";
import { api } from "../../api/client";
import { t } from "../../text";
import { minorUnits, money } from "../../text/format";
import { FormDialog } from "../../ui/dialog";
import { SelectField, TextField } from "../../ui/field";
import { tell } from "../../ui/toast";
import type { Named, Wallet } from "./wallet";

export function Create({ onClose, onDone }: { onClose: () => void; onDone: () => void }) {
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

export function Transfer({ from, wallets, nameOf, onClose, onDone }: { from: Wallet; wallets: Wallet[]; nameOf: Named; onClose: () => void; onDone: () => void }) {
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

export function Move({ kind, wallet, nameOf, onClose, onDone }: { kind: "credit" | "debit"; wallet: Wallet; nameOf: Named; onClose: () => void; onDone: () => void }) {
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
