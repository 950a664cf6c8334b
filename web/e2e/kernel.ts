/** A real kernel on free ports with an empty data folder, and a Chromium whose network ends at it. */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, type Page, chromium } from "playwright-core";

const PROGRAM = process.env.PLATFORM_KERNEL_BIN ?? new URL("../../target/debug/platform-kernel", import.meta.url).pathname;

export interface Kernel {
  url: string;
  browser: Browser;
  /** What the page asked for that was not the kernel, and what the browser complained about. */
  complaints: string[];
  context(size?: { width: number; height: number }, scheme?: "light" | "dark"): Promise<BrowserContext>;
  /** A single-use address that opens the operator's session. */
  operatorLink(): Promise<string>;
  stop(): Promise<void>;
}

async function until<T>(what: string, limit: number, ask: () => Promise<T | undefined>): Promise<T> {
  const end = Date.now() + limit;
  for (;;) {
    const answer = await ask().catch(() => undefined);
    if (answer !== undefined) return answer;
    if (Date.now() > end) throw new Error(`${what}: not within ${limit / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

export async function startKernel(): Promise<Kernel> {
  const folder = mkdtempSync(join(tmpdir(), "pk-console-"));
  const offset = 2_000 + Math.floor(Math.random() * 8_000);
  const url = `http://localhost:${8080 + offset}`;
  const child: ChildProcess = spawn(PROGRAM, ["--port-offset", String(offset), "--data-dir", folder], { stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  child.stdout?.on("data", (text) => (said += text));
  child.stderr?.on("data", (text) => (said += text));
  await until("the kernel", 110_000, async () => {
    if (child.exitCode !== null) throw new Error(said);
    return (await fetch(`${url}/ready`)).ok ? true : undefined;
  });
  const key = await until("the operator key", 5_000, async () => readFileSync(join(folder, "operator.key"), "utf8").trim());
  const browser = await chromium.launch({
    executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium",
    args: [
      "--no-sandbox",
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
  const complaints: string[] = [];
  return {
    url,
    browser,
    complaints,
    async context(size = { width: 1440, height: 900 }, scheme = "light") {
      const context = await browser.newContext({ viewport: size, colorScheme: scheme, reducedMotion: "reduce" });
      // A colour half-way to another is none that anybody reads.
      context.setDefaultTimeout(30_000);
      context.on("request", (request) => {
        const { hostname, protocol } = new URL(request.url());
        if (!["blob:", "data:", "about:"].includes(protocol) && hostname !== "localhost" && !hostname.endsWith(".localhost")) {
          complaints.push(`asked for ${request.url()}`);
        }
      });
      context.on("page", (page) => {
        page.on("pageerror", (error) => complaints.push(`threw ${error.message}`));
        page.on("console", (message) => {
          // Refusals are answers, and pages show them; what breaks the policy or the program is not.
          if (message.type() === "error" && !message.text().startsWith("Failed to load resource")) complaints.push(message.text());
        });
      });
      return context;
    },
    async operatorLink() {
      const answer = await fetch(`${url}/api/v1/operator/links`, { method: "POST", headers: { authorization: `Bearer ${key}` } });
      return ((await answer.json()) as { url: string }).url;
    },
    async stop() {
      await browser.close();
      child.kill("SIGINT");
      await new Promise((resolve) => (child.exitCode === null ? child.once("exit", resolve) : resolve(null)));
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** Signs in as one of the demo's people, as a person would. */
export async function be(page: Page, name: string): Promise<void> {
  await page.getByRole("button", { name: new RegExp(name) }).click();
  await page.getByRole("heading", { name: `Hello ${name.split(" ")[0]}` }).waitFor();
}
