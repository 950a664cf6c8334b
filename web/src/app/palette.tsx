import { Dialog as Base } from "@base-ui/react/dialog";
import { useQuery } from "@tanstack/react-query";
import { CornerDownLeft, LogOut, Moon, Sun, Table2 } from "lucide-react";
import { type KeyboardEvent, useEffect, useId, useMemo, useRef, useState } from "react";
import { api } from "../api/client";
import { session, signOut, useSession } from "../api/session";
import { t } from "../text";
import { Popup } from "../ui/layer";
import { theme } from "./hue";
import { ACCOUNT, placesFor, type Place } from "./places";
import { router } from "./router";

interface Choice {
  id: string;
  title: string;
  where: string;
  icon: typeof Table2;
  keys?: string;
  run: () => void;
}

function go(place: Pick<Place, "to" | "outside">): void {
  if (place.outside) window.open(place.to, "_blank", "noopener");
  else void router.navigate({ to: place.to });
}

/** Whether every letter of the question comes in the text, in order; how close together they are. */
export function fit(question: string, text: string): number {
  const [wanted, given] = [question.toLowerCase().replace(/\s+/g, ""), text.toLowerCase()];
  if (!wanted) return 1;
  const whole = given.indexOf(question.toLowerCase().trim());
  if (whole >= 0) return 100 - whole;
  let at = -1;
  let gaps = 0;
  for (const letter of wanted) {
    const next = given.indexOf(letter, at + 1);
    if (next < 0) return 0;
    gaps += next - at - 1;
    at = next;
  }
  return Math.max(1, 50 - gaps);
}

/** Everything one can go to or do, by a few letters. */
export function Palette({ open, onClose }: { open: boolean; onClose: () => void }) {
  const now = useSession();
  const list = useId();
  const [question, setQuestion] = useState("");
  const [at, setAt] = useState(0);
  const box = useRef<HTMLDivElement>(null);
  const models = useQuery({
    queryKey: ["models"],
    queryFn: ({ signal }) => api.get("/api/v1/data", { signal }),
    enabled: open && now.phase === "in",
  });
  const choices = useMemo<Choice[]>(() => {
    const places = placesFor(now).flatMap((group) =>
      group.places.map((place) => ({
        id: place.to,
        title: place.title,
        where: group.title,
        icon: place.icon,
        keys: `g ${place.key}`,
        run: () => go(place),
      })),
    );
    const tables = (models.data?.data ?? []).map((model) => ({
      id: `${model.module}/${model.model}`,
      title: `${t.data.titleOf(model.model)}`,
      where: model.module,
      icon: Table2,
      run: () =>
        void router.navigate({ to: "/data/$module/$model", params: { module: model.module, model: model.model }, search: {} }),
    }));
    const acts: Choice[] = [
      { id: "light", title: t.shell.theme.light, where: t.palette.looks, icon: Sun, run: () => theme.set("light") },
      { id: "dark", title: t.shell.theme.dark, where: t.palette.looks, icon: Moon, run: () => theme.set("dark") },
    ];
    if (now.phase === "in") {
      acts.unshift({ id: "account", title: ACCOUNT.title, where: t.shell.account, icon: ACCOUNT.icon, run: () => go(ACCOUNT) });
      acts.push({ id: "out", title: t.shell.signOut, where: t.shell.account, icon: LogOut, run: () => void signOut() });
    }
    return [...places, ...tables, ...acts];
  }, [now, models.data]);
  const shown = choices
    .map((choice) => ({ choice, score: fit(question, `${choice.title} ${choice.where}`) }))
    .filter(({ score }) => score > 0)
    .sort((a, b) => (question ? b.score - a.score : 0))
    .map(({ choice }) => choice)
    .slice(0, 40);
  const current = Math.min(at, Math.max(0, shown.length - 1));
  useEffect(() => {
    if (open) {
      setQuestion("");
      setAt(0);
    }
  }, [open]);
  useEffect(() => {
    box.current?.querySelector("[aria-selected=true]")?.scrollIntoView({ block: "nearest" });
  }, [current]);
  const choose = (choice: Choice | undefined) => {
    if (!choice) return;
    onClose();
    choice.run();
  };
  const press = (event: KeyboardEvent) => {
    if (event.key === "ArrowDown") setAt(Math.min(current + 1, shown.length - 1));
    else if (event.key === "ArrowUp") setAt(Math.max(current - 1, 0));
    else if (event.key === "Enter") choose(shown[current]);
    else return;
    event.preventDefault();
  };
  return (
    <Base.Root open={open} onOpenChange={(next) => !next && onClose()}>
      <Popup>
        <Base.Popup className="palette" aria-label={t.shell.search}>
          <input
            autoFocus
            role="combobox"
            aria-expanded="true"
            aria-controls={list}
            aria-activedescendant={shown[current] ? `${list}-${current}` : undefined}
            aria-label={t.palette.ask}
            placeholder={t.palette.ask}
            value={question}
            onChange={(event) => {
              setQuestion(event.target.value);
              setAt(0);
            }}
            onKeyDown={press}
          />
          <div role="listbox" id={list} ref={box} aria-label={t.shell.search}>
            {shown.map((choice, index) => (
              <div
                key={choice.id}
                id={`${list}-${index}`}
                role="option"
                aria-selected={index === current}
                onMouseMove={() => setAt(index)}
                onClick={() => choose(choice)}
              >
                <choice.icon size={16} aria-hidden="true" />
                {choice.title}
                <span className="where">{choice.keys ? <kbd>{choice.keys}</kbd> : choice.where}</span>
              </div>
            ))}
            {shown.length === 0 && <p className="muted small" style={{ padding: 12 }}>{t.palette.nothing(question)}</p>}
          </div>
          <footer>
            <span className="row">
              <CornerDownLeft size={12} aria-hidden="true" /> {t.palette.open}
            </span>
            <span>{t.palette.keys}</span>
          </footer>
        </Base.Popup>
      </Popup>
    </Base.Root>
  );
}

/** Ctrl K or / opens the palette; g and a letter goes to a place. */
export function useGoKeys(openPalette: () => void): void {
  useEffect(() => {
    let waiting = 0;
    const press = (event: globalThis.KeyboardEvent) => {
      if ((event.metaKey || event.ctrlKey) && event.key.toLowerCase() === "k") {
        event.preventDefault();
        openPalette();
        return;
      }
      const target = event.target as HTMLElement;
      if (event.metaKey || event.ctrlKey || event.altKey || target.closest("input, textarea, select, [role=dialog], [role=menu]")) return;
      if (event.key === "/") {
        event.preventDefault();
        openPalette();
      } else if (waiting > Date.now()) {
        waiting = 0;
        const places = placesFor(session.get()).flatMap((group) => group.places);
        const place = [...places, ACCOUNT].find((one) => one.key === event.key);
        if (place) go(place);
      } else if (event.key === "g") waiting = Date.now() + 1200;
    };
    document.addEventListener("keydown", press);
    return () => document.removeEventListener("keydown", press);
  }, [openPalette]);
}
