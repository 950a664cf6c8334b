import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { Table2 } from "lucide-react";
import { api } from "../../api/client";
import { useSession } from "../../api/session";
import { t } from "../../text";
import { Badge, Empty, PageHead, Panel, Skeleton } from "../../ui/bits";
import { ButtonLink } from "../../ui/button";
import { ProblemNote } from "../../ui/problem";
import { PersonOnly } from "../operator-only";

/** The tables that installed modules have brought. */
export function Models() {
  const { me } = useSession();
  const query = useQuery({
    queryKey: ["models"],
    queryFn: ({ signal }) => api.get("/api/v1/data", { signal }),
    enabled: me !== null,
  });
  if (!me) return <PersonOnly title={t.data.title} />;
  const models = query.data?.data ?? [];
  const modules = [...new Set(models.map((model) => model.module))];
  return (
    <>
      <PageHead title={t.data.title} about={t.data.about} />
      {query.error && <ProblemNote error={query.error} retry={() => void query.refetch()} />}
      {query.isPending ? (
        <Skeleton />
      ) : models.length === 0 && !query.error ? (
        <Panel>
          <Empty
            icon={<Table2 size={28} />}
            title={t.data.noModels}
            actions={
              <ButtonLink to="/modules" kind="primary">
                {t.data.toModules}
              </ButtonLink>
            }
          >
            {t.data.noModelsHint}
          </Empty>
        </Panel>
      ) : (
        modules.map((module) => (
          <section key={module} className="stack">
            <h2>
              <code>{module}</code>
            </h2>
            <div className="halves">
              {models
                .filter((model) => model.module === module)
                .map((model) => (
                  <Link
                    key={model.model}
                    to="/data/$module/$model"
                    params={{ module, model: model.model }}
                    search={{}}
                    className="panel tile"
                  >
                    <Table2 size={18} aria-hidden="true" />
                    <span className="grow">
                      <strong>{t.data.titleOf(model.model)}</strong>
                      <span className="small muted">{model.description}</span>
                    </span>
                    {!model.allowed.includes("write") && <Badge>{t.data.readOnly}</Badge>}
                  </Link>
                ))}
            </div>
          </section>
        ))
      )}
    </>
  );
}
