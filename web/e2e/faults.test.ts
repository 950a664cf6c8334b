import { describe, expect, it } from "vitest";
import { SMALL, be } from "./kernel";
import { beyond, serious, settled, useKernel, useStage } from "./stage";

const kernel = useKernel();

describe("a customer who does not pay", () => {
  const stage = useStage(kernel, { person: "Avery Admin", sandbox: "unpaid", size: SMALL });

  it("reads everything, and is led from a refused change to the plan", async () => {
    const { page, url } = stage;
    await page.goto(`${url}/plan`);
    await page.getByRole("button", { name: "Payment fails" }).click();
    await page.locator(".badge", { hasText: "Past due" }).waitFor();
    await kernel.now.operate("POST", "/sandboxes/unpaid/clock", { mode: "advance", seconds: 8 * 86_400 });
    await be(page, "Avery Admin", url);
    await page.goto(`${url}/wallets`);
    await page.getByRole("button", { name: /Expenses, Devin Developer/ }).waitFor();
    await page.goto(`${url}/data/crm/contacts?record=new`);
    await page.getByLabel("First name *").fill("Grace");
    await page.getByLabel("Last name *").fill("Hopper");
    await page.getByRole("button", { name: "New record" }).last().click();
    await page.getByRole("alert").getByRole("link", { name: "See the plan and its limits" }).click();
    await page.locator(".badge", { hasText: "Suspended" }).waitFor();
    expect(await beyond(page)).toBeLessThanOrEqual(0);
    expect(await serious(page)).toEqual([]);
  });
});

describe("a kernel that goes away", () => {
  const stage = useStage(kernel, { person: "Avery Admin" });

  it("or can't be heard: events are asked for instead", async () => {
    const { page, context, url } = stage;
    await page.routeWebSocket(/\/api\/v1\/ws$/, (socket) => socket.close());
    await page.goto(`${url}/events`);
    await page.getByText("asked every second").waitFor();
    const other = await context.newPage();
    await other.goto(`${url}/files`);
    await other.locator("input[type=file]").setInputFiles({ name: "heard.txt", mimeType: "text/plain", buffer: Buffer.from("heard") });
    await other.getByText("heard.txt is here").first().waitFor();
    await page.locator(".tail-type", { hasText: "files.file.uploaded" }).first().waitFor();
    await other.close();
  });

  it("while a page is opened is waited for", async () => {
    const { page, url } = stage;
    await page.route("**/api/v1/**", (route) => route.abort());
    await page.goto(url);
    await page.getByText("The kernel does not answer").waitFor();
    expect(await serious(page)).toEqual([]);
    await page.unrouteAll();
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
  });

  it("is said above what was there, until it is back", async () => {
    const { page, url } = stage;
    await page.goto(url);
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
    await settled(page);
    await page.route("**/api/v1/**", (route) => route.abort());
    const banner = page.locator(".away");
    await banner.waitFor();
    expect(await serious(page)).toEqual([]);
    await page.setViewportSize(SMALL);
    expect(await beyond(page)).toBeLessThanOrEqual(0);
    await page.getByRole("heading", { name: "Hello Avery" }).waitFor();
    await page.unrouteAll();
    await banner.waitFor({ state: "hidden" });
  });

  it("for good leaves a page that says so", async () => {
    const { page, url } = stage;
    await page.goto(`${url}/events`);
    await page.getByText("live", { exact: true }).waitFor();
    await kernel.now.halt();
    await page.locator(".away").waitFor();
    await page.getByText("asked every second").waitFor();
  });
});
