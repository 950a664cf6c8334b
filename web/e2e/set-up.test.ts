import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type Kernel, startKernel } from "./kernel";
import { serious } from "./stage";

describe("a new, empty platform", () => {
  let kernel: Kernel;
  beforeAll(async () => {
    kernel = await startKernel("empty");
  });
  afterAll(async () => {
    await kernel.stop();
  });

  it("gets its owner by the link in its log, once", async () => {
    const link = /http\S+\/set-up#token=[\w-]+/.exec(kernel.said())?.[0] ?? "";
    expect(link).toContain("su_");
    const page = await (await kernel.context()).newPage();
    await page.goto(link);
    await page.getByRole("heading", { name: "Become the owner" }).waitFor();
    expect(await serious(page)).toEqual([]);
    await page.getByLabel("Your name").fill("Ada Lovelace");
    await page.getByLabel("E-mail address").fill("ada@example.com");
    await page.getByLabel("Password").fill("short");
    await page.getByRole("button", { name: "Set up the platform" }).click();
    await page.getByText("needs at least 12").waitFor();
    await page.getByLabel("Password").fill("tandem-gravel-42-owl");
    await page.getByRole("button", { name: "Set up the platform" }).click();
    await page.getByRole("heading", { name: "Hello Ada" }).waitFor();
    expect(page.url()).toBe(`${kernel.url}/`);
    await page.reload();
    await page.getByRole("heading", { name: "Hello Ada" }).waitFor();

    const late = await (await kernel.context()).newPage();
    await late.goto(link);
    await late.getByLabel("Your name").fill("Eve");
    await late.getByLabel("E-mail address").fill("eve@example.com");
    await late.getByLabel("Password").fill("tandem-gravel-43-owl");
    await late.getByRole("button", { name: "Set up the platform" }).click();
    await late.getByText("the platform has its owner").waitFor();

    await late.goto(`${kernel.url}/set-up`);
    await late.getByText("The link is not whole").waitFor();
    expect(kernel.complaints).toEqual([]);
  });
});
