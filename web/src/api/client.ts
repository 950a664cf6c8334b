/** Calls to the kernel's API: typed by its own description, errors as problems, tokens renewed on the way. */
import type { paths } from "./schema";
import { Problem, type ProblemBody } from "./problem";
import { Unreachable, reach } from "./reach";
import { renew, session } from "./session";

export { Problem, type ProblemBody, Unreachable };

type Method = "get" | "post" | "patch" | "delete";

/** The addresses that know a method. */
type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P] extends Record<M, { responses: unknown }> ? P : never;
}[keyof paths];

type Operation<P extends keyof paths, M extends Method> = paths[P] extends Record<M, infer O> ? O : never;

type Json<R> = R extends { content: infer C } ? C[keyof C] : undefined;
type Success<R> = {
  [S in keyof R]: S extends 200 | 201 | 202 ? Json<R[S]> : S extends 204 ? undefined : never;
}[keyof R];

/** What a call answers. */
export type Answer<P extends keyof paths, M extends Method> =
  Operation<P, M> extends { responses: infer R } ? Success<R> : never;

type PathParams<O> = O extends { parameters: { path: infer V } } ? { path: V } : { path?: undefined };
type Query<O> = O extends { parameters: { query?: infer V } } ? { query?: V } : { query?: undefined };
type BodyOf<O> = O extends { requestBody: { content: infer C } }
  ? { body: C[keyof C] }
  : O extends { requestBody?: { content: infer C } }
    ? { body?: C[keyof C] }
    : { body?: undefined };

/** In whose name: the person who signed in, the operator of the process, or nobody. */
export type As = "user" | "operator" | "nobody";

interface Common {
  as?: As;
  /** The version that the caller has seen; a newer one is not overwritten. */
  version?: number;
  /** A second call with the same key has no second effect. */
  key?: string;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

type Options<P extends keyof paths, M extends Method> = Common &
  PathParams<Operation<P, M>> &
  Query<Operation<P, M>> &
  BodyOf<Operation<P, M>>;

export function address(path: string, values?: unknown, query?: unknown): string {
  const given = (values ?? {}) as Record<string, string | number>;
  const filled = path.replace(/\{([^}]+)\}/g, (_, name: string) => encodeURIComponent(String(given[name] ?? "")));
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries((query ?? {}) as Record<string, unknown>)) {
    if (value === undefined || value === null || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) search.append(name, String(one));
  }
  const text = search.toString();
  return text ? `${filled}?${text}` : filled;
}

async function problemOf(response: Response): Promise<Problem> {
  try {
    return new Problem((await response.json()) as ProblemBody);
  } catch {
    const title = response.statusText || `HTTP ${response.status}`;
    return new Problem({ type: "about:blank", title, status: response.status, detail: title });
  }
}

/** One request, once more with a fresh token if the old one has ended. */
export async function send(url: string, init: RequestInit, as: As = "user"): Promise<Response> {
  const attempt = async () => {
    const headers = new Headers(init.headers);
    const token = session.get().token;
    if (as === "user" && token) headers.set("authorization", `Bearer ${token}`);
    return reach(url, { ...init, headers });
  };
  let response = await attempt();
  if (response.status === 401 && as === "user" && session.get().token && (await renew())) {
    response = await attempt();
  }
  return response;
}

async function call(method: Method, path: string, options: Record<string, unknown> & Common): Promise<unknown> {
  const { as = "user", version, key, signal, headers: extra, path: values, query, body } = options;
  const headers: Record<string, string> = { accept: "application/json", ...extra };
  const init: RequestInit = { method: method.toUpperCase(), headers };
  if (signal) init.signal = signal;
  if (version !== undefined) headers["if-match"] = `"v${version}"`;
  if (key) headers["idempotency-key"] = key;
  if (body instanceof FormData) init.body = body;
  else if (body !== undefined) {
    headers["content-type"] = "application/json";
    init.body = JSON.stringify(body);
  }
  const response = await send(address(path, values, query), init, as);
  if (!response.ok) throw await problemOf(response);
  if (response.status === 204 || response.headers.get("content-length") === "0") return undefined;
  return response.json();
}

type Given<P extends keyof paths, M extends Method> =
  Record<string, never> extends Options<P, M> ? [options?: Options<P, M>] : [options: Options<P, M>];

function caller<M extends Method>(method: M) {
  return async <P extends PathOf<M>>(path: P, ...[options]: Given<P, M>): Promise<Answer<P, M>> =>
    (await call(method, path as string, (options ?? {}) as Record<string, unknown>)) as Answer<P, M>;
}

export const api = {
  get: caller("get"),
  post: caller("post"),
  patch: caller("patch"),
  delete: caller("delete"),
};

/** A file of the API, fetched with the caller's rights. */
export async function blob(url: string, signal?: AbortSignal): Promise<Blob> {
  const response = await send(url, signal ? { signal } : {});
  if (!response.ok) throw await problemOf(response);
  return response.blob();
}
