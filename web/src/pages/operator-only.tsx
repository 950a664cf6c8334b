import { KeyRound } from "lucide-react";
import { t } from "../text";
import { Empty, PageHead, Panel } from "../ui/bits";
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

/** A page of a tenant, opened by the operator who is nobody there. */
export function PersonOnly({ title }: { title: string }) {
  return (
    <>
      <PageHead title={title} />
      <Panel>
        <Empty
          title={t.operator.person}
          actions={
            <a className="button" data-kind="primary" href="/">
              {t.operator.choose}
            </a>
          }
        >
          {t.operator.personText}
        </Empty>
      </Panel>
    </>
  );
}
