import { useQuery, useQueryClient } from "@tanstack/react-query";
import { Link, getRouteApi } from "@tanstack/react-router";
import { Download, Filter as FilterIcon, Plus, Table2, X } from "lucide-react";
import { useMemo, useState } from "react";
import { address, api } from "../../api/client";
import { type Page, usePaged } from "../../api/paged";
import { useMay, useSession } from "../../api/session";
import { t } from "../../text";
import { words } from "../../text/format";
import { Badge, Empty, PageHead, Panel, Skeleton, When } from "../../ui/bits";
import { Button } from "../../ui/button";
import { Choice, SearchField } from "../../ui/field";
import { type Column, List } from "../../ui/list";
import { ProblemNote } from "../../ui/problem";
import { save } from "../../ui/save";
import { PersonOnly } from "../operator-only";
import { type Filter, type ModelSchema, OPERATORS, type Property, type Row, kindOf, queryOf, read, shownColumns, titleOf, written } from "./model";
import { RecordDrawer } from "./record";

const route = getRouteApi("/data/$module/$model");

export function Cell({ property, value }: { property: Property; value: unknown }) {
  if (value === null || value === undefined || value === "") return <span className="muted">{"\u2013"}</span>;
  const kind = kindOf(property);
  if (kind === "time") return <When at={String(value)} />;
  if (kind === "boolean") return value ? <Badge tone="good">{t.ui.yes}</Badge> : <span className="muted">{t.ui.no}</span>;
  if (kind === "choice") return <Badge tone={TONES[String(value)]}>{words(String(value))}</Badge>;
  if (kind === "number") return <>{Number(value).toLocaleString("en")}</>;
  if (kind === "list" && Array.isArray(value)) {
    return (
      <span className="row" style={{ gap: 4, flexWrap: "nowrap" }}>
        {value.slice(0, 3).map((one) => (
          <Badge key={String(one)}>{String(one)}</Badge>
        ))}
        {value.length > 3 && <span className="tiny muted">+{value.length - 3}</span>}
      </span>
    );
  }
  if (kind === "json") return <code className="small clip">{JSON.stringify(value)}</code>;
  return <span className="clip" style={{ display: "inline-block", maxWidth: "22rem", verticalAlign: "bottom" }}>{String(value)}</span>;
}

const TONES: Record<string, "good" | "bad" | "warn" | "accent"> = {
  won: "good",
  active: "good",
  lost: "bad",
  negotiation: "accent",
  proposal: "accent",
  qualified: "accent",
};

export function Grid() {
  const { module, model } = route.useParams();
  const search = route.useSearch();
  const navigate = route.useNavigate();
  const { me } = useSession();
  const queries = useQueryClient();
  const mayWrite = useMay(`${module}.${model}.write`);
  const path = { module, model };
  const [busy, setBusy] = useState(false);
  const schema = useQuery({
    queryKey: ["schema", module, model],
    queryFn: async ({ signal }) =>
      (await api.get("/api/v1/data/{module}/{model}/schema", { path, signal })) as unknown as ModelSchema,
    enabled: me !== null,
    staleTime: 60_000,
  });
  const shape = schema.data;
  const relations = Object.entries(shape?.["x-relations"] ?? {}).filter(([, relation]) => !relation.many);
  const filters = search.filter;
  const asked = useMemo(
    () =>
      shape
        ? queryOf(shape, { filter: filters, q: search.q, sort: search.sort, deleted: search.deleted })
        : {},
    [shape, filters, search.q, search.sort, search.deleted],
  );
  const select = ["*", ...relations.map(([name]) => `${name}(*)`)].join(",");
  const list = usePaged<Row>(
    ["records", module, model, asked],
    async (cursor, signal) =>
      (await api.get("/api/v1/data/{module}/{model}", {
        path,
        query: { ...asked, select, limit: 30, cursor, count: cursor ? undefined : true } as never,
        signal,
      })) as unknown as Page<Row>,
    { enabled: shape !== undefined },
  );
  const change = (next: Partial<typeof search>) => void navigate({ search: { ...search, ...next }, replace: true });
  if (!me) return <PersonOnly title={t.data.titleOf(model)} />;
  if (schema.error) return <ProblemNote error={schema.error} />;
  if (!shape) return <Skeleton lines={8} />;

  const columns: Column<Row>[] = [];
  const names = shownColumns(shape, relations.length > 0 ? 6 : 7);
  const [leading, rest] = [names.slice(0, names.includes("first_name") ? 2 : 1), names];
  columns.push({
    id: leading[0] ?? "id",
    title: leading.length > 1 ? t.data.name : words(leading[0] ?? "id"),
    sortable: true,
    cell: (row) => <span className={row.deleted_at ? "muted" : undefined}>{titleOf(row)}</span>,
  });
  for (const [name] of relations) {
    columns.push({
      id: name,
      title: words(name),
      cell: (row) => (row[name] ? <span className="clip">{titleOf(row[name] as Row)}</span> : <span className="muted">{"\u2013"}</span>),
    });
  }
  for (const name of rest.slice(leading.length)) {
    const property = shape.properties[name] ?? {};
    columns.push({
      id: name,
      title: words(name),
      sortable: kindOf(property) !== "list",
      numeric: kindOf(property) === "number",
      cell: (row) => <Cell property={property} value={row[name]} />,
    });
  }
  const narrowed = Boolean(search.q || filters?.length || search.deleted);
  const download = async () => {
    setBusy(true);
    await save(address("/api/v1/data/{module}/{model}/export", path, { ...asked, format: "csv" }), `${model}.csv`);
    setBusy(false);
  };
  return (
    <>
      <PageHead
        title={t.data.titleOf(model)}
        about={
          <>
            <Link to="/data">{t.data.title}</Link> / <code>{module}</code>
            {shape.description ? ` \u00b7 ${shape.description}` : ""}
          </>
        }
      >
        <Button onClick={() => void download()} busy={busy}>
          <Download size={15} />
          {t.data.export}
        </Button>
        {mayWrite && (
          <Button kind="primary" onClick={() => change({ record: "new" })}>
            <Plus size={16} />
            {t.data.create}
          </Button>
        )}
      </PageHead>
      <div className="stack">
        <div className="filters">
          <SearchField label={t.data.search(t.data.titleOf(model))} value={search.q ?? ""} onSearch={(q) => change({ q: q || undefined })} />
          <Choice
            label={t.data.deleted}
            value={search.deleted ?? ""}
            onChange={(event) => change({ deleted: event.target.value || undefined })}
          >
            <option value="">{t.data.live}</option>
            <option value="with">{t.data.withDeleted}</option>
            <option value="only">{t.data.onlyDeleted}</option>
          </Choice>
          <AddFilter shape={shape} onAdd={(filter) => change({ filter: [...(filters ?? []), written(filter)] })} />
        </div>
        {filters && filters.length > 0 && (
          <ul className="row" aria-label={t.data.filters}>
            {filters.map((text) => {
              const filter = read(text);
              if (!filter) return null;
              return (
                <li key={text} className="chip">
                  <span>{t.data.filterText(words(filter.field), filter.op, filter.value)}</span>
                  <button
                    type="button"
                    aria-label={t.data.dropFilter(words(filter.field))}
                    onClick={() => change({ filter: filters.filter((one) => one !== text) })}
                  >
                    <X size={13} />
                  </button>
                </li>
              );
            })}
          </ul>
        )}
      </div>
      <Panel flush foot={list.rows.length > 0 ? t.ui.shown(list.rows.length, list.total) : undefined}>
        <List
          label={t.data.titleOf(model)}
          list={list}
          keyOf={(row) => String(row.id)}
          columns={columns}
          onOpen={(row) => change({ record: String(row.id) })}
          sort={search.sort}
          onSort={(sort) => change({ sort: sort || undefined })}
          empty={
            <Empty
              icon={<Table2 size={28} />}
              title={narrowed ? t.data.noMatch : t.data.noRecords}
              actions={
                narrowed ? (
                  <Button onClick={() => void navigate({ search: {} })}>{t.data.clear}</Button>
                ) : mayWrite ? (
                  <Button kind="primary" onClick={() => change({ record: "new" })}>
                    {t.data.create}
                  </Button>
                ) : null
              }
            >
              {narrowed ? t.data.noMatchHint : t.data.noRecordsHint}
            </Empty>
          }
        />
      </Panel>
      <RecordDrawer
        key={search.record}
        module={module}
        model={model}
        shape={shape}
        id={search.record}
        onClose={() => change({ record: undefined })}
        onChanged={() => {
          void queries.invalidateQueries({ queryKey: ["records", module] });
          void queries.invalidateQueries({ queryKey: ["history", module, model] });
        }}
      />
    </>
  );
}

/** A condition on one column; those that the API knows for its kind. */
function AddFilter({ shape, onAdd }: { shape: ModelSchema; onAdd: (filter: Filter) => void }) {
  const names = Object.keys(shape.properties).filter((name) => name !== "tenant_id");
  const [open, setOpen] = useState(false);
  const [field, setField] = useState(names[0] ?? "id");
  const property = shape.properties[field] ?? {};
  const kind = kindOf(property);
  const operators = OPERATORS[kind];
  const [op, setOp] = useState(operators[0] ?? "eq");
  const [value, setValue] = useState("");
  const chosen = operators.includes(op) ? op : (operators[0] ?? "eq");
  if (!open) {
    return (
      <Button onClick={() => setOpen(true)}>
        <FilterIcon size={14} />
        {t.data.addFilter}
      </Button>
    );
  }
  const states = kind === "boolean" ? ["true", "false"] : ["null", "not_null"];
  const answer = chosen === "is" ? (states.includes(value) ? value : (states[0] ?? "null")) : value;
  return (
    <form
      className="filter-form"
      aria-label={t.data.addFilter}
      onSubmit={(event) => {
        event.preventDefault();
        if (!answer) return;
        onAdd({ field, op: chosen, value: answer });
        setValue("");
        setOpen(false);
      }}
    >
      <Choice label={t.data.field} value={field} onChange={(event) => setField(event.target.value)}>
        {names.map((name) => (
          <option key={name} value={name}>
            {words(name)}
          </option>
        ))}
      </Choice>
      <Choice label={t.data.condition} value={chosen} onChange={(event) => setOp(event.target.value)}>
        {operators.map((one) => (
          <option key={one} value={one}>
            {t.data.ops[one as keyof typeof t.data.ops]}
          </option>
        ))}
      </Choice>
      {chosen === "is" ? (
        <Choice label={t.data.value} value={answer} onChange={(event) => setValue(event.target.value)}>
          {states.map((state) => (
            <option key={state} value={state}>
              {t.data.states[state as keyof typeof t.data.states]}
            </option>
          ))}
        </Choice>
      ) : kind === "choice" ? (
        <Choice label={t.data.value} value={value} onChange={(event) => setValue(event.target.value)}>
          <option value="" />
          {(property.enum ?? []).map((one) => (one === null ? null : <option key={one}>{one}</option>))}
        </Choice>
      ) : (
        <input
          className="input"
          aria-label={t.data.value}
          type={kind === "number" ? "number" : kind === "date" || kind === "time" ? "date" : "text"}
          value={value}
          autoFocus
          onChange={(event) => setValue(event.target.value)}
        />
      )}
      <Button type="submit" kind="primary">
        {t.data.apply}
      </Button>
      <Button kind="quiet" square aria-label={t.ui.cancel} onClick={() => setOpen(false)}>
        <X size={15} />
      </Button>
    </form>
  );
}
