import { Link, type LinkProps } from "@tanstack/react-router";
import type { ButtonHTMLAttributes, ReactNode } from "react";

type Kind = "plain" | "primary" | "danger" | "quiet";

interface Looks {
  kind?: Kind;
  size?: "small";
  /** Only an icon; needs an aria-label. */
  square?: boolean;
}

interface Props extends ButtonHTMLAttributes<HTMLButtonElement>, Looks {
  /** Something is under way: the button turns and takes no second click. */
  busy?: boolean;
}

export function Button({ kind = "plain", size, square, busy, children, ...rest }: Props) {
  return (
    <button
      type="button"
      {...rest}
      className="button"
      data-kind={kind}
      data-size={size}
      data-square={square || undefined}
      aria-busy={busy || undefined}
      disabled={rest.disabled || busy}
    >
      {busy && <span className="spin" aria-hidden="true" />}
      {(!busy || !square) && children}
    </button>
  );
}

/** A link that looks like a button. */
export function ButtonLink({
  kind = "plain",
  size,
  children,
  ...rest
}: Looks & { children: ReactNode } & Pick<LinkProps, "to" | "params" | "search">) {
  return (
    <Link {...rest} className="button" data-kind={kind} data-size={size}>
      {children}
    </Link>
  );
}
