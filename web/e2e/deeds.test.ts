import { describe, expect, it } from "vitest";
import { useKernel, useStage } from "./stage";

const kernel = useKernel();

describe("what people do", () => {
  const stage = useStage(kernel, { person: "Avery Admin", operator: true });

  it("a contact is found, changed, and the change stands in its history and comes into an open event tail", async () => {
    const { page, context, url } = stage;
    const tail = await context.newPage();
    await tail.goto(`${url}/events`);
    await tail.getByText("live", { exact: true }).waitFor();
    await page.goto(`${url}/data/crm/contacts`);
    await page.locator("tbody tr").first().waitFor();
    await page.getByRole("searchbox").fill("yukihiro.hamilton@blue-harbor");
    // The list as it was before stays until the answer is there.
    await page.waitForFunction(() => document.querySelectorAll("tbody tr").length === 1);
    await page.locator("tbody .row-link", { hasText: "Yukihiro Hamilton" }).click();
    await page.getByLabel("Job title").fill("Head of Tests");
    await page.getByRole("button", { name: "Save 1 change" }).click();
    await page.getByText(/was saved/).first().waitFor();
    await page.locator(".history ins", { hasText: "Head of Tests" }).first().waitFor();
    await tail.locator(".tail-type", { hasText: "data.crm.contacts.updated" }).first().waitFor();
    await tail.close();
  });

  it("the audit trail proves itself", async () => {
    await stage.page.goto(`${stage.url}/audit`);
    await stage.page.getByRole("button", { name: "Verify" }).click();
    await stage.page.getByText(/^Untouched:/).waitFor();
  });

  it("an author sees his fault at its line", async () => {
    const { page, url } = stage;
    await page.goto(`${url}/modules?tab=bench`);
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
    const { page, context, url } = stage;
    await page.goto(`${url}/sandboxes`);
    await page.getByRole("button", { name: "Actions for default" }).click();
    await page.getByRole("menuitem", { name: "Fork" }).click();
    await page.getByLabel("Name").fill("try-out");
    await page.getByRole("button", { name: "Fork", exact: true }).click();
    await page.getByText("try-out is ready").first().waitFor();
    await page.getByRole("button", { name: "Actions for try-out" }).click();
    const [opened] = await Promise.all([context.waitForEvent("page"), page.getByRole("menuitem", { name: "Open" }).click()]);
    await opened.waitForURL((there) => there.hostname === "try-out.localhost" && there.pathname === "/");
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
});
