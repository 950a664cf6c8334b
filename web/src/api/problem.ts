/** What went wrong, as RFC 9457 tells it. */
export interface ProblemBody {
  type: string;
  title: string;
  status: number;
  detail: string;
  traceId?: string;
  errors?: { field: string; code: string; message: string; file?: string; line?: number }[];
}

export class Problem extends Error {
  readonly status: number;
  readonly slug: string;
  readonly title: string;
  readonly traceId: string | undefined;
  readonly errors: NonNullable<ProblemBody["errors"]>;

  constructor(body: ProblemBody) {
    super(body.detail || body.title);
    this.status = body.status;
    this.slug = body.type.split("/").at(-1) ?? "";
    this.title = body.title;
    this.traceId = body.traceId;
    this.errors = body.errors ?? [];
  }

  /** What is said about one field, by its JSON pointer. */
  of(field: string): string | undefined {
    return this.errors.find((error) => error.field === field)?.message;
  }
}
