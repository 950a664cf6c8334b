import { History } from "lucide-react";
import { api } from "../../api/client";
import { usePaged } from "../../api/paged";
import { useSession } from "../../api/session";
import { t } from "../../text";
import { Badge, Empty, Panel, Skeleton, When } from "../../ui/bits";
import { More } from "../../ui/list";
import { ProblemNote } from "../../ui/problem";

const TONE: Record<string, "good" | "warn" | "bad"> = { active: "good", failed: "bad", pending: "warn", registering: "warn" };

/** What authors tried, and what became of it: a failed try keeps its fault with file and line. */
export function Tries() {
  const as = useSession().facts?.operator ? "operator" : "user";
  const list = usePaged(
    ["tries"],
    (cursor, signal) => api.get("/api/v1/modules/registrations", { as, query: { limit: 20, cursor }, signal }),
    { refetchInterval: 4_000 },
  );
  if (list.error && list.rows.length === 0) return <ProblemNote error={list.error} retry={list.reload} />;
  if (list.loading) return <Skeleton />;
  if (list.rows.length === 0) {
    return (
      <Panel>
        <Empty icon={<History size={28} />} title={t.modules.noTries}>
          {t.modules.noTriesHint}
        </Empty>
      </Panel>
    );
  }
  return (
    <Panel flush>
      <ol className="tries">
        {list.rows.map((row) => (
          <li key={row.id} className="stack">
            <div className="row-apart">
              <span className="row">
                <strong>
                  {row.slug} <span className="tabular">{row.version}</span>
                </strong>
                <Badge tone={TONE[row.state]}>{t.modules.tryStates(row.state)}</Badge>
              </span>
              <span className="small muted">
                {t.modules.tryKind(row.kind)} {"\u00b7"} {row.startedBy} {"\u00b7"} <When at={row.startedAt} />
              </span>
            </div>
            {row.fault && <pre className="code fault-text" tabIndex={0}>{row.fault}</pre>}
          </li>
        ))}
      </ol>
      <More list={list} />
    </Panel>
  );
}
