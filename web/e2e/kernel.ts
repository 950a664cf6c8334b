/** A real kernel on ports that the system chooses, with an empty data folder, and a Chromium whose network ends at it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, type Page, chromium } from "playwright-core";

const PROGRAM = process.env.PLATFORM_KERNEL_BIN ?? new URL("../../target/debug/platform-kernel", import.meta.url).pathname;
/** How long one step may take. Long, because a step that comes late on a busy machine is no fault of the console. */
export const PATIENCE = 90_000;

export interface Size {
  width: number;
  height: number;
}
export const LARGE: Size = { width: 1440, height: 900 };
export const SMALL: Size = { width: 360, height: 780 };

export interface Kernel {
  url: string;
  browser: Browser;
  /** What the page asked for that was not the kernel, and what the browser complained about. */
  complaints: string[];
  /** A browser that nobody has used yet. */
  context(size?: Size): Promise<BrowserContext>;
  /** A single-use address that opens the operator's session, at a sandbox's own host if one is named. */
  operatorLink(sandbox?: string): Promise<string>;
  /** A call of the operator. */
  operate(method: string, path: string, body?: unknown): Promise<Record<string, unknown>>;
  /** The address of a sandbox. */
  at(sandbox: string): string;
  /** The last words of the program. */
  said(): string;
  /** Ends the program; the browser stays. */
  halt(): Promise<void>;
  stop(): Promise<void>;
}

/** Asks until there is an answer; `over` says why there will be none. */
async function until<T>(what: string, limit: number, ask: () => Promise<T | undefined>, over: () => string | undefined): Promise<T> {
  const end = Date.now() + limit;
  let last: unknown;
  for (;;) {
    const answer = await ask().catch((error: unknown) => void (last = error));
    if (answer !== undefined) return answer;
    const why = over();
    if (why !== undefined) throw new Error(`${what}: ${why}`);
    if (Date.now() > end) throw new Error(`${what}: not within ${limit / 1000} s; ${String(last)}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGINT");
  const late = setTimeout(() => child.kill("SIGKILL"), 30_000);
  await gone;
  clearTimeout(late);
}

/** Its default sandbox is the demo, unless another template is named. */
export async function startKernel(template = "demo"): Promise<Kernel> {
  const folder = mkdtempSync(join(tmpdir(), "pk-console-"));
  // Port 0: the system gives a free one, and runtime.json says which.
  const ports = ["gateway", "gateway-tls", "iam", "grpc"].flatMap((name) => [`--${name}-port`, "0"]);
  const child = spawn(PROGRAM, [...ports, "--shutdown-grace", "0s", "--template", template, "--data-dir", folder], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  const note = (text: Buffer) => (said = (said + text.toString()).slice(-20_000));
  child.stdout.on("data", note);
  child.stderr.on("data", note);
  child.on("error", (error) => (said += String(error)));
  let browser: Browser | undefined;
  try {
    const over = () => (child.exitCode !== null || child.pid === undefined ? `it ended at once:\n${said}` : undefined);
    const url = await until(
      "the kernel",
      200_000,
      async () => {
        const { url } = JSON.parse(readFileSync(join(folder, "runtime.json"), "utf8")) as { url: string };
        return (await fetch(`${url}/ready`)).ok ? url : undefined;
      },
      over,
    );
    const key = readFileSync(join(folder, "operator.key"), "utf8").trim();
    browser = await chromium.launch({
      executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
      timeout: PATIENCE,
      args: [
        "--no-sandbox",
        // A container's /dev/shm is small, and a tab that finds it full is gone.
        "--disable-dev-shm-usage",
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        // The network is cut: no name but localhost leads anywhere.
        "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",
      ],
    });
    return kernel({ url, key, folder, child, browser, said: () => said });
  } catch (error) {
    await browser?.close();
    await end(child);
    rmSync(folder, { recursive: true, force: true });
    throw error;
  }
}

interface Parts {
  url: string;
  key: string;
  folder: string;
  child: ChildProcess;
  browser: Browser;
  said: () => string;
}

function kernel({ url, key, folder, child, browser, said }: Parts): Kernel {
  const complaints: string[] = [];
  const { port } = new URL(url);
  const at = (sandbox: string) => (sandbox === "default" ? url : `http://${sandbox}.localhost:${port}`);
  const operate = async (method: string, path: string, body?: unknown) => {
    const headers: Record<string, string> = { authorization: `Bearer ${key}`, "content-type": "application/json" };
    const answer = await fetch(`${url}/api/v1${path}`, { method, headers, body: body === undefined ? undefined : JSON.stringify(body) });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return (text ? JSON.parse(text) : {}) as Record<string, unknown>;
  };
  return {
    url,
    browser,
    complaints,
    at,
    operate,
    said: () => said().slice(-3_000),
    async context(size = LARGE) {
      // A colour half-way to another is none that anybody reads: motion is reduced.
      const context = await browser.newContext({ viewport: size, colorScheme: "light", reducedMotion: "reduce" });
      context.setDefaultTimeout(PATIENCE);
      context.on("request", (request) => {
        const { hostname, protocol } = new URL(request.url());
        if (!["blob:", "data:", "about:"].includes(protocol) && hostname !== "localhost" && !hostname.endsWith(".localhost")) {
          complaints.push(`asked for ${request.url()}`);
        }
      });
      context.on("page", (page) => {
        page.on("pageerror", (error) => complaints.push(`threw ${error.message} at ${page.url()}`));
        page.on("crash", () => complaints.push(`the tab crashed at ${page.url()}`));
        page.on("console", (message) => {
          // Refusals are answers, and pages show them; what breaks the policy or the program is not.
          if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
        });
      });
      return context;
    },
    async operatorLink(sandbox = "default") {
      const { url: link } = (await operate("POST", "/operator/links")) as { url: string };
      return `${at(sandbox)}/open${new URL(link).search}`;
    },
    halt: () => end(child),
    async stop() {
      await browser.close();
      await end(child);
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Signs in as one of the demo's people, as a person would. */
export async function be(page: Page, name: string, url: string): Promise<void> {
  await page.goto(url);
  await page.getByRole("button", { name: new RegExp(name) }).click();
  await page.getByRole("heading", { name: `Hello ${name.split(" ")[0]}` }).waitFor();
}
