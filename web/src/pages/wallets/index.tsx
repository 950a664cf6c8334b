import { useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { ArrowLeftRight, Plus, Snowflake, Wallet as WalletIcon } from "lucide-react";
import { useState } from "react";
import { api } from "../../api/client";
import { usePaged } from "../../api/paged";
import { useMay, useSession } from "../../api/session";
import { t } from "../../text";
import { money } from "../../text/format";
import { Empty, PageHead, Panel, Skeleton } from "../../ui/bits";
import { Button } from "../../ui/button";
import { More } from "../../ui/list";
import { ProblemNote } from "../../ui/problem";
import { PersonOnly } from "../operator-only";
import { Create, Move, Transfer } from "./forms";
import { Ledger } from "./ledger";
import { Transactions } from "./transactions";
import { type Wallet, useNames } from "./wallet";

const route = getRouteApi("/wallets");

export default function Wallets() {
  const { me } = useSession();
  const { wallet: chosen } = route.useSearch();
  const navigate = route.useNavigate();
  const queries = useQueryClient();
  const mayWrite = useMay("wallets.write");
  const nameOf = useNames();
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
          </ul>
          <More list={list} />
          {wallet && <Transactions wallet={wallet} wallets={list.rows} nameOf={nameOf} onAct={setAct} mayWrite={mayWrite} onDone={refresh} />}
        </>
      )}
      {act === "create" && <Create onClose={() => setAct(null)} onDone={refresh} />}
      {act === "transfer" && wallet && <Transfer from={wallet} wallets={list.rows} nameOf={nameOf} onClose={() => setAct(null)} onDone={refresh} />}
      {(act === "credit" || act === "debit") && wallet && <Move kind={act} wallet={wallet} nameOf={nameOf} onClose={() => setAct(null)} onDone={refresh} />}
    </>
  );
}
