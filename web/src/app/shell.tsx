import { Dialog as Base } from "@base-ui/react/dialog";
import { Link, Outlet, useRouterState } from "@tanstack/react-router";
import { KeyRound, LogOut, Menu as MenuIcon, Monitor, Moon, Search, Sun, UserRound } from "lucide-react";
import { useEffect, useState } from "react";
import { closeOperator, signOut, useSession } from "../api/session";
import { useAway } from "../api/reach";
import { NotYours } from "../pages/operator-only";
import { SET_UP, SetUp } from "../pages/set-up";
import { SignIn } from "../pages/sign-in";
import { t } from "../text";
import { initials } from "../text/format";
import { Mark } from "../ui/bits";
import { Button } from "../ui/button";
import { Popup } from "../ui/layer";
import { ActMenu } from "../ui/menu";
import { ProblemNote } from "../ui/problem";
import { Away, AwayBanner } from "./away";
import { ClockPlate } from "./clock";
import { theme, type Theme } from "./hue";
import { Palette, useGoKeys } from "./palette";
import { barredFrom, placesFor } from "./places";
import { useLit } from "./pulse";
import { router } from "./router";

/** The frame of every page: who and where, the places, the search. */
export function Shell() {
  const now = useSession();
  const path = useRouterState({ select: (state) => state.location.pathname });
  const [palette, setPalette] = useState(false);
  const [drawer, setDrawer] = useState(false);
  useGoKeys(() => setPalette(true));
  useEffect(() => setDrawer(false), [path]);
  useEffect(() => {
    const sandbox = now.facts?.sandbox;
    document.title = sandbox ? `${t.title(path)} \u00b7 ${sandbox}` : "Platform Kernel";
  }, [path, now.facts?.sandbox]);

  const away = useAway();
  if (!now.facts && away) return <Away />;
  if (now.phase === "starting") return <Starting />;
  const operator = now.facts?.operator ?? false;
  if (path === SET_UP) return <SetUp />;
  if (now.phase === "out" && !operator) {
    return (
      <>
        <AwayBanner />
        <SignIn />
      </>
    );
  }
  const barred = barredFrom(path, now);
  return (
    <div className="shell">
      <a className="skip" href="#content">
        {t.shell.skip}
      </a>
      <Side />
      <div className="main">
        <header className="top">
          <span className="only-small">
            <Button kind="quiet" square aria-label={t.shell.menu} onClick={() => setDrawer(true)}>
              <MenuIcon size={18} />
            </Button>
          </span>
          <button type="button" className="search only-large" onClick={() => setPalette(true)}>
            <Search size={15} aria-hidden="true" />
            {t.shell.search}
            <kbd>{navigator.platform.startsWith("Mac") ? "\u2318K" : "Ctrl K"}</kbd>
          </button>
          <span className="only-small">
            <Button kind="quiet" square aria-label={t.shell.search} onClick={() => setPalette(true)}>
              <Search size={17} />
            </Button>
          </span>
          <span className="grow" />
          <ClockPlate />
          <Person />
        </header>
        <AwayBanner />
        <main className="page" id="content" tabIndex={-1}>
          {barred ? <NotYours title={barred.title} permission={barred.permission ?? ""} /> : <Outlet />}
        </main>
      </div>
      <Palette open={palette} onClose={() => setPalette(false)} />
      <Base.Root open={drawer} onOpenChange={setDrawer}>
        <Popup>
          <Base.Popup className="drawer side-drawer" aria-label={t.shell.menu}>
            <Side />
          </Base.Popup>
        </Popup>
      </Base.Root>
    </div>
  );
}

function Side() {
  const now = useSession();
  const lit = useLit();
  return (
    <nav className="side" aria-label={t.shell.places}>
      <Link to="/" className="brand">
        <Mark lit={lit} />
        <span>Platform Kernel</span>
      </Link>
      <div style={{ padding: "0 8px" }}>
        <span className="plate" title={t.shell.sandboxIs(now.facts?.sandbox ?? "")}>
          {now.facts?.sandbox}
        </span>
        {now.me && <p className="small muted clip" style={{ marginTop: 6 }}>{now.me.tenant.name}</p>}
      </div>
      {placesFor(now).map((group) => (
        <div className="nav" key={group.title}>
          <div className="nav-label">{group.title}</div>
          {group.places.map(({ to, title, icon: Icon, outside }) =>
            outside ? (
              <a key={to} href={to} target="_blank" rel="noopener">
                <Icon size={16} aria-hidden="true" />
                {title}
              </a>
            ) : (
              <Link key={to} to={to} activeOptions={{ exact: to === "/" }} activeProps={{ "aria-current": "page" }}>
                <Icon size={16} aria-hidden="true" />
                {title}
              </Link>
            ),
          )}
        </div>
      ))}
      <div className="foot">
        <span>{t.shell.version(now.facts?.version ?? "")}</span>
      </div>
    </nav>
  );
}

const THEMES: [Theme, typeof Sun][] = [
  ["system", Monitor],
  ["light", Sun],
  ["dark", Moon],
];

function Person() {
  const { me, facts } = useSession();
  const name = me?.user?.name ?? t.shell.operator;
  const leave = [];
  if (me) leave.push({ label: t.shell.signOut, icon: <LogOut size={15} />, run: () => void signOut() });
  if (facts?.operator) {
    leave.push({ label: t.shell.closeOperator, icon: <KeyRound size={15} />, run: () => void closeOperator() });
  }
  return (
    <ActMenu
      label={t.shell.account}
      trigger={
        <button type="button" className="avatar" aria-label={t.shell.accountOf(name)}>
          {me?.user ? initials(name) : <KeyRound size={15} aria-hidden="true" />}
        </button>
      }
      groups={[
        me ? [{ label: me.user?.email ?? name, icon: <UserRound size={15} />, run: () => void router.navigate({ to: "/account" }) }] : [],
        THEMES.map(([value, Icon]) => ({
          label: t.shell.theme[value],
          icon: <Icon size={15} />,
          run: () => theme.set(value),
        })),
        leave,
      ]}
    />
  );
}

function Starting() {
  return (
    <div className="starting" role="status" aria-label={t.shell.starting}>
      <Mark />
    </div>
  );
}

export function Missing() {
  return (
    <div className="stack">
      <h1>{t.shell.missing}</h1>
      <p className="muted">{t.shell.missingHint}</p>
      <div>
        <Link to="/" className="button">
          {t.shell.toHome}
        </Link>
      </div>
    </div>
  );
}

export function RouteProblem({ error }: { error: unknown }) {
  return <ProblemNote error={error} retry={() => location.reload()} />;
}
