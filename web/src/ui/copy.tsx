import { Check, Copy as CopyIcon } from "lucide-react";
import { useState } from "react";
import { t } from "../text";
import { Button } from "./button";

/** A text that is meant to be pasted elsewhere. */
export function Copy({ text, shown = text, label }: { text: string; shown?: string; label?: string }) {
  const [done, setDone] = useState(false);
  const copy = async () => {
    await navigator.clipboard.writeText(text);
    setDone(true);
    setTimeout(() => setDone(false), 1500);
  };
  return (
    <span className="copyable">
      <code className="clip" title={text}>
        {shown}
      </code>
      <Button kind="quiet" size="small" square onClick={copy} aria-label={done ? t.ui.copied : (label ?? t.ui.copy(shown))}>
        {done ? <Check size={14} /> : <CopyIcon size={14} />}
      </Button>
    </span>
  );
}

/** An id, short where it stands among other things. */
export function Id({ id }: { id: string }) {
  return (
    <code className="small muted" title={id}>
      {id.length > 13 ? `${id.slice(0, 4)}\u2026${id.slice(-6)}` : id}
    </code>
  );
}
