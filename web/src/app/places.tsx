import {
  Blocks,
  BookOpen,
  Boxes,
  FileImage,
  House,
  Mail,
  Network,
  Radio,
  ScrollText,
  Table2,
  UsersRound,
  Wallet,
  Gauge,
  UserRound,
  type LucideIcon,
} from "lucide-react";
import { may, type Session } from "../api/session";
import { t } from "../text";

export interface Place {
  to: string;
  title: string;
  icon: LucideIcon;
  /** The key that goes there after g. */
  key: string;
  /** Of the process rather than of a tenant; or open to its operator, too. */
  operator?: "only" | "too";
  /** What a person needs for it. */
  permission?: string;
  /** Served by the kernel itself rather than by the console. */
  outside?: boolean;
}

const p = t.places;

const PLACES: { title: string; places: Place[] }[] = [
  {
    title: p.kernel,
    places: [
      { to: "/", title: p.home, icon: House, key: "h" },
      { to: "/topology", title: p.topology, icon: Network, key: "t", operator: "only" },
      { to: "/sandboxes", title: p.sandboxes, icon: Boxes, key: "s", operator: "only" },
    ],
  },
  {
    title: p.tenant,
    places: [
      { to: "/data", title: p.data, icon: Table2, key: "d" },
      { to: "/events", title: p.events, icon: Radio, key: "e", permission: "events.read" },
      { to: "/files", title: p.files, icon: FileImage, key: "f", permission: "files.read" },
      { to: "/wallets", title: p.wallets, icon: Wallet, key: "w", permission: "wallets.read" },
      { to: "/outbox", title: p.outbox, icon: Mail, key: "o", operator: "too", permission: "notifications.read" },
      { to: "/audit", title: p.audit, icon: ScrollText, key: "a", permission: "audit.read" },
      { to: "/users", title: p.users, icon: UsersRound, key: "u", permission: "users.list" },
      { to: "/plan", title: p.plan, icon: Gauge, key: "p", permission: "billing.view" },
    ],
  },
  {
    title: p.build,
    places: [
      { to: "/modules", title: p.modules, icon: Blocks, key: "m", operator: "too" },
      { to: "/docs", title: p.docs, icon: BookOpen, key: "r", outside: true },
    ],
  },
];

export const ACCOUNT: Place = { to: "/account", title: p.account, icon: UserRound, key: "y" };

type Here = Pick<Session, "me" | "facts">;

/** Whether a place is of use to whoever is here. */
function opens(place: Place, { me, facts }: Here): boolean {
  if (place.operator && facts?.operator) return true;
  if (place.operator === "only") return false;
  if (place.outside || place.to === "/") return true;
  return me !== null && (!place.permission || may(me, place.permission));
}

/** The places that are of use to whoever is here. */
export function placesFor(now: Here): { title: string; places: Place[] }[] {
  return PLACES.map((group) => ({ ...group, places: group.places.filter((place) => opens(place, now)) })).filter(
    (group) => group.places.length > 0,
  );
}

/** The place that a person has come to without the permission for it. */
export function barredFrom(path: string, now: Here): Place | undefined {
  const place = PLACES.flatMap((group) => group.places).find((one) => one.to === path);
  return place?.permission && now.me && !opens(place, now) ? place : undefined;
}
