import { Clock3, FastForward } from "lucide-react";
import { useEffect, useState } from "react";
import { useSession } from "../api/session";
import { t } from "../text";
import { clock, date, span } from "../text/format";
import { AdvanceDialog } from "../pages/sandboxes/clock";
import { Button } from "../ui/button";

/** The sandbox's time, once it differs from the real one; the operator can move it from here. */
export function ClockPlate() {
  const { ahead, facts } = useSession();
  const [, tick] = useState(0);
  const [open, setOpen] = useState(false);
  useEffect(() => {
    const timer = setInterval(() => tick((n) => n + 1), 1000);
    return () => clearInterval(timer);
  }, []);
  if (!facts) return null;
  const moved = Math.abs(ahead) > 5_000;
  const at = new Date(Date.now() + ahead);
  const face = (
    <>
      <Clock3 size={14} aria-hidden="true" />
      <span className="tabular">
        {date(at)} {clock(at)}
      </span>
      {moved && <strong className="warn">{`+${span(ahead)}`}</strong>}
    </>
  );
  if (!facts.operator) {
    return moved ? (
      <span className="row small muted" title={t.clock.about}>
        {face}
      </span>
    ) : null;
  }
  return (
    <>
      <span className="only-large">
        <Button kind="quiet" onClick={() => setOpen(true)} title={t.clock.about}>
          {face}
          <FastForward size={14} aria-hidden="true" />
        </Button>
      </span>
      <AdvanceDialog sandbox={facts.sandbox} open={open} onClose={() => setOpen(false)} />
    </>
  );
}
