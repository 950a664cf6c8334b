// Makes src/api/schema.d.ts from the description that the binary gives of its own API.
//   node build/api.mjs                              asks ../target/debug/platform-kernel
//   node build/api.mjs http://localhost:8080        asks a kernel that runs
//   node build/api.mjs --check                      fails if the file is not what it would make
import { execFileSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import openapiTS, { astToString } from "openapi-typescript";

const target = new URL("../src/api/schema.d.ts", import.meta.url);
const asked = process.argv.slice(2).find((argument) => !argument.startsWith("--"));
const program = process.env.PLATFORM_KERNEL_BIN ?? new URL("../../target/debug/platform-kernel", import.meta.url).pathname;
const text = asked
  ? await (await fetch(new URL("/openapi.json", asked))).text()
  : execFileSync(program, ["openapi"], { maxBuffer: 64 * 1024 * 1024 }).toString();
const made = `// Made by \`npm run api\` from the kernel's own description; not to be edited.\n${astToString(
  await openapiTS(JSON.parse(text), { alphabetize: true, defaultNonNullable: false }),
)}`;
if (process.argv.includes("--check")) {
  if (made !== readFileSync(target, "utf8")) {
    console.error("The API has changed: run `npm run api` in web/ and look at what the compiler says.");
    process.exit(1);
  }
} else {
  writeFileSync(target, made);
  console.log(`${made.length} bytes, ${(made.match(/operationId|operations\[/g) ?? []).length} operations`);
}
