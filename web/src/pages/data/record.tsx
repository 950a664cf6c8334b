import { useQuery } from "@tanstack/react-query";
import { Link } from "@tanstack/react-router";
import { RotateCcw, Trash2 } from "lucide-react";
import { type FormEvent, useState } from "react";
import { api } from "../../api/client";
import { useMay } from "../../api/session";
import { t } from "../../text";
import { words } from "../../text/format";
import { singular } from "../../text/sentence";
import { Badge, Skeleton, When } from "../../ui/bits";
import { Button } from "../../ui/button";
import { Id } from "../../ui/copy";
import { Drawer, FormDialog } from "../../ui/dialog";
import { SelectField, TextArea, TextField } from "../../ui/field";
import { useWork } from "../../ui/form";
import { ProblemNote, Refusal } from "../../ui/problem";
import { tell, tellProblem } from "../../ui/toast";
import { Changes } from "../changes";
import { type ModelSchema, type Property, type Row, keyOfRelation, kindOf, textOf, titleOf, valueOf } from "./model";

interface Props {
  module: string;
  model: string;
  shape: ModelSchema;
  id: string | undefined;
  onClose: () => void;
  onChanged: () => void;
}

/** One record: its members, what it belongs to and what belongs to it, its history. */
export function RecordDrawer(props: Props) {
  const { module, model, shape, id, onClose } = props;
  const fresh = id === "new";
  const relations = Object.entries(shape["x-relations"] ?? {});
  const select = ["*", ...relations.map(([name]) => `${name}(*)`)].join(",");
  const query = useQuery({
    queryKey: ["records", module, model, "one", id],
    queryFn: async ({ signal }) =>
      (await api.get("/api/v1/data/{module}/{model}/{id}", {
        path: { module, model, id: id ?? "" },
        query: { select },
        signal,
      })) as unknown as Row,
    enabled: Boolean(id) && !fresh,
    retry: false,
  });
  const row = query.data;
  return (
    <Drawer
      open={Boolean(id)}
      onClose={onClose}
      title={fresh ? t.data.newRecord(t.data.oneOf(model)) : row ? titleOf(row) : t.ui.loading}
      about={fresh ? shape.description : <Id id={id ?? ""} />}
    >
      {query.error ? (
        <ProblemNote error={query.error} />
      ) : fresh ? (
        <Form {...props} row={null} />
      ) : row ? (
        <>
          <Form {...props} row={row} key={String(row.version)} />
          <Related {...props} row={row} />
          <History model={model} module={module} id={String(row.id)} />
        </>
      ) : (
        <Skeleton />
      )}
    </Drawer>
  );
}

function Form({ module, model, shape, row, onClose, onChanged }: Props & { row: Row | null }) {
  const mayWrite = useMay(`${module}.${model}.write`);
  const mayDelete = useMay(`${module}.${model}.delete`);
  const fields = Object.entries(shape.properties).filter(([, property]) => !property.readOnly);
  const first = Object.fromEntries(fields.map(([name, property]) => [name, textOf(property, row?.[name])]));
  const [texts, setTexts] = useState<Record<string, string>>(first);
  const work = useWork();
  const [removing, setRemoving] = useState(false);
  const changed = fields.filter(([name]) => texts[name] !== first[name]);
  const gone = Boolean(row?.deleted_at);
  const path = { module, model, id: String(row?.id ?? "") };

  const save = (event: FormEvent) => {
    event.preventDefault();
    void work.run(async () => {
      const body: Record<string, unknown> = {};
      for (const [name, property] of changed) body[name] = valueOf(property, texts[name] ?? "");
      if (row) {
        await api.patch("/api/v1/data/{module}/{model}/{id}", { path, body: body as never, version: Number(row.version) });
        tell(t.data.saved(titleOf(row)));
      } else {
        await api.post("/api/v1/data/{module}/{model}", { path: { module, model }, body: body as never });
        tell(t.data.made(t.data.oneOf(model)));
        onClose();
      }
      onChanged();
    });
  };
  const restore = async () => {
    try {
      await api.post("/api/v1/data/{module}/{model}/{id}/restore", { path });
      tell(t.data.restored(titleOf(row ?? {})));
      onChanged();
    } catch (error) {
      tellProblem(error);
    }
  };
  const locked = !mayWrite || gone;
  return (
    <form className="stack" onSubmit={save} noValidate>
      {gone && (
        <div className="problem" data-tone="warn">
          <strong>{t.data.isDeleted}</strong>
          <span className="row-apart">
            <span>{t.data.isDeletedHint}</span>
            {mayWrite && (
              <Button size="small" onClick={() => void restore()}>
                <RotateCcw size={14} />
                {t.data.restore}
              </Button>
            )}
          </span>
        </div>
      )}
      <div className="record-fields">
        {fields.map(([name, property]) => {
          const relation = Object.entries(shape["x-relations"] ?? {}).find(([one, { many }]) => !many && keyOfRelation(one) === name);
          if (relation) {
            return (
              <Reference
                key={name}
                label={shape.required.includes(name) ? `${words(relation[0])} *` : words(relation[0])}
                module={module}
                model={relation[1].model}
                known={row?.[relation[0]] as Row | null | undefined}
                value={texts[name] ?? ""}
                disabled={locked}
                fault={work.fault(`/${name}`)}
                onChange={(text) => setTexts((now) => ({ ...now, [name]: text }))}
              />
            );
          }
          return (
          <Member
            key={name}
            name={name}
            property={property}
            text={texts[name] ?? ""}
            required={shape.required.includes(name)}
            disabled={locked}
            fault={work.fault(`/${name}`)}
            onChange={(text) => setTexts((now) => ({ ...now, [name]: text }))}
          />
          );
        })}
      </div>
      <Refusal of={work} />
      {!locked && (
        <div className="row-apart">
          <span>
            {row && mayDelete && (
              <Button kind="quiet" onClick={() => setRemoving(true)}>
                <Trash2 size={15} />
                {t.data.delete}
              </Button>
            )}
          </span>
          <Button type="submit" kind="primary" busy={work.busy} disabled={changed.length === 0}>
            {row ? t.data.save(changed.length) : t.data.create}
          </Button>
        </div>
      )}
      {row && (
        <FormDialog
          open={removing}
          onClose={() => setRemoving(false)}
          title={t.data.deleteTitle(titleOf(row))}
          about={t.data.deleteAbout}
          action={t.data.delete}
          danger
          submit={() => api.delete("/api/v1/data/{module}/{model}/{id}", { path, version: Number(row.version) })}
          onDone={() => {
            tell(t.data.deletedOne(titleOf(row)));
            onChanged();
            onClose();
          }}
        />
      )}
    </form>
  );
}

/** What a record belongs to, chosen by name instead of by id. */
function Reference({
  label,
  module,
  model,
  known,
  value,
  disabled,
  fault,
  onChange,
}: {
  label: string;
  module: string;
  model: string;
  known: Row | null | undefined;
  value: string;
  disabled: boolean;
  fault: string | undefined;
  onChange: (id: string) => void;
}) {
  const query = useQuery({
    queryKey: ["records", module, model, "choices"],
    queryFn: async ({ signal }) =>
      (await api.get("/api/v1/data/{module}/{model}", { path: { module, model }, query: { limit: 100 } as never, signal })) as unknown as {
        data: Row[];
      },
    enabled: !disabled,
    staleTime: 30_000,
  });
  const rows = query.data?.data ?? [];
  const all = known && !rows.some((row) => row.id === known.id) ? [known, ...rows] : rows;
  return (
    <SelectField label={label} value={value} disabled={disabled} fault={fault} onChange={(event) => onChange(event.target.value)}>
      <option value="" />
      {all
        .toSorted((a, b) => titleOf(a).localeCompare(titleOf(b)))
        .map((row) => (
          <option key={String(row.id)} value={String(row.id)}>
            {titleOf(row)}
          </option>
        ))}
    </SelectField>
  );
}

function Member({
  name,
  property,
  text,
  required,
  disabled,
  fault,
  onChange,
}: {
  name: string;
  property: Property;
  text: string;
  required: boolean;
  disabled: boolean;
  fault: string | undefined;
  onChange: (text: string) => void;
}) {
  const kind = kindOf(property);
  const label = required ? `${words(name)} *` : words(name);
  const shared = { label, hint: property.description, fault, disabled, required, value: text };
  if (kind === "choice" || kind === "boolean") {
    const options = kind === "boolean" ? ["true", "false"] : (property.enum ?? []);
    return (
      <SelectField {...shared} onChange={(event) => onChange(event.target.value)}>
        <option value="" />
        {options.map((one) =>
          one === null ? null : (
            <option key={one} value={one}>
              {kind === "boolean" ? (one === "true" ? t.ui.yes : t.ui.no) : words(one)}
            </option>
          ),
        )}
      </SelectField>
    );
  }
  if (kind === "json" || (property.maxLength === undefined && kind === "text")) {
    return <TextArea {...shared} rows={kind === "json" ? 4 : 2} onChange={(event) => onChange(event.target.value)} />;
  }
  const type = kind === "number" ? "number" : kind === "date" ? "date" : kind === "time" ? "datetime-local" : "text";
  return <TextField {...shared} type={type} maxLength={property.maxLength} onChange={(event) => onChange(event.target.value)} />;
}

function Related({ module, shape, row }: Props & { row: Row }) {
  const relations = Object.entries(shape["x-relations"] ?? {});
  if (relations.length === 0) return null;
  return (
    <section className="stack">
      <h3>{t.data.relations}</h3>
      {relations.map(([name, relation]) => {
        const value = row[name];
        const rows = (relation.many ? value : value ? [value] : []) as Row[] | undefined;
        return (
          <div key={name} className="stack-tight">
            <span className="label muted">
              {words(name)} {relation.many && rows ? `(${rows.length}${rows.length >= 100 ? "+" : ""})` : ""}
            </span>
            {!rows || rows.length === 0 ? (
              <span className="small muted">{t.data.noRelated}</span>
            ) : (
              <ul className="related">
                {rows.slice(0, 12).map((one) => (
                  <li key={String(one.id)}>
                    <Link
                      to="/data/$module/$model"
                      params={{ module, model: relation.model }}
                      search={{ record: String(one.id) }}
                    >
                      {titleOf(one)}
                    </Link>
                    {typeof one.stage === "string" && <Badge>{words(one.stage)}</Badge>}
                  </li>
                ))}
                {rows.length > 12 && (
                  <li className="small">
                    <Link
                      to="/data/$module/$model"
                      params={{ module, model: relation.model }}
                      search={{ filter: [`${keyOfRelation(singular(shape.title.split(".").at(-1) ?? ""))}=eq.${row.id}`] }}
                    >
                      {t.data.allRelated(rows.length)}
                    </Link>
                  </li>
                )}
              </ul>
            )}
          </div>
        );
      })}
    </section>
  );
}

/** Who changed what, from the audit trail. */
function History({ module, model, id }: { module: string; model: string; id: string }) {
  const allowed = useMay("audit.read");
  const query = useQuery({
    queryKey: ["history", module, model, id],
    queryFn: ({ signal }) =>
      api.get("/api/v1/audit/entity/{type}/{key}", { path: { type: `${module}.${model}`, key: id }, query: { limit: 20 }, signal }),
    enabled: allowed,
    retry: false,
  });
  if (!allowed) return null;
  const rows = query.data?.data ?? [];
  return (
    <section className="stack">
      <h3>{t.data.history}</h3>
      {query.isPending ? (
        <Skeleton lines={3} />
      ) : rows.length === 0 ? (
        <p className="small muted">{t.data.noHistory}</p>
      ) : (
        <ol className="history">
          {rows.map((entry) => (
            <li key={entry.auditId}>
              <div className="row-apart small">
                <strong>{words(entry.action.split(".").at(-1) ?? "")}</strong>
                <span className="muted">
                  {entry.actorEmail ?? t.audit.actor(entry.actor)} {"\u00b7"} <When at={entry.timestamp} />
                </span>
              </div>
              <Changes of={entry.changes} />
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}
