import { useQuery } from "@tanstack/react-query";
import { type Answer, api } from "../../api/client";
import { useMay, useSession } from "../../api/session";
import { t } from "../../text";

export type Wallet = Answer<"/api/v1/wallets", "get">["data"][number];
export type Transaction = Answer<"/api/v1/wallets/{id}/transactions", "get">["data"][number];

/** What a wallet is called, and whose it is where that is somebody else's. */
export type Named = (wallet: Wallet) => string;

const nameOf = (wallet: Wallet, owner?: string): string => {
  const name = wallet.label || t.wallets.kinds[wallet.kind as keyof typeof t.wallets.kinds] || wallet.currency;
  return owner ? t.wallets.ofOwner(name, owner) : name;
};

/** Names of wallets; two people may call theirs the same. */
export function useNames(): Named {
  const { me } = useSession();
  const allowed = useMay("users.list");
  const query = useQuery({
    queryKey: ["users", "names"],
    queryFn: ({ signal }) => api.get("/api/v1/users", { query: { limit: 100 }, signal }),
    enabled: allowed,
    staleTime: 60_000,
  });
  const names = new Map((query.data?.data ?? []).map((user) => [user.id, user.name]));
  return (wallet) => nameOf(wallet, wallet.userId && wallet.userId !== me?.user?.id ? names.get(wallet.userId) : undefined);
}
