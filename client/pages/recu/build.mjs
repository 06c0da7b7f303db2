// Makes recu.html, the one file of the receipt page: `node build.mjs [FILE]`, after `npm ci` in the
// folder above. The same sources give the same bytes, on any machine.

import { createHash } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const read = (path) => readFileSync(here(path), "utf8");
const sha256 = (text) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`;

const bundled = await build({
  entryPoints: [here("src/main.js")],
  absWorkingDir: here("."),
  bundle: true,
  charset: "utf8",
  format: "iife",
  legalComments: "inline",
  target: "es2022",
  write: false,
});
// No file of the repository has an em dash; those of the libraries stand in comments and messages.
const script = `\n${bundled.outputFiles[0].text.replaceAll("\u2014", "-")}`;
const style = `\n${read("src/page.css")}`;
if (/<\/script|<!--/i.test(script) || /<\/style/i.test(style)) {
  throw new Error("the script or style would end early in its element");
}

// Nothing may be loaded or sent, and nothing runs but this script and this style.
const csp = [
  "default-src 'none'",
  `script-src ${sha256(script)}`,
  `style-src ${sha256(style)}`,
  "base-uri 'none'",
  "form-action 'none'",
].join("; ");
const parts = { csp, style, script };
const page = read("src/page.html").replace(/\{\{(\w+)\}\}/g, (_, name) => parts[name]);
writeFileSync(process.argv[2] ?? here("recu.html"), page);
