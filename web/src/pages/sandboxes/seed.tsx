import { FileText } from "lucide-react";
import { useQueryClient } from "@tanstack/react-query";
import { useRef, useState } from "react";
import { type Answer, api } from "../../api/client";
import { t } from "../../text";
import { count } from "../../text/format";
import { Pairs } from "../../ui/bits";
import { Button } from "../../ui/button";
import { Dialog, FormDialog } from "../../ui/dialog";
import { SelectField, TextArea } from "../../ui/field";

type Report = Answer<"/api/v1/sandboxes/{name}/seed", "post">;
const COUNTS = ["tenants", "users", "modules", "records", "wallets", "files"] as const;

/** Plants tenants, people and records in a sandbox that runs; says what was planted, or what is wrong with the seed. */
export function SeedDialog({ sandbox, onClose }: { sandbox: string; onClose: () => void }) {
  const queries = useQueryClient();
  const picker = useRef<HTMLInputElement>(null);
  const [own, setOwn] = useState(false);
  const [text, setText] = useState("");
  const [report, setReport] = useState<Report | null>(null);
  if (report) {
    return (
      <Dialog open onClose={onClose} title={t.sandboxes.seedDone(sandbox)} about={t.sandboxes.seedDoneAbout}>
        <Pairs of={COUNTS.map((name) => [t.sandboxes.seedCounts[name], count(report[name])])} />
        <div className="actions">
          <Button kind="primary" onClick={onClose} autoFocus>
            {t.ui.close}
          </Button>
        </div>
      </Dialog>
    );
  }
  return (
    <FormDialog
      open
      onClose={onClose}
      stays
      title={t.sandboxes.seedTitle(sandbox)}
      about={t.sandboxes.seedAbout}
      action={t.sandboxes.seedAct}
      wide={own}
      ready={!own || text.trim().length > 0}
      submit={() =>
        api.post("/api/v1/sandboxes/{name}/seed", {
          as: "operator",
          path: { name: sandbox },
          // JSON is YAML, too.
          body: own ? { yaml: text } : { template: "demo" },
        })
      }
      onDone={(planted) => {
        setReport(planted);
        void queries.invalidateQueries();
      }}
    >
      {(fault) => (
        <>
          <SelectField label={t.sandboxes.seedWhat} value={own ? "own" : "demo"} onChange={(event) => setOwn(event.target.value === "own")}>
            <option value="demo">{t.sandboxes.seedDemo}</option>
            <option value="own">{t.sandboxes.seedOwn}</option>
          </SelectField>
          {own && (
            <>
              <TextArea
                label={t.sandboxes.seedText}
                data-mono=""
                rows={10}
                spellCheck={false}
                placeholder={t.sandboxes.seedExample}
                value={text}
                fault={fault("/yaml")}
                onChange={(event) => setText(event.target.value)}
              />
              <div>
                <Button size="small" onClick={() => picker.current?.click()}>
                  <FileText size={14} />
                  {t.sandboxes.seedFile}
                </Button>
                <input
                  ref={picker}
                  type="file"
                  hidden
                  aria-label={t.sandboxes.seedFile}
                  accept=".yaml,.yml,.json"
                  onChange={(event) => {
                    void event.target.files?.[0]?.text().then(setText);
                    event.target.value = "";
                  }}
                />
              </div>
            </>
          )}
        </>
      )}
    </FormDialog>
  );
}
