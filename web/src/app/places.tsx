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
  /** Of the process rather than of a tenant. */
  operator?: boolean;
  permission?: string;
  /** Served by the kernel itself rather than by the console. */
  outside?: boolean;
}

const p = t.places;

export const PLACES: { title: string; places: Place[] }[] = [
  {
    title: p.kernel,
    places: [
      { to: "/", title: p.home, icon: House, key: "h" },
      { to: "/topology", title: p.topology, icon: Network, key: "t", operator: true },
      { to: "/sandboxes", title: p.sandboxes, icon: Boxes, key: "s", operator: true },
    ],
  },
  {
    title: p.tenant,
    places: [
      { to: "/data", title: p.data, icon: Table2, key: "d" },
      { to: "/events", title: p.events, icon: Radio, key: "e", permission: "events.read" },
      { to: "/files", title: p.files, icon: FileImage, key: "f", permission: "files.read" },
      { to: "/wallets", title: p.wallets, icon: Wallet, key: "w", permission: "wallets.read" },
      { to: "/outbox", title: p.outbox, icon: Mail, key: "o" },
      { to: "/audit", title: p.audit, icon: ScrollText, key: "a", permission: "audit.read" },
      { to: "/users", title: p.users, icon: UsersRound, key: "u", permission: "users.list" },
      { to: "/plan", title: p.plan, icon: Gauge, key: "p", permission: "billing.view" },
    ],
  },
  {
    title: p.build,
    places: [
      { to: "/modules", title: p.modules, icon: Blocks, key: "m" },
      { to: "/docs", title: p.docs, icon: BookOpen, key: "r", outside: true },
    ],
  },
];

export const ACCOUNT: Place = { to: "/account", title: p.account, icon: UserRound, key: "y" };

/** The places that are of use to whoever is here. */
export function placesFor(now: Session): { title: string; places: Place[] }[] {
  const open = (place: Place) => {
    if (place.operator) return now.facts?.operator ?? false;
    if (place.outside || place.to === "/") return true;
    if (!now.me) return place.to === "/modules" && (now.facts?.operator ?? false);
    return !place.permission || may(now.me, place.permission);
  };
  return PLACES.map((group) => ({ ...group, places: group.places.filter(open) })).filter((group) => group.places.length > 0);
}
