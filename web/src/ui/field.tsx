import { Search } from "lucide-react";
import {
  type InputHTMLAttributes,
  type ReactNode,
  type SelectHTMLAttributes,
  type TextareaHTMLAttributes,
  useEffect,
  useId,
  useState,
} from "react";

interface Around {
  label: string;
  hint?: ReactNode;
  fault?: string | undefined;
}

function Frame({ id, label, hint, fault, children }: Around & { id: string; children: ReactNode }) {
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      {children}
      {fault ? (
        <div className="fault" id={`${id}-fault`} role="alert">
          {fault}
        </div>
      ) : (
        hint && (
          <div className="hint" id={`${id}-hint`}>
            {hint}
          </div>
        )
      )}
    </div>
  );
}

function described(id: string, { hint, fault }: Pick<Around, "hint" | "fault">) {
  return {
    id,
    className: "input",
    "aria-invalid": fault ? true : undefined,
    "aria-describedby": fault ? `${id}-fault` : hint ? `${id}-hint` : undefined,
  };
}

export function TextField({ label, hint, fault, ...rest }: Around & InputHTMLAttributes<HTMLInputElement>) {
  const id = useId();
  return (
    <Frame {...{ id, label, hint, fault }}>
      <input autoComplete="off" {...rest} {...described(id, { hint, fault })} />
    </Frame>
  );
}

export function TextArea({ label, hint, fault, ...rest }: Around & TextareaHTMLAttributes<HTMLTextAreaElement>) {
  const id = useId();
  return (
    <Frame {...{ id, label, hint, fault }}>
      <textarea {...rest} {...described(id, { hint, fault })} />
    </Frame>
  );
}

export function SelectField({
  label,
  hint,
  fault,
  children,
  ...rest
}: Around & SelectHTMLAttributes<HTMLSelectElement>) {
  const id = useId();
  return (
    <Frame {...{ id, label, hint, fault }}>
      <select {...rest} {...described(id, { hint, fault })}>
        {children}
      </select>
    </Frame>
  );
}

/** A choice among filters: its label is for those who can't see where it stands. */
export function Choice({
  label,
  children,
  ...rest
}: { label: string } & SelectHTMLAttributes<HTMLSelectElement>) {
  return (
    <select className="input" aria-label={label} {...rest}>
      {children}
    </select>
  );
}

/** A search that waits until the typing pauses. */
export function SearchField({
  label,
  value,
  onSearch,
}: {
  label: string;
  value: string;
  onSearch: (text: string) => void;
}) {
  const [text, setText] = useState(value);
  useEffect(() => setText(value), [value]);
  useEffect(() => {
    if (text === value) return;
    const timer = setTimeout(() => onSearch(text), 250);
    return () => clearTimeout(timer);
  }, [text, value, onSearch]);
  return (
    <div className="input-with-icon">
      <Search size={15} aria-hidden="true" />
      <input
        className="input"
        type="search"
        aria-label={label}
        placeholder={label}
        value={text}
        onChange={(event) => setText(event.target.value)}
      />
    </div>
  );
}
