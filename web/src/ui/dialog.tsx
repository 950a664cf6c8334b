import { Dialog as Base } from "@base-ui/react/dialog";
import { X } from "lucide-react";
import { type FormEvent, type ReactNode, useState } from "react";
import { t } from "../text";
import { Button } from "./button";
import { TextField } from "./field";
import { useWork } from "./form";
import { Refusal } from "./problem";
import { Popup } from "./layer";

interface Shown {
  open: boolean;
  onClose: () => void;
  title: string;
  about?: ReactNode;
}

export function Dialog({ open, onClose, title, about, wide, children }: Shown & { wide?: boolean; children: ReactNode }) {
  return (
    <Base.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Popup>
        <Base.Popup className="dialog" data-wide={wide || undefined}>
          <div className="head">
            <Base.Title render={<h2 />}>{title}</Base.Title>
            {about && <Base.Description className="muted small">{about}</Base.Description>}
          </div>
          <div className="content">{children}</div>
        </Base.Popup>
      </Popup>
    </Base.Root>
  );
}

/** What one thing is, beside the list it came from. */
export function Drawer({ open, onClose, title, about, children }: Shown & { children: ReactNode }) {
  return (
    <Base.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Popup>
        <Base.Popup className="drawer">
          <div className="head">
            <div className="grow">
              <Base.Title render={<h2 />}>{title}</Base.Title>
              {about && (
                <Base.Description render={<div />} className="muted small">
                  {about}
                </Base.Description>
              )}
            </div>
            <Base.Close render={<Button kind="quiet" size="small" square aria-label={t.ui.close} />}>
              <X size={16} />
            </Base.Close>
          </div>
          <div className="content">{children}</div>
        </Base.Popup>
      </Popup>
    </Base.Root>
  );
}

/** A form in a dialog: shows the refusal, closes when it is done. */
export function FormDialog<T>({
  submit,
  action,
  children,
  onDone,
  ready = true,
  danger,
  stays,
  ...shown
}: Shown & {
  wide?: boolean;
  /** What comes after it is shown in its place. */
  stays?: boolean;
  submit: () => Promise<T>;
  action: string;
  children?: ReactNode | ((fault: (field: string) => string | undefined) => ReactNode);
  onDone?: (answer: T) => void;
  ready?: boolean;
  danger?: boolean;
}) {
  const work = useWork();
  const run = async (event: FormEvent) => {
    event.preventDefault();
    if (!ready) return;
    const done = await work.run(async () => onDone?.(await submit()));
    if (done && !stays) shown.onClose();
  };
  const close = () => {
    if (work.busy) return;
    work.forget();
    shown.onClose();
  };
  const inner = typeof children === "function" ? children(work.fault) : children;
  return (
    <Dialog {...shown} onClose={close}>
      <form className="stack" onSubmit={run} noValidate>
        {inner}
        <Refusal of={work} />
        <div className="actions">
          <Button onClick={close} disabled={work.busy}>
            {t.ui.cancel}
          </Button>
          <Button type="submit" kind={danger ? "danger" : "primary"} busy={work.busy} disabled={!ready}>
            {action}
          </Button>
        </div>
      </form>
    </Dialog>
  );
}

/** What can't be undone is asked for by name. */
export function AskByName({
  name,
  consequence,
  ...rest
}: Omit<Shown, "about"> & {
  name: string;
  consequence: ReactNode;
  action: string;
  submit: () => Promise<unknown>;
  onDone?: () => void;
}) {
  const [typed, setTyped] = useState("");
  const close = () => {
    setTyped("");
    rest.onClose();
  };
  return (
    <FormDialog {...rest} onClose={close} about={consequence} danger ready={typed.trim() === name}>
      <TextField
        label={t.ui.typeName(name)}
        value={typed}
        onChange={(event) => setTyped(event.target.value)}
        spellCheck={false}
        autoCapitalize="off"
      />
    </FormDialog>
  );
}
