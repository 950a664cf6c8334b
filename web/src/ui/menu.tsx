import { Menu as Base } from "@base-ui/react/menu";
import { Ellipsis } from "lucide-react";
import type { ReactElement, ReactNode } from "react";
import { Button } from "./button";

export interface Act {
  label: string;
  icon?: ReactNode;
  run: () => void;
  tone?: "bad";
  disabled?: boolean;
}

/** What can be done with one thing. Groups are parted by a line. */
export function ActMenu({ label, groups, trigger }: { label: string; groups: Act[][]; trigger?: ReactElement }) {
  const shown = groups.filter((group) => group.length > 0);
  if (shown.length === 0) return null;
  return (
    <Base.Root>
      <Base.Trigger
        render={
          trigger ?? (
            <Button kind="quiet" size="small" square aria-label={label}>
              <Ellipsis size={16} />
            </Button>
          )
        }
      />
      <Base.Portal>
        <Base.Positioner className="positioner" sideOffset={5} align="end">
          <Base.Popup className="popup">
            {shown.map((group, index) => (
              <Base.Group key={group[0]?.label}>
                {index > 0 && <div className="separator" />}
                {group.map((act) => (
                  <Base.Item
                    key={act.label}
                    className="item"
                    data-tone={act.tone}
                    disabled={act.disabled ?? false}
                    onClick={act.run}
                  >
                    {act.icon}
                    {act.label}
                  </Base.Item>
                ))}
              </Base.Group>
            ))}
          </Base.Popup>
        </Base.Positioner>
      </Base.Portal>
    </Base.Root>
  );
}
