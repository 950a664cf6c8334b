import "./style/tokens.css";
import "./style/base.css";
import "./style/ui.css";
import "./style/shell.css";
import "./style/pages.css";
import { CSPProvider } from "@base-ui/react/csp-provider";
import { QueryClient, QueryClientProvider } from "@tanstack/react-query";
import { RouterProvider } from "@tanstack/react-router";
import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { Problem } from "./api/client";
import { away } from "./api/reach";
import { session, start } from "./api/session";
import { theme, wear } from "./app/hue";
import { router } from "./app/router";
import { Toasts } from "./ui/toast";

theme.set(theme.get());

const queries = new QueryClient({
  defaultOptions: {
    queries: {
      staleTime: 5_000,
      refetchOnWindowFocus: true,
      // A refusal is an answer; only a kernel that is away is asked again.
      retry: (failures, error) => !(error instanceof Problem && error.status < 500) && failures < 2,
    },
  },
});

// Another person, another tenant, nobody: nothing of the one before may be seen.
let owner: string | undefined;
session.subscribe(() => {
  const { facts, me, phase } = session.get();
  if (facts) wear(facts.sandbox);
  if (phase === "starting") return;
  const next = `${me?.user?.id}/${me?.tenant.id}`;
  if (owner !== undefined && owner !== next) queries.clear();
  owner = next;
  void router.invalidate();
});

// What was asked for while the kernel was away is asked for again.
away.subscribe(() => {
  if (!away.get()) void queries.invalidateQueries();
});

const root = document.getElementById("root");
if (root) {
  createRoot(root).render(
    <StrictMode>
      <CSPProvider disableStyleElements>
        <QueryClientProvider client={queries}>
          <RouterProvider router={router} />
          <Toasts />
        </QueryClientProvider>
      </CSPProvider>
    </StrictMode>,
  );
  // While the kernel is away the shell asks again; what it refuses is said at the door.
  void start().catch((error: unknown) => {
    if (!away.get()) session.set((now) => ({ ...now, phase: "out", why: String((error as Error).message) }));
  });
}
