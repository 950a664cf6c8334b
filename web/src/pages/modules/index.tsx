import { useQueryClient } from "@tanstack/react-query";
import { getRouteApi } from "@tanstack/react-router";
import { Blocks, Power, PowerOff, Trash2, Unplug, Upload } from "lucide-react";
import { useState } from "react";
import { type Answer, api } from "../../api/client";
import { usePaged } from "../../api/paged";
import { may, useMay, useSession } from "../../api/session";
import { t } from "../../text";
import { Badge, Empty, PageHead, Pairs, Panel, Skeleton, When } from "../../ui/bits";
import { Button, ButtonLink } from "../../ui/button";
import { AskByName, Drawer } from "../../ui/dialog";
import { More } from "../../ui/list";
import { ActMenu } from "../../ui/menu";
import { ProblemNote } from "../../ui/problem";
import { tell, tellProblem } from "../../ui/toast";
import { PersonOnly } from "../operator-only";
import { Tries } from "./tries";
import { Workbench } from "./workbench";

export type Module = Answer<"/api/v1/modules", "get">["data"][number];
const route = getRouteApi("/modules");

export default function Modules() {
  const { me, facts } = useSession();
  const { tab } = route.useSearch();
  const navigate = route.useNavigate();
  const mayInstall = useMay("modules.install");
  const mayConfigure = useMay("modules.configure");
  const mayUninstall = useMay("modules.uninstall");
  const queries = useQueryClient();
  const [working, setWorking] = useState<string | null>(null);
  const [open, setOpen] = useState<Module | null>(null);
  const [act, setAct] = useState<{ kind: "uninstall" | "unregister"; module: Module } | null>(null);
  const author = (facts?.operator ?? false) || (me?.flags.platform === true && may(me, "modules.register"));
  const list = usePaged<Module>(
    ["modules"],
    (cursor, signal) => api.get("/api/v1/modules", { query: { limit: 50, cursor }, signal }),
    { enabled: me !== null },
  );
  if (!me && !author) return <PersonOnly title={t.modules.title} />;
  const refresh = () => void queries.invalidateQueries();
  const run = async (verb: "install" | "enable" | "disable", module: Module) => {
    setWorking(module.slug);
    try {
      await api.post(`/api/v1/modules/{id}/${verb}`, { path: { id: module.slug } });
      tell(t.modules.done[verb](module.name));
      refresh();
    } catch (error) {
      tellProblem(error);
    } finally {
      setWorking(null);
    }
  };
  const tabs = [["", t.modules.installed], ...(author ? [["bench", t.modules.bench], ["tries", t.modules.tries]] : [])] as [string, string][];
  const shown = me ? (tab ?? "") : (tab ?? "bench");
  return (
    <>
      <PageHead title={t.modules.title} about={t.modules.about}>
        {author && shown !== "bench" && (
          <Button kind="primary" onClick={() => void navigate({ search: { tab: "bench" } })}>
            <Upload size={15} />
            {t.modules.register}
          </Button>
        )}
      </PageHead>
      {tabs.length > 1 && (
        <div className="tabs" role="tablist" aria-label={t.modules.title}>
          {tabs
            .filter(([name]) => me || name !== "")
            .map(([name, title]) => (
              <button
                key={name}
                type="button"
                role="tab"
                className="tab"
                aria-selected={name === shown}
                onClick={() => void navigate({ search: { tab: name || undefined } })}
              >
                {title}
              </button>
            ))}
        </div>
      )}
      {shown === "bench" && <Workbench onDone={refresh} />}
      {shown === "tries" && <Tries />}
      {shown === "" &&
        (list.error && list.rows.length === 0 ? (
          <ProblemNote error={list.error} retry={list.reload} />
        ) : list.loading ? (
          <Skeleton />
        ) : list.rows.length === 0 ? (
          <Panel>
            <Empty icon={<Blocks size={28} />} title={t.modules.none}>
              {t.modules.noneHint}
            </Empty>
          </Panel>
        ) : (
          <>
            <ul className="halves">
              {list.rows.map((module) => (
                <li key={module.id} className="panel module">
                  <div className="row-apart">
                    <button type="button" className="row-link" onClick={() => setOpen(module)}>
                      {module.name}
                    </button>
                    {module.installed ? (
                      <Badge tone={module.enabled ? "good" : "warn"}>{module.enabled ? t.modules.on : t.modules.off}</Badge>
                    ) : (
                      <Badge>{module.state === "unregistered" ? t.modules.gone : t.modules.available}</Badge>
                    )}
                  </div>
                  <p className="small muted">{module.description}</p>
                  <p className="small tabular muted">
                    {module.version} {"\u00b7"} {t.modules.models(module.models.length)}
                    {module.hasBackend ? ` \u00b7 ${t.modules.withBackend}` : ""}
                  </p>
                  <div className="row">
                    {!module.installed && mayInstall && (
                      <Button size="small" kind="primary" busy={working === module.slug} onClick={() => void run("install", module)}>
                        {t.modules.install}
                      </Button>
                    )}
                    {module.enabled && module.models.length > 0 && (
                      <ButtonLink size="small" to="/data">
                        {t.modules.openData}
                      </ButtonLink>
                    )}
                    <span className="grow" />
                    <ActMenu
                      label={t.sandboxes.actsOf(module.name)}
                      groups={[
                        [
                          ...(module.installed && mayConfigure
                            ? [
                                module.enabled
                                  ? { label: t.modules.disable, icon: <PowerOff size={15} />, run: () => void run("disable", module) }
                                  : { label: t.modules.enable, icon: <Power size={15} />, run: () => void run("enable", module) },
                              ]
                            : []),
                        ],
                        [
                          ...(module.installed && mayUninstall
                            ? [{ label: t.modules.uninstall, icon: <Unplug size={15} />, tone: "bad" as const, run: () => setAct({ kind: "uninstall", module }) }]
                            : []),
                          ...(author
                            ? [{ label: t.modules.unregister, icon: <Trash2 size={15} />, tone: "bad" as const, run: () => setAct({ kind: "unregister", module }) }]
                            : []),
                        ],
                      ]}
                    />
                  </div>
                </li>
              ))}
            </ul>
            <More list={list} />
          </>
        ))}
      <Drawer open={open !== null} onClose={() => setOpen(null)} title={open?.name ?? ""} about={open?.description}>
        {open && <Detail module={open} />}
      </Drawer>
      {act && (
        <AskByName
          open
          onClose={() => setAct(null)}
          name={act.module.slug}
          title={act.kind === "uninstall" ? t.modules.uninstallTitle(act.module.name) : t.modules.unregisterTitle(act.module.name)}
          consequence={act.kind === "uninstall" ? t.modules.uninstallAbout : t.modules.unregisterAbout}
          action={act.kind === "uninstall" ? t.modules.uninstall : t.modules.unregister}
          submit={() =>
            act.kind === "uninstall"
              ? api.post("/api/v1/modules/{id}/uninstall", { path: { id: act.module.slug } })
              : api.delete("/api/v1/modules/{id}", { as: facts?.operator ? "operator" : "user", path: { id: act.module.slug } })
          }
          onDone={() => {
            tell(t.modules.removed(act.module.name));
            refresh();
          }}
        />
      )}
    </>
  );
}

function Detail({ module }: { module: Module }) {
  const versions = usePaged(["versions", module.slug], (cursor, signal) =>
    api.get("/api/v1/modules/{id}/versions", { path: { id: module.slug }, query: { limit: 20, cursor }, signal }),
  );
  return (
    <>
      <Pairs
        of={[
          [t.modules.version, module.version],
          [t.modules.slug, <code key="s">{module.slug}</code>],
          [t.modules.author, module.author],
          [t.modules.backend, module.hasBackend ? (module.backendUrl ? <code key="b">{module.backendUrl}</code> : t.ui.yes) : t.ui.no],
          [t.modules.tables, module.models.join(", ")],
          [t.modules.publishes, module.publishes.length > 0 ? <Words key="p" all={module.publishes} /> : null],
          [t.modules.subscribes, module.subscribes.length > 0 ? <Words key="s2" all={module.subscribes} /> : null],
          [t.modules.permissions, <Words key="perm" all={module.permissions} />],
          [t.modules.registered, <When key="r" at={module.registeredAt} />],
        ]}
      />
      <section className="stack">
        <h3>{t.modules.versions}</h3>
        <ol className="history">
          {versions.rows.map((version) => (
            <li key={version.version}>
              <div className="row-apart small">
                <strong className="tabular">{version.version}</strong>
                <span className="muted">
                  {version.registeredBy} {"\u00b7"} <When at={version.registeredAt} />
                </span>
              </div>
              <Words all={version.migrations} />
            </li>
          ))}
        </ol>
      </section>
    </>
  );
}

function Words({ all }: { all: string[] }) {
  return (
    <ul className="small mono">
      {all.map((one) => (
        <li key={one}>{one}</li>
      ))}
    </ul>
  );
}
