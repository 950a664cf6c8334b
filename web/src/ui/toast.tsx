import { Toast as Base } from "@base-ui/react/toast";
import { X } from "lucide-react";
import { Problem, Unreachable } from "../api/client";
import { t } from "../text";
import { Button } from "./button";

const toasts = Base.createToastManager();

/** Says what happened and goes away. */
export function tell(title: string, description?: string): void {
  toasts.add({ title, description, type: "good", timeout: 4500 });
}

/** Says what was refused; stays longer, because it has to be read. */
export function tellProblem(error: unknown): void {
  const problem = error instanceof Problem ? error : null;
  const title = problem?.title ?? (error instanceof Unreachable ? t.ui.unreachable : t.ui.failed);
  toasts.add({
    title,
    description: problem?.message ?? String((error as Error)?.message ?? error),
    type: "bad",
    timeout: 9000,
    priority: "high",
  });
}

export function Toasts() {
  return (
    <Base.Provider toastManager={toasts}>
      <Base.Portal>
        <Base.Viewport className="toasts">
          <Shown />
        </Base.Viewport>
      </Base.Portal>
    </Base.Provider>
  );
}

function Shown() {
  const { toasts: all } = Base.useToastManager();
  return all.map((toast) => (
    <Base.Root key={toast.id} toast={toast} className="toast">
      <div className="grow" style={{ gridColumn: "1 / 3" }}>
        <Base.Title className="title" render={<div />} />
        <Base.Description className="text" render={<div />} />
      </div>
      <Base.Close render={<Button kind="quiet" size="small" square aria-label={t.ui.close} />}>
        <X size={14} />
      </Base.Close>
    </Base.Root>
  ));
}
