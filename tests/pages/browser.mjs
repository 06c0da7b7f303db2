// A real Chromium for the tests of pages: no network but what a test wants, and nothing unexpected
// on its console.

import { readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const FLAGS = [
  "--no-sandbox",
  "--disable-gpu",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
];
const BAD = ["serious", "critical"];

/** Throws unless the two are the same. */
export function expect(got, want, what) {
  const [a, b] = [JSON.stringify(got), JSON.stringify(want)];
  if (a !== b) throw new Error(`${what}: got ${a}, want ${b}`);
}

/** Opens a browser for `use` and closes it whatever happens. */
export async function withBrowser(executablePath, use) {
  const browser = await chromium.launch({ executablePath, args: FLAGS });
  try {
    await use(browser);
  } finally {
    await browser.close();
  }
}

/** A fresh page; `requested` has every address it asked for, `complaints` what went wrong in it. */
export async function openPage(browser, address, options = {}) {
  const context = await browser.newContext({ viewport: { width: 1100, height: 900 }, ...options });
  const page = await context.newPage();
  // Choices of files are caught from the start: a browser told to with the key itself may be too late.
  page.on("filechooser", () => {});
  const [requested, complaints] = [[], []];
  page.on("request", (request) => requested.push(request.url()));
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => {
    if (["error", "warning"].includes(message.type())) complaints.push(message.text());
  });
  await page.goto(address);
  return { page, requested, complaints };
}

/** Throws when axe-core finds anything serious (WCAG 2.1 A and AA, which RGAA 4 rests on). */
export async function requireAccessible(page, what) {
  await page.evaluate(AXE);
  const { violations } = await page.evaluate(() => globalThis.axe.run(document));
  const bad = violations.filter(({ impact }) => BAD.includes(impact));
  const said = bad.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(" ")}`);
  expect(said, [], `axe-core on ${what}`);
}

/** Throws when the page is wider than its window. */
export async function requireNoSideways(page, what) {
  const beyond = await page.evaluate(() => {
    return document.scrollingElement.scrollWidth - document.documentElement.clientWidth;
  });
  expect(beyond <= 0, true, `${what} fits the width of its window (${beyond} px beyond)`);
}
