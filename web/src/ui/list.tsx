import { ArrowDown, ArrowUp } from "lucide-react";
import type { ReactNode } from "react";
import { t } from "../text";
import { Button } from "./button";
import { Skeleton } from "./bits";
import { ProblemNote } from "./problem";
import type { Paged } from "../api/paged";

export interface Column<T> {
  /** Stable name, and the field by which it is sorted. */
  id: string;
  title: string;
  cell: (row: T) => ReactNode;
  numeric?: boolean;
  sortable?: boolean;
}

interface Props<T> {
  label: string;
  columns: Column<T>[];
  list: Paged<T>;
  keyOf: (row: T) => string;
  onOpen?: (row: T) => void;
  empty: ReactNode;
  sort?: string;
  onSort?: (sort: string) => void;
}

/** A list that the server pages: rows, then a button for the next page. */
export function List<T>({ label, columns, list, keyOf, onOpen, empty, sort, onSort }: Props<T>) {
  if (list.error && list.rows.length === 0) {
    return (
      <div style={{ padding: "var(--s4)" }}>
        <ProblemNote error={list.error} retry={list.reload} />
      </div>
    );
  }
  if (list.loading) return <Skeleton lines={7} />;
  if (list.rows.length === 0) return empty;
  return (
    <>
      <div className="table-frame" aria-busy={list.refreshing}>
        <table className="table" data-cards="" aria-label={label}>
          <thead>
            <tr>
              {columns.map((column) => (
                <Head key={column.id} column={column} sort={sort} onSort={onSort} />
              ))}
            </tr>
          </thead>
          <tbody>
            {list.rows.map((row) => (
              <tr
                key={keyOf(row)}
                data-open={onOpen ? "" : undefined}
                onClick={(event) => {
                  // Buttons, links and menus inside a row act for themselves.
                  if (!onOpen || (event.target as HTMLElement).closest("button, a, input, select, [role=menu]")) return;
                  onOpen(row);
                }}
              >
                {columns.map((column, index) => (
                  <td key={column.id} className={column.numeric ? "num" : undefined} data-label={column.title}>
                    {index === 0 && onOpen ? (
                      <button type="button" className="row-link" onClick={() => onOpen(row)}>
                        {column.cell(row)}
                      </button>
                    ) : (
                      column.cell(row)
                    )}
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <More list={list} />
    </>
  );
}

function Head<T>({
  column,
  sort,
  onSort,
}: {
  column: Column<T>;
  sort?: string | undefined;
  onSort?: ((sort: string) => void) | undefined;
}) {
  const now = sort === column.id ? "ascending" : sort === `-${column.id}` ? "descending" : undefined;
  const className = column.numeric ? "num" : undefined;
  if (!column.sortable || !onSort) return <th className={className}>{column.title}</th>;
  const next = now === "ascending" ? `-${column.id}` : now === "descending" ? "" : column.id;
  return (
    <th className={className} aria-sort={now ?? "none"}>
      <button type="button" onClick={() => onSort(next)}>
        {column.title}
        {now === "ascending" && <ArrowUp size={12} aria-hidden="true" />}
        {now === "descending" && <ArrowDown size={12} aria-hidden="true" />}
      </button>
    </th>
  );
}

/** The next page of a list, if there is one. */
export function More<T>({ list }: { list: Paged<T> }) {
  if (!list.hasMore) return null;
  return (
    <div className="row more">
      <Button size="small" onClick={list.more} busy={list.loadingMore}>
        {t.ui.more}
      </Button>
      <span className="small muted">{t.ui.shown(list.rows.length, list.total)}</span>
    </div>
  );
}
