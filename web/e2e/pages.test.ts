import { describe, expect, it } from "vitest";
import { SMALL } from "./kernel";
import { beyond, scheme, serious, settled, useKernel, useStage } from "./stage";

const kernel = useKernel();

const PAGES: [string, string][] = [
  ["/", "Hello Avery"],
  ["/topology", "Topology"],
  ["/sandboxes", "Sandboxes"],
  ["/sandboxes?open=default", "Sandboxes"],
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
  ["/modules?tab=tries", "Modules"],
  ["/account", "Avery Admin"],
];

describe("every page", () => {
  const stage = useStage(kernel, { person: "Avery Admin", operator: true });

  for (const [path, heading] of PAGES) {
    it(`${path} opens, fits a small screen, and axe finds nothing serious`, async () => {
      const { page, url } = stage;
      await page.goto(url + path);
      // An open drawer hides the page behind it from those who can't see that it is behind.
      await page.getByRole("heading", { name: heading, level: 1, includeHidden: true }).waitFor();
      await settled(page);
      expect(await serious(page)).toEqual([]);
      await scheme(page, "dark");
      // In the dark only colours are others.
      expect(await serious(page, ["color-contrast"])).toEqual([]);
      await scheme(page, "light");
      await page.setViewportSize(SMALL);
      expect(await beyond(page)).toBeLessThanOrEqual(0);
    });
  }

  it("that does not exist says so, and the API's addresses stay the API's", async () => {
    await stage.page.goto(`${stage.url}/no-such-page`);
    await stage.page.getByRole("heading", { name: "There is no such page" }).waitFor();
    const answer = await fetch(`${stage.url}/api/v1/no-such-thing`, { headers: { accept: "text/html" } });
    expect(answer.status).toBe(404);
    expect(answer.headers.get("content-type")).toContain("application/problem+json");
  });

  it("leads only to pages that are there", async () => {
    const { page, url } = stage;
    await page.goto(url);
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
    await settled(page);
    const places = await page.locator("a[href^='/']").evaluateAll((all) => [...new Set(all.map((one) => one.getAttribute("href") ?? ""))]);
    expect(places.length).toBeGreaterThan(12);
    for (const place of places) {
      await page.goto(url + place);
      await page.locator("h1").first().waitFor();
      expect(await page.getByRole("heading", { name: "There is no such page" }).count(), place).toBe(0);
    }
  });

  it("is reached by keyboard", async () => {
    const { page, url } = stage;
    await page.goto(url);
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
    await page.keyboard.press("Control+k");
    await page.getByRole("combobox", { name: "Where to? A page, a table, an action" }).waitFor();
    await page.keyboard.type("audit");
    await page.getByRole("option", { name: /^Audit/, selected: true }).waitFor();
    await page.keyboard.press("Enter");
    await page.getByRole("heading", { name: "Audit", level: 1 }).waitFor();
    await page.keyboard.press("g");
    await page.keyboard.press("u");
    await page.getByRole("heading", { name: "Users", level: 1 }).waitFor();
  });

  it("of the API's reference loads nothing from outside", async () => {
    await stage.page.goto(`${stage.url}/docs`);
    await stage.page.locator("h1").first().waitFor();
  });
});

describe("a Member", () => {
  const stage = useStage(kernel, { person: "Vera Viewer" });

  it("is led to no page that refuses, and meets no button that is not hers", async () => {
    const { page, url } = stage;
    await page.goto(url);
    await page.getByRole("heading", { name: "Hello Vera" }).waitFor();
    await settled(page);
    const places = await page.locator("a[href^='/']:not([target])").evaluateAll((all) => [...new Set(all.map((one) => one.getAttribute("href") ?? ""))]);
    for (const place of places) {
      await page.goto(url + place);
      await page.locator("h1").first().waitFor();
      await settled(page);
      expect(await page.getByRole("alert").allInnerTexts(), place).toEqual([]);
    }
  });

  it("on a page that is not hers reads why, instead of a list that is empty", async () => {
    for (const path of ["/audit", "/sandboxes", "/topology"]) {
      await stage.page.goto(stage.url + path);
      await settled(stage.page);
      await stage.page.getByText(/platform-kernel open|permission|Forbidden/i).first().waitFor();
      expect(await beyond(stage.page)).toBeLessThanOrEqual(0);
    }
  });
});
