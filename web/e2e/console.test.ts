import { availableParallelism, loadavg } from "node:os";
import { AxeBuilder } from "@axe-core/playwright";
import type { BrowserContext, Page } from "playwright-core";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Kernel, be, startKernel } from "./kernel";

let kernel: Kernel;
let context: BrowserContext;
let page: Page;

beforeAll(async () => {
  kernel = await startKernel();
  context = await kernel.context();
  page = await context.newPage();
});
afterAll(async () => {
  await kernel?.stop();
});

const PAGES: [string, string][] = [
  ["/", "Hello Avery"],
  ["/topology", "Topology"],
  ["/sandboxes", "Sandboxes"],
  ["/data", "Records"],
  ["/data/crm/contacts", "Contacts"],
  ["/events", "Events"],
  ["/files", "Files"],
  ["/wallets", "Wallets"],
  ["/outbox", "Outbox"],
  ["/audit", "Audit"],
  ["/users", "Users"],
  ["/plan", "Plan and usage"],
  ["/modules", "Modules"],
  ["/modules?tab=bench", "Modules"],
  ["/account", "Avery Admin"],
];

/** What was asked for has come. */
const settled = (of: Page) => of.waitForFunction(() => document.querySelector(".skeleton:not(.picture-wait)") === null);

/** Rules that people with a screen reader, a keyboard or weak eyes stumble over. */
async function serious(of: Page, rules?: string[]): Promise<string[]> {
  const axe = new AxeBuilder({ page: of }).setLegacyMode();
  const { violations } = await (rules ? axe.withRules(rules) : axe).analyze();
  return violations
    .filter(({ impact }) => impact === "serious" || impact === "critical")
    .map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(" ")).slice(0, 3).join(", ")}`);
}

/** Puts a page into a colour scheme, and waits until it is drawn in it. */
async function scheme(of: Page, colorScheme: "light" | "dark"): Promise<void> {
  await of.emulateMedia({ colorScheme });
  await of.evaluate(async () => {
    const frame = () => new Promise((drawn) => requestAnimationFrame(drawn));
    await frame();
    await frame();
    const ending = document.getAnimations().filter((one) => one.effect?.getComputedTiming().iterations !== Infinity);
    await Promise.all(ending.map((one) => one.finished.catch(() => undefined)));
  });
}

describe("the first page", () => {
  it("is there within a second, with a small script", async () => {
    const fresh = await kernel.context();
    const first = await fresh.newPage();
    let scripts = 0;
    first.on("response", async (response) => {
      if (response.url().endsWith(".js")) scripts += Number(response.headers()["content-length"] ?? 0);
    });
    await first.goto(kernel.url);
    await first.getByRole("button", { name: /Avery Admin/ }).waitFor();
    await fresh.close();
    // The best of some, each with an empty cache. On a machine that has other work to do, its share of it counts.
    const limit = 1_000 * Math.max(1, (loadavg()[0] ?? 0) / availableParallelism());
    let took = Number.POSITIVE_INFINITY;
    let second = first;
    for (let turn = 0; turn < 8 && took > limit; turn += 1) {
      second = await (await kernel.context()).newPage();
      const begun = performance.now();
      await second.goto(kernel.url, { waitUntil: "commit" });
      await second.getByRole("button", { name: /Avery Admin/ }).waitFor();
      took = Math.min(took, performance.now() - begun);
    }
    console.log(`first page interactive after ${Math.round(took)} ms, ${Math.round(scripts / 1024)} KB of script`);
    expect(scripts).toBeGreaterThan(0);
    expect(scripts).toBeLessThan(400 * 1024);
    expect(took).toBeLessThan(limit);
    expect(await serious(second)).toEqual([]);
  });

  it("is guarded by a policy that lets nothing be written into it", async () => {
    const answer = await fetch(kernel.url, { headers: { accept: "text/html" } });
    const policy = answer.headers.get("content-security-policy") ?? "";
    expect(policy).toContain("script-src 'self'");
    expect(policy).not.toContain("unsafe");
    expect(answer.headers.get("cache-control")).toBe("no-cache");
    const script = /\/console\/[^"]+\.js/.exec(await answer.text())?.[0] ?? "";
    const file = await fetch(kernel.url + script, { headers: { "accept-encoding": "br" } });
    expect(file.headers.get("cache-control")).toContain("immutable");
  });
});

describe("sessions", () => {
  it("keep the refresh token where no script can read it, and survive a reload", async () => {
    await page.goto(kernel.url);
    await be(page, "Avery Admin");
    const cookies = await context.cookies(`${kernel.url}/api/v1/auth/refresh`);
    const session = cookies.find((cookie) => cookie.name.startsWith("pk_session_"));
    expect(session).toMatchObject({ httpOnly: true, sameSite: "Strict", path: "/api/v1/auth" });
    expect(session?.name.endsWith("_default")).toBe(true);
    const seen = await page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage));
    expect(seen).not.toContain(session?.value ?? "none");
    await page.reload();
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
  });

  it("say to a person without the operator's session how to get it", async () => {
    await page.goto(`${kernel.url}/sandboxes`);
    await page.getByText("platform-kernel open").first().waitFor();
  });

  it("of the operator comes from a link that works once", async () => {
    const link = await kernel.operatorLink();
    await page.goto(link);
    await page.getByRole("link", { name: "Topology" }).first().waitFor();
    const again = await (await kernel.context()).newPage();
    const answer = await again.goto(link);
    expect(answer?.status()).toBe(410);
  });
});

describe("every page", () => {
  for (const [path, heading] of PAGES) {
    it(`${path} opens, and axe finds nothing serious`, async () => {
      await page.goto(kernel.url + path);
      await page.getByRole("heading", { name: heading, level: 1 }).waitFor();
      await settled(page);
      expect(await serious(page)).toEqual([]);
      await scheme(page, "dark");
      // In the dark only colours are others.
      expect(await serious(page, ["color-contrast"])).toEqual([]);
      await scheme(page, "light");
    });
  }

  it("fits a small screen", async () => {
    await page.setViewportSize({ width: 360, height: 780 });
    for (const [path, heading] of PAGES) {
      await page.goto(kernel.url + path);
      await page.getByRole("heading", { name: heading, level: 1 }).waitFor();
      const beyond = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      expect(beyond, path).toBeLessThanOrEqual(0);
    }
    await page.setViewportSize({ width: 1440, height: 900 });
  });

  it("that does not exist says so, and the API's addresses stay the API's", async () => {
    await page.goto(`${kernel.url}/no-such-page`);
    await page.getByRole("heading", { name: "There is no such page" }).waitFor();
    const answer = await fetch(`${kernel.url}/api/v1/no-such-thing`, { headers: { accept: "text/html" } });
    expect(answer.status).toBe(404);
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
  });

  it("leads only to pages that are there", async () => {
    await page.goto(kernel.url);
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
    const places = await page.locator("a[href^='/']").evaluateAll((all) => [...new Set(all.map((one) => one.getAttribute("href") ?? ""))]);
    expect(places.length).toBeGreaterThan(12);
    for (const place of places) {
      await page.goto(kernel.url + place);
      await page.locator("h1").first().waitFor();
      expect(await page.getByRole("heading", { name: "There is no such page" }).count(), place).toBe(0);
    }
  });
});

describe("what people do", () => {
  it("a contact is found, changed, and the change stands in its history", async () => {
    await page.goto(`${kernel.url}/data/crm/contacts`);
    await page.getByRole("searchbox").fill("hamilton");
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length < 30);
    await page.locator("tbody .row-link").first().click();
    await page.getByLabel("Job title").fill("Head of Tests");
    await page.getByRole("button", { name: "Save 1 change" }).click();
    await page.getByText(/was saved/).first().waitFor();
    await page.locator(".history ins", { hasText: "Head of Tests" }).first().waitFor();
    await page.keyboard.press("Escape");
  });

  it("the change arrives in the event tail", async () => {
    await page.goto(`${kernel.url}/events`);
    await page.locator(".tail-type", { hasText: "data.crm.contacts.updated" }).first().waitFor();
  });

  it("the audit trail proves itself", async () => {
    await page.goto(`${kernel.url}/audit`);
    await page.getByRole("button", { name: "Verify" }).click();
    await page.getByText(/^Untouched:/).waitFor();
  });

  it("an author sees his fault at its line", async () => {
    await page.goto(`${kernel.url}/modules?tab=bench`);
    const manifest = {
      name: "@example/notes",
      version: "1.0.0",
      kernelSdkVersion: ">=0.1.0",
      permissions: ["notes.notes.read"],
      dataApi: { models: [{ name: "notes", autoApi: true }] },
    };
    const sql = "-- +goose Up\ncreate table notes (\n  id uuid primary key,\n  tenant_id uuid not null,\n  text txet\n);\n-- +goose Down\ndrop table notes;\n";
    await page.locator("input[type=file]").evaluate((input: HTMLInputElement, [one, two]) => {
      const files = new DataTransfer();
      files.items.add(new File([one ?? ""], "module.manifest.json"));
      files.items.add(new File([two ?? ""], "00001_notes.sql"));
      input.files = files.files;
      input.dispatchEvent(new Event("change", { bubbles: true }));
    }, [JSON.stringify(manifest), sql] as const);
    await page.getByText(/^Refused:/).waitFor();
    await page.getByText(/00001_notes\.sql:\d+/).first().waitFor();
    await page.getByText(/txet/).first().waitFor();
  });

  it("a sandbox is forked, opened and deleted by name", async () => {
    await page.goto(`${kernel.url}/sandboxes`);
    await page.getByRole("button", { name: "Actions for default" }).click();
    await page.getByRole("menuitem", { name: "Fork" }).click();
    await page.getByLabel("Name").fill("try-out");
    await page.getByRole("button", { name: "Fork", exact: true }).click();
    await page.getByText("try-out is ready").first().waitFor();
    await page.getByRole("button", { name: "Actions for try-out" }).click();
    const [opened] = await Promise.all([context.waitForEvent("page"), page.getByRole("menuitem", { name: "Open" }).click()]);
    await opened.waitForURL((url) => url.hostname === "try-out.localhost" && url.pathname === "/");
    await opened.locator(".person", { hasText: "Avery Admin" }).waitFor();
    await opened.close();
    await page.getByRole("button", { name: "Actions for try-out" }).click();
    await page.getByRole("menuitem", { name: "Delete" }).click();
    const button = page.getByRole("dialog").getByRole("button", { name: "Delete" });
    expect(await button.isDisabled()).toBe(true);
    await page.getByLabel("Type try-out to confirm").fill("try-out");
    await button.click();
    await page.getByText("try-out is gone").first().waitFor();
  });

  it("everything is reached by keyboard", async () => {
    await page.goto(kernel.url);
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
    await page.keyboard.press("Control+k");
    await page.keyboard.type("audit");
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Audit", level: 1 }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("u");
    await page.getByRole("heading", { name: "Users", level: 1 }).waitFor();
  });

  it("a reset of the sandbox lets a demo person go on", async () => {
    await page.goto(`${kernel.url}/sandboxes`);
    await page.getByRole("button", { name: "Actions for default" }).click();
    await page.getByRole("menuitem", { name: "Reset" }).click();
    await page.getByLabel("Type default to confirm").fill("default");
    await page.getByRole("dialog").getByRole("button", { name: "Reset" }).click();
    await page.getByText("default begins again").first().waitFor();
    await page.getByRole("link", { name: "Home" }).first().click();
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
  });

  it("the API reference loads nothing from outside", async () => {
    await page.goto(`${kernel.url}/docs`);
    await page.locator("h1").first().waitFor();
  });

  it("signing out leaves nothing behind", async () => {
    await page.goto(kernel.url);
    await page.getByRole("button", { name: /Account of/ }).click();
    await page.getByRole("menuitem", { name: "Sign out" }).click();
    await page.getByRole("heading", { name: "Home", level: 1 }).waitFor();
    const cookies = await context.cookies(`${kernel.url}/api/v1/auth/refresh`);
    expect(cookies.some((cookie) => cookie.name.startsWith("pk_session_"))).toBe(false);
  });
});

it("nothing was asked of the outside, and nothing broke on the way", () => {
  expect(kernel.complaints).toEqual([]);
});
