import { useQuery } from "@tanstack/react-query";
import { Scale } from "lucide-react";
import { useState } from "react";
import { api } from "../../api/client";
import { t } from "../../text";
import { Button } from "../../ui/button";
import { ProblemNote } from "../../ui/problem";

/** Recomputes every balance from its entries. */
export function Ledger() {
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
