// Lays a Brotli form beside each file that shrinks by it, so that the server never compresses.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { brotliCompressSync, constants } from "node:zlib";

const folder = new URL("../dist/console/", import.meta.url);
let scripts = 0;
for (const name of readdirSync(folder)) {
  if (!/\.(js|css|svg|json)$/.test(name)) continue;
  const plain = readFileSync(new URL(name, folder));
  const packed = brotliCompressSync(plain, {
    params: { [constants.BROTLI_PARAM_QUALITY]: 11, [constants.BROTLI_PARAM_SIZE_HINT]: plain.length },
  });
  writeFileSync(new URL(`${name}.br`, folder), packed);
  if (name.endsWith(".js")) scripts += packed.length;
}
const fonts = readdirSync(folder).filter((name) => name.endsWith(".woff2"));
const fontBytes = fonts.reduce((sum, name) => sum + statSync(new URL(name, folder)).size, 0);
const kilobytes = (bytes) => `${Math.round(bytes / 1024)} KB`;
console.log(`scripts ${kilobytes(scripts)} packed, fonts ${kilobytes(fontBytes)}`);
if (scripts > 400 * 1024) {
  console.error("The scripts are above their budget of 400 KB.");
  process.exit(1);
}
