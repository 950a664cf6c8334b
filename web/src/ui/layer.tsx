import { Dialog as Base } from "@base-ui/react/dialog";
import type { ReactNode } from "react";

/** A layer above the page with a dimmed page behind it. */
export function Popup({ children }: { children: ReactNode }) {
  return (
    <Base.Portal>
      <Base.Backdrop className="backdrop positioner" />
      <div className="positioner" style={{ position: "fixed" }}>
        {children}
      </div>
    </Base.Portal>
  );
}
