import type { Page } from "playwright-core";
import { beforeAll, describe, expect, it } from "vitest";
import { settled, useKernel, useStage } from "./stage";

const kernel = useKernel();
const DAY = 86_400;

async function act(page: Page, sandbox: string, verb: string): Promise<void> {
  await page.goto(`${new URL(page.url()).origin}/sandboxes`);
  await page.getByRole("button", { name: `Actions for ${sandbox}` }).click();
  await page.getByRole("menuitem", { name: verb }).click();
}

describe("a demo person's session, moved by hand", () => {
  const stage = useStage(kernel, { person: "Avery Admin", operator: true, sandbox: "moved" });

  /** Without a reload: the page that was open goes on. */
  async function goesOn(page: Page): Promise<void> {
    await page.getByRole("link", { name: "Home" }).first().click();
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
    await settled(page);
    expect(await page.getByRole("alert").allInnerTexts()).toEqual([]);
  }

  it("survives a clock that moves further than a session lives", async () => {
    const { page, url } = stage;
    await page.goto(url);
    await act(page, "moved", "Move the clock");
    await page.getByLabel("Amount").fill("8");
    await page.getByRole("button", { name: "Advance", exact: true }).click();
    await page.getByText("The clock was moved").first().waitFor();
    await goesOn(page);
    await page.getByText("+8 d").waitFor();
  });

  it("survives a restore", async () => {
    const { page, url } = stage;
    await kernel.now.operate("POST", "/sandboxes/moved/snapshots", { label: "a-point" });
    await page.goto(`${url}/sandboxes?open=moved`);
    const row = page.getByRole("dialog").locator(".feed li", { hasText: "a-point" });
    await row.getByRole("button", { name: "Restore" }).click();
    await page.getByLabel("Type moved to confirm").fill("moved");
    await page.getByRole("dialog", { name: "Take moved back?" }).getByRole("button", { name: "Restore" }).click();
    await page.getByText("Back at a-point").first().waitFor();
    await page.keyboard.press("Escape");
    await goesOn(page);
  });

  it("survives a reset", async () => {
    const { page, url } = stage;
    await page.goto(url);
    await act(page, "moved", "Reset");
    await page.getByLabel("Type moved to confirm").fill("moved");
    await page.getByRole("dialog").getByRole("button", { name: "Reset" }).click();
    await page.getByText("moved begins again").first().waitFor();
    await goesOn(page);
  });
});

describe("somebody else's session, moved by the operator elsewhere", () => {
  const stage = useStage(kernel, { sandbox: "elsewhere" });
  const PERSON = { email: "ruth@elsewhere.example", password: "tandem-gravel-42-owl" };
  const seed = [
    "tenants:",
    "  - { slug: elsewhere, name: Elsewhere, kind: client, parent: platform }",
    "users:",
    `  - { email: ${PERSON.email}, name: Ruth Other, password: ${PERSON.password}, verified: true, memberships: { elsewhere: Owner } }`,
  ].join("\n");
  const plant = () => kernel.now.operate("POST", "/sandboxes/elsewhere/seed", { yaml: seed });
  beforeAll(async () => {
    await plant();
  });

  async function enter(page: Page): Promise<void> {
    await page.getByLabel("E-mail address").fill(PERSON.email);
    await page.getByLabel("Password").fill(PERSON.password);
    await page.getByRole("button", { name: "Sign in", exact: true }).click();
  }
  async function signedIn(page: Page): Promise<void> {
    await page.goto(`${stage.url}/users`);
    await page.getByRole("heading", { level: 1 }).waitFor();
    if (await page.getByRole("heading", { name: "Sign in", level: 1 }).isVisible()) await enter(page);
    await page.getByText(PERSON.email).first().waitFor();
  }

  const MOVES: [string, () => Promise<unknown>][] = [
    ["a clock moved by eight days", () => kernel.now.operate("POST", "/sandboxes/elsewhere/clock", { mode: "advance", seconds: 8 * DAY })],
    [
      "a restore",
      async () => {
        await kernel.now.operate("POST", "/sandboxes/elsewhere/snapshots", { label: "now" });
        await kernel.now.operate("POST", "/sandboxes/elsewhere/restore", { snapshot: "now" });
      },
    ],
    ["a reset", () => kernel.now.operate("POST", "/sandboxes/elsewhere/reset").then(plant)],
  ];
  for (const [name, move] of MOVES) {
    it(`says after ${name} that it is over, and goes on at the same place after signing in`, async () => {
      const { page } = stage;
      await signedIn(page);
      await move();
      await page.getByRole("link", { name: "Wallets" }).first().click();
      await page.getByText("Your session has ended. Sign in to go on where you were.").waitFor();
      await enter(page);
      await page.getByRole("heading", { name: "Wallets", level: 1 }).waitFor();
    });
  }

  it("goes on without a word after a clock moved by an hour", async () => {
    const { page } = stage;
    await signedIn(page);
    await kernel.now.operate("POST", "/sandboxes/elsewhere/clock", { mode: "advance", seconds: 3_600 });
    await page.getByRole("link", { name: "Wallets" }).first().click();
    await page.getByRole("heading", { name: "Wallets", level: 1 }).waitFor();
    await settled(page);
    expect(await page.getByRole("alert").allInnerTexts()).toEqual([]);
  });
});

describe("a seed", () => {
  const stage = useStage(kernel, { person: "Avery Admin", operator: true, sandbox: "garden" });

  it("with a fault is refused with its line; mended, it says what it planted", async () => {
    const { page, url } = stage;
    await page.goto(url);
    await act(page, "garden", "Plant a seed");
    await page.getByLabel("What").selectOption("own");
    const text = page.getByLabel("The seed, as YAML or JSON");
    await text.fill("tenants:\n  - { slug: acme, nam: Acme }");
    await page.getByRole("button", { name: "Plant", exact: true }).click();
    await page.getByRole("dialog").getByText(/line 2/).first().waitFor();
    const seed = { tenants: [{ slug: "acme", name: "Acme", kind: "client", parent: "platform" }] };
    await page.getByLabel("Choose a file").setInputFiles({ name: "seed.json", mimeType: "application/json", buffer: Buffer.from(JSON.stringify(seed)) });
    await page.waitForFunction(() => document.querySelector("textarea")?.value.startsWith("{"));
    await page.getByRole("button", { name: "Plant", exact: true }).click();
    const dialog = page.getByRole("dialog", { name: "Planted in garden" });
    await dialog.getByText("Tenants").waitFor();
    expect(await dialog.locator("dl").innerText()).toMatch(/Tenants\s+1\s+People\s+0/);
    await dialog.getByRole("button", { name: "Close" }).click();
    await dialog.waitFor({ state: "hidden" });
  });
});
