import { useQueryClient } from "@tanstack/react-query";
import { useState } from "react";
import { api } from "../../api/client";
import { bracing, survive, useSession } from "../../api/session";
import { t } from "../../text";
import { full } from "../../text/format";
import { FormDialog } from "../../ui/dialog";
import { Choice } from "../../ui/field";
import { tell } from "../../ui/toast";

const DAY = 86_400;

/** Moves a sandbox's clock forward. A snapshot is taken first, because the way back is a restore. */
async function advance(sandbox: string, seconds: number): Promise<string> {
  const label = `before-${new Date().toISOString().slice(0, 19).replace(/[:T]/g, "-")}`;
  await api.post("/api/v1/sandboxes/{name}/snapshots", { as: "operator", path: { name: sandbox }, body: { label } });
  await api.post("/api/v1/sandboxes/{name}/clock", {
    as: "operator",
    path: { name: sandbox },
    body: { mode: "advance", seconds },
  });
  return label;
}

export function AdvanceDialog({
  sandbox,
  open,
  onClose,
  days = 1,
}: {
  sandbox: string;
  open: boolean;
  onClose: () => void;
  days?: number;
}) {
  const queries = useQueryClient();
  const here = useSession().facts?.sandbox === sandbox;
  const [amount, setAmount] = useState(days);
  const [unit, setUnit] = useState(DAY);
  const ahead = useSession().ahead;
  const target = new Date(Date.now() + (here ? ahead : 0) + amount * unit * 1000);
  return (
    <FormDialog
      open={open}
      onClose={onClose}
      title={t.clock.title(sandbox)}
      about={t.clock.about}
      action={t.clock.advance}
      ready={amount > 0 && Number.isFinite(amount)}
      submit={() => (here ? bracing(t.clock.ended, () => advance(sandbox, amount * unit)) : advance(sandbox, amount * unit))}
      onDone={(label) => {
        tell(t.clock.done, t.clock.back(label));
        if (here) void survive(t.clock.ended).then(() => queries.invalidateQueries());
        else void queries.invalidateQueries();
      }}
    >
      <div className="row" role="group" aria-label={t.clock.by}>
        <input
          className="input"
          type="number"
          min={1}
          max={3650}
          style={{ width: "7rem" }}
          aria-label={t.clock.amount}
          value={Number.isFinite(amount) ? amount : ""}
          onChange={(event) => setAmount(event.target.valueAsNumber)}
        />
        <Choice
          label={t.clock.unit}
          style={{ width: "9rem" }}
          value={unit}
          onChange={(event) => setUnit(Number(event.target.value))}
        >
          <option value={60}>{t.clock.minutes}</option>
          <option value={3600}>{t.clock.hours}</option>
          <option value={DAY}>{t.clock.days}</option>
        </Choice>
      </div>
      {here && amount > 0 && <p className="small muted">{t.clock.then(full(target))}</p>}
    </FormDialog>
  );
}
