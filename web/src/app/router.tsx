import { createRootRoute, createRoute, createRouter, lazyRouteComponent } from "@tanstack/react-router";
import { Missing, RouteProblem, Shell } from "./shell";

const root = createRootRoute({ component: Shell, notFoundComponent: Missing, errorComponent: RouteProblem });
const text = (value: unknown): string | undefined => (typeof value === "string" && value ? value : undefined);
const getParentRoute = () => root;

const home = createRoute({ getParentRoute, path: "/", component: lazyRouteComponent(() => import("../pages/home")) });
const topology = createRoute({
  getParentRoute,
  path: "/topology",
  component: lazyRouteComponent(() => import("../pages/topology")),
});
const sandboxes = createRoute({
  getParentRoute,
  path: "/sandboxes",
  validateSearch: (search): { open?: string } => ({ open: text(search.open) }),
  component: lazyRouteComponent(() => import("../pages/sandboxes")),
});
const data = createRoute({
  getParentRoute,
  path: "/data",
  component: lazyRouteComponent(() => import("../pages/data"), "Models"),
});
export interface GridSearch {
  sort?: string;
  filter?: string[];
  q?: string;
  deleted?: string;
  record?: string;
}
const grid = createRoute({
  getParentRoute,
  path: "/data/$module/$model",
  validateSearch: (search): GridSearch => ({
    sort: text(search.sort),
    filter: Array.isArray(search.filter) ? search.filter.filter((one): one is string => typeof one === "string") : undefined,
    q: text(search.q),
    deleted: text(search.deleted),
    record: text(search.record),
  }),
  component: lazyRouteComponent(() => import("../pages/data"), "Grid"),
});
const events = createRoute({
  getParentRoute,
  path: "/events",
  validateSearch: (search): { topic?: string } => ({ topic: text(search.topic) }),
  component: lazyRouteComponent(() => import("../pages/events")),
});
const outbox = createRoute({
  getParentRoute,
  path: "/outbox",
  component: lazyRouteComponent(() => import("../pages/outbox")),
});
const files = createRoute({
  getParentRoute,
  path: "/files",
  component: lazyRouteComponent(() => import("../pages/files")),
});
const wallets = createRoute({
  getParentRoute,
  path: "/wallets",
  validateSearch: (search): { wallet?: string } => ({ wallet: text(search.wallet) }),
  component: lazyRouteComponent(() => import("../pages/wallets")),
});
export interface AuditSearch {
  q?: string;
  action?: string;
  entityType?: string;
  entityId?: string;
  since?: string;
}
const audit = createRoute({
  getParentRoute,
  path: "/audit",
  validateSearch: (search): AuditSearch => ({
    q: text(search.q),
    action: text(search.action),
    entityType: text(search.entityType),
    entityId: text(search.entityId),
    since: text(search.since),
  }),
  component: lazyRouteComponent(() => import("../pages/audit")),
});
const modules = createRoute({
  getParentRoute,
  path: "/modules",
  validateSearch: (search): { tab?: string } => ({ tab: text(search.tab) }),
  component: lazyRouteComponent(() => import("../pages/modules")),
});
const users = createRoute({
  getParentRoute,
  path: "/users",
  component: lazyRouteComponent(() => import("../pages/users")),
});
const plan = createRoute({
  getParentRoute,
  path: "/plan",
  component: lazyRouteComponent(() => import("../pages/plan")),
});
const account = createRoute({
  getParentRoute,
  path: "/account",
  component: lazyRouteComponent(() => import("../pages/account")),
});

export const router = createRouter({
  routeTree: root.addChildren([
    home,
    topology,
    sandboxes,
    data,
    grid,
    events,
    outbox,
    files,
    wallets,
    audit,
    modules,
    users,
    plan,
    account,
  ]),
  defaultPreload: "intent",
  scrollRestoration: true,
});

declare module "@tanstack/react-router" {
  interface Register {
    router: typeof router;
  }
}
