import { KeyRound, Lock, UserRound } from "lucide-react";
import { useSession } from "../api/session";
import { t } from "../text";
import { Empty, PageHead, Panel } from "../ui/bits";
import { ButtonLink } from "../ui/button";
import { Copy } from "../ui/copy";

/** A page of whoever runs the process; says how to become that. */
export function OperatorOnly({ title }: { title: string }) {
  return (
    <>
      <PageHead title={title} />
      <Panel>
        <Empty icon={<KeyRound size={28} />} title={t.operator.title} actions={<Copy text="platform-kernel open" />}>
          {t.operator.text}
        </Empty>
      </Panel>
    </>
  );
}

/** A page of a tenant, opened by the operator who is nobody there, or is not any more. */
export function PersonOnly({ title }: { title: string }) {
  const { why } = useSession();
  return (
    <>
      <PageHead title={title} />
      {why && (
        <div className="problem" data-tone="accent" role="status">
          <span>{why}</span>
        </div>
      )}
      <Panel>
        <Empty
          icon={<UserRound size={28} />}
          title={t.operator.person}
          actions={
            <ButtonLink kind="primary" to="/">
              {t.operator.choose}
            </ButtonLink>
          }
        >
          {t.operator.personText}
        </Empty>
      </Panel>
    </>
  );
}

/** A page that takes a permission which the person has not. */
export function NotYours({ title, permission }: { title: string; permission: string }) {
  return (
    <>
      <PageHead title={title} />
      <Panel>
        <Empty
          icon={<Lock size={28} />}
          title={t.operator.barred}
          actions={<ButtonLink to="/">{t.shell.toHome}</ButtonLink>}
        >
          {t.operator.barredText(permission)}
        </Empty>
      </Panel>
    </>
  );
}
