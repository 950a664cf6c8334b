import { type QueryKey, useInfiniteQuery } from "@tanstack/react-query";

/** A page as every list of the API answers it. */
export interface Page<T> {
  data: T[];
  meta: { cursor?: string | null; hasMore: boolean; total?: number | null };
}

/** A list that is read page by page. */
export interface Paged<T> {
  rows: T[];
  total: number | undefined;
  loading: boolean;
  refreshing: boolean;
  error: unknown;
  hasMore: boolean;
  loadingMore: boolean;
  more: () => void;
  reload: () => void;
}

export function usePaged<T>(
  key: QueryKey,
  fetchPage: (cursor: string | undefined, signal: AbortSignal) => Promise<Page<T>>,
  options: { enabled?: boolean; refetchInterval?: number } = {},
): Paged<T> {
  const query = useInfiniteQuery({
    queryKey: key,
    queryFn: ({ pageParam, signal }) => fetchPage(pageParam, signal),
    initialPageParam: undefined as string | undefined,
    getNextPageParam: (page) => (page.meta.hasMore ? (page.meta.cursor ?? undefined) : undefined),
    placeholderData: (before) => before,
    ...options,
  });
  const pages = query.data?.pages ?? [];
  return {
    rows: pages.flatMap((page) => page.data),
    total: pages[0]?.meta.total ?? undefined,
    loading: query.isPending && query.fetchStatus !== "idle",
    refreshing: query.isFetching,
    error: query.error,
    hasMore: query.hasNextPage,
    loadingMore: query.isFetchingNextPage,
    more: () => void query.fetchNextPage(),
    reload: () => void query.refetch(),
  };
}
