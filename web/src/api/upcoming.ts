/**
 * Operations that the console uses and this build's description does not have yet. Each falls away when `npm run api`
 * brings it: two declarations of one address do not compile.
 */
import type {} from "./schema";

interface Page<T> {
  data: T[];
  meta: { cursor?: string | null; hasMore: boolean; total?: number | null };
}
interface Says<T> {
  headers: { [name: string]: unknown };
  content: { "application/json": T };
}
interface Gone {
  headers: { [name: string]: unknown };
  content?: never;
}
type At<P> = P extends undefined ? { path?: never } : { path: P };
interface Get<T, P = undefined, Q = undefined> {
  parameters: At<P> & { query?: Q };
  responses: { 200: Says<T> };
}
interface Post<T, B, P = undefined> {
  parameters: At<P>;
  requestBody: { content: { "application/json": B } };
  responses: { 200: Says<T> };
}
interface Act<T, P> {
  parameters: { path: P };
  responses: { 200: Says<T> };
}
interface Delete<P> {
  parameters: { path: P };
  responses: { 204: Gone };
}
type Id = { id: string };
type Name = { name: string };
interface Paging {
  limit?: number;
  cursor?: string;
}

interface WalletOut {
  id: string;
  userId?: string | null;
  kind: string;
  label?: string | null;
  currency: string;
  exponent: number;
  available: number;
  pending: number;
  frozen: number;
  state: string;
  reason?: string;
  createdAt: string;
}
interface TransactionOut {
  id: string;
  kind: string;
  state: string;
  walletId: string;
  counterpartyId?: string;
  amount: number;
  currency: string;
  exponent: number;
  reversedBy?: string;
  description?: string;
  createdAt: string;
  entries: { account: string; walletId?: string; amount: number }[];
}
interface LedgerOut {
  valid: boolean;
  checkedAt: string;
  wallets: number;
  transactions: number;
  entries: number;
  differences: { what: string; id: string; currency: string; stored: number; counted: number }[];
}
interface MoveIn {
  amount: number;
  description?: string;
}
interface FileOut {
  id: string;
  name: string;
  bucket: string;
  mimeType: string;
  size: number;
  sha256: string;
  state: "pending_scan" | "available" | "rejected" | "deleted" | "destroyed";
  reason?: string;
  width?: number;
  height?: number;
  thumbnails: string[];
  version: number;
  createdAt: string;
}
interface OutboxMailOut {
  id: string;
  tenantId?: string | null;
  to: string;
  subject: string;
  template?: string | null;
  private: boolean;
  status: string;
  attempts: number;
  error?: string | null;
  createdAt: string;
  headers?: { name: string; value: string }[];
  text?: string;
  html?: string;
}
interface PlanOut {
  id: string;
  name: string;
  interval: string;
  offered: boolean;
  price: number;
  currency: string;
  limits: { users: number; records: number; storageBytes: number; eventsPerDay: number; modules: number; rps: number; burst: number };
}
interface SubscriptionOut {
  id: string;
  state: string;
  plan: { id: string; name: string };
  periodEnd: string;
  nextPlan?: { id: string; name: string } | null;
  suspendsAt?: string | null;
  terminatesAt?: string | null;
  version: number;
}
interface InvoiceOut {
  id: string;
  number: number;
  state: string;
  plan: string;
  total: number;
  currency: string;
  issuedAt: string;
}
interface ClockOut {
  mode: string;
  now: string;
}

declare module "./schema" {
  interface paths {
    "/api/v1/wallets": {
      get: Get<Page<WalletOut>, undefined, Paging>;
      post: Post<WalletOut, { currency: string; label?: string }>;
    };
    "/api/v1/wallets/{id}/transactions": { get: Get<Page<TransactionOut>, Id, Paging> };
    "/api/v1/wallets/{id}/freeze": { post: Post<WalletOut, { reason: string }, Id> };
    "/api/v1/wallets/{id}/unfreeze": { post: Act<WalletOut, Id> };
    "/api/v1/wallets/{id}/credit": { post: Post<TransactionOut, MoveIn, Id> };
    "/api/v1/wallets/{id}/debit": { post: Post<TransactionOut, MoveIn, Id> };
    "/api/v1/wallets/{id}/reversal": { post: Post<TransactionOut, { transactionId: string; reason: string }, Id> };
    "/api/v1/transfers": { post: Post<TransactionOut, { from: string; to: string; amount: number; description?: string }> };
    "/api/v1/ledger/verify": { get: Get<LedgerOut> };
    "/api/v1/files": { get: Get<Page<FileOut>, undefined, Paging & { bucket?: string; state?: FileOut["state"] }> };
    "/api/v1/files/{id}": { delete: Delete<Id> };
    "/api/v1/files/{id}/permanent": { delete: Delete<Id> };
    "/api/v1/files/{id}/restore": { post: Act<FileOut, Id> };
    "/api/v1/files/{id}/url": { get: Get<{ url: string; expiresAt: string }, Id, { expiresIn?: number }> };
    "/api/v1/sandbox/outbox": { get: Get<Page<OutboxMailOut>, undefined, Paging & { to?: string }> };
    "/api/v1/sandbox/outbox/{id}": { get: Get<OutboxMailOut, Id> };
    "/api/v1/billing/plans": { get: Get<Page<PlanOut>, undefined, Paging> };
    "/api/v1/billing/subscriptions/current": { get: Get<SubscriptionOut> };
    "/api/v1/billing/subscriptions/{id}": {
      patch: Post<SubscriptionOut, { plan?: string; cancelDowngrade?: boolean }, Id>;
    };
    "/api/v1/billing/usage": { get: Get<{ current: { what: string; used: number; limit?: number | null }[] }> };
    "/api/v1/billing/simulate": { post: Post<SubscriptionOut, { event: "payment_succeeded" | "payment_failed" | "renewal" }> };
    "/api/v1/billing/invoices": { get: Get<Page<InvoiceOut>, undefined, Paging> };
    "/api/v1/sandboxes/{name}/snapshots": {
      get: Get<Page<{ label: string; createdAt: string; bytes?: number | null }>, Name>;
      post: Post<{ label: string }, { label: string }, Name>;
    };
    "/api/v1/sandboxes/{name}/snapshots/{label}": { delete: Delete<Name & { label: string }> };
    "/api/v1/sandboxes/{name}/restore": { post: Post<unknown, { snapshot: string }, Name> };
    "/api/v1/sandboxes/{name}/clock": {
      get: Get<ClockOut, Name>;
      post: Post<ClockOut, { mode: "set" | "advance" | "freeze" | "follow"; seconds?: number; at?: string }, Name>;
    };
    "/api/v1/sandboxes/{name}/allow-outbound": { post: Post<unknown, { allowed: boolean }, Name> };
  }
}
