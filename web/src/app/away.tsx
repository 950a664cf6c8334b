import { Unplug } from "lucide-react";
import { useEffect, useState } from "react";
import { useAway } from "../api/reach";
import { look, start, useSession } from "../api/session";
import { t } from "../text";
import { Empty } from "../ui/bits";
import { Button } from "../ui/button";

const EVERY_MS = 2_000;

/** Asks again until the kernel answers. */
function useReturn(): { busy: boolean; ask: () => void } {
  const [busy, setBusy] = useState(false);
  const begun = useSession().facts !== null;
  const ask = () => {
    setBusy(true);
    void (begun ? look() : start()).catch(() => undefined).finally(() => setBusy(false));
  };
  useEffect(() => {
    const timer = setInterval(ask, EVERY_MS);
    return () => clearInterval(timer);
  });
  return { busy, ask };
}

/** Above a page whose kernel has gone: what is on it stays. */
export function AwayBanner() {
  return useAway() ? <Banner /> : null;
}

function Banner() {
  const { busy, ask } = useReturn();
  return (
    <div className="away" role="status">
      <Unplug size={16} aria-hidden="true" />
      <span className="grow">{t.away.banner}</span>
      <Button size="small" onClick={ask} busy={busy}>
        {t.away.now}
      </Button>
    </div>
  );
}

/** The page was opened while no kernel answers. */
export function Away() {
  const { busy, ask } = useReturn();
  return (
    <main className="starting">
      <Empty
        icon={<Unplug size={30} />}
        title={t.away.title}
        actions={
          <Button kind="primary" onClick={ask} busy={busy}>
            {t.away.now}
          </Button>
        }
      >
        {t.away.text}
      </Empty>
    </main>
  );
}
