/** What every test file begins with: a kernel, who is signed in, a page of its own for each test. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AxeBuilder } from "@axe-core/playwright";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, afterEach, beforeAll, beforeEach, expect } from "vitest";
import { type Kernel, type Size, be, startKernel } from "./kernel";

/** Starts a kernel for the file. A test in which the page broke or asked the outside for something fails by that. */
export function useKernel(): { readonly now: Kernel } {
  let kernel: Kernel | undefined;
  const now = (): Kernel => {
    if (!kernel) throw new Error("The kernel did not start.");
    return kernel;
  };
  beforeAll(async () => {
    kernel = await startKernel();
  });
  afterAll(async () => {
    await kernel?.stop();
  });
  afterEach(() => {
    expect(now().complaints.splice(0)).toEqual([]);
  });
  return {
    get now() {
      return now();
    },
  };
}

interface Who {
  /** One of the demo's people. */
  person?: string;
  operator?: boolean;
  /** In a sandbox made for these tests, so that what they do to it is nobody else's. */
  sandbox?: string;
  size?: Size;
}

export interface Stage {
  readonly page: Page;
  readonly context: BrowserContext;
  /** The address of the sandbox. */
  readonly url: string;
}

/** Signs in once; each test has a page of its own, so that what one leaves open when it fails is not in the next one's way. */
export function useStage(kernel: { readonly now: Kernel }, { person, operator, sandbox, size }: Who): Stage {
  let context: BrowserContext | undefined;
  let page: Page | undefined;
  let url = "";
  const there = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error("The stage was not set.");
    return value;
  };
  beforeAll(async () => {
    url = kernel.now.at(sandbox ?? "default");
    if (sandbox) await kernel.now.operate("POST", "/sandboxes", { name: sandbox, template: "demo" });
    context = await kernel.now.context(size);
    const first = await context.newPage();
    if (operator) await first.goto(await kernel.now.operatorLink(sandbox));
    if (person) await be(first, person, url);
    await first.close();
  });
  beforeEach(async () => {
    page = await there(context).newPage();
  });
  afterEach(async ({ task }) => {
    if (page && task.result?.state === "fail") await tell(task.name, page, kernel.now);
    await page?.close();
  });
  afterAll(async () => {
    await context?.close();
  });
  return {
    get page() {
      return there(page);
    },
    get context() {
      return there(context);
    },
    get url() {
      return url;
    },
  };
}

let shots: string | undefined;

/** What a test that failed saw: where it was, what stood there, what the browser and the kernel said. */
export async function tell(name: string, page: Page, kernel: Kernel): Promise<void> {
  shots ??= mkdtempSync(join(tmpdir(), "pk-console-failed-"));
  const path = join(shots, `${name.replace(/[^a-z0-9]+/gi, "-").slice(0, 80)}.png`);
  const shot = await page.screenshot({ path, timeout: 20_000 }).then(() => path, String);
  const words = await page.locator("body").innerText({ timeout: 5_000 }).catch(String);
  console.log(
    [
      `failed: ${name}`,
      `address: ${page.url()}`,
      `picture: ${shot}`,
      `complaints: ${kernel.complaints.join("; ") || "none"}`,
      `on the page: ${words.replace(/\s+/g, " ").slice(0, 800)}`,
      `the kernel: ${kernel.said().slice(-1_200)}`,
    ].join("\n"),
  );
}

/** What was asked for has come. */
export const settled = (page: Page) => page.waitForFunction(() => document.querySelector(".skeleton, .starting") === null);

/** Rules that people with a screen reader, a keyboard or weak eyes stumble over. */
export async function serious(page: Page, rules?: string[]): Promise<string[]> {
  const axe = new AxeBuilder({ page }).setLegacyMode();
  const { violations } = await (rules ? axe.withRules(rules) : axe).analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
}

/** Puts a page into a colour scheme, and waits until it is drawn in it. */
export async function scheme(page: Page, colorScheme: "light" | "dark"): Promise<void> {
  await page.emulateMedia({ colorScheme });
  await page.evaluate(async () => {
    const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
    await frame();
    await frame();
    const ending = document.getAnimations().filter((one) => one.effect?.getComputedTiming().iterations !== Infinity);
    await Promise.all(ending.map((one) => one.finished.catch(() => undefined)));
  });
}

/** How far the page reaches beyond the right edge of the screen. */
export const beyond = (page: Page) => page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
