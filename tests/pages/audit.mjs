// The pages that commands write, opened from disk in a real Chromium: `node audit.mjs CHROMIUM FILES
// [IMAGES]`. FILES has report/report.html, incident.html and evidence.html. With IMAGES, pictures of
// what was seen are put there.

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, openPage, requireAccessible, requireNoSideways, withBrowser } from "./browser.mjs";

const [chromium, files, images] = process.argv.slice(2);

const PAGES = [
  { file: "report/report.html", image: "audit-report", look: report },
  { file: "incident.html", image: "incident", look: incident },
  { file: "evidence.html", image: "evidence", look: evidence },
];

async function report(page, language) {
  const shown = page.locator(`article.${language}`);
  expect(await shown.locator("tr[data-check]").count(), 11, "checks");
  expect(await shown.locator("tr[data-check] .bad").count(), 0, "checks that fail");
  expect(await shown.locator(".verdict.good").count(), 1, "the verdict");
  expect(await shown.locator("svg.plot rect").count() > 60, true, "entries are drawn");
  expect(await shown.locator("svg.seconds").count(), 4, "a plot for each member");
  expect(await shown.locator("tr[data-event=rejected]").count(), 2, "rejected for two reasons");
}

async function incident(page, language) {
  const shown = page.locator(`article.${language}`);
  expect(await shown.locator("tr[data-outcome]").count(), 74, "looks");
  expect(await shown.locator("tr[data-outcome=o-refused]").count(), 14, "refused looks");
  expect(await shown.locator(".contracts tbody tr").count(), 3, "contracts");
}

async function evidence(page, language) {
  const shown = page.locator(`article.${language}`);
  expect(await shown.locator(".states th[scope=col]").count(), 2, "states side by side");
  expect(await shown.locator(".states .guilty").count(), 2, "members that signed both");
  expect(await shown.locator("td.good").count(), 4, "steps that hold");
}

/** Which languages can be seen. */
function seen(page) {
  return page.$$eval("article", (all) => {
    return all.filter((it) => it.checkVisibility()).map((it) => it.lang);
  });
}

async function open(browser, { file, image, look }) {
  const address = pathToFileURL(join(files, file)).href;
  const opened = await openPage(browser, address, { offline: true });
  const { page } = opened;
  expect(await page.getAttribute("html", "lang"), "fr", "the language");
  expect(await seen(page), ["fr"], "French first");
  await look(page, "fr");
  if (images !== undefined) {
    // All of a page, unless it is a long list.
    await page.setViewportSize({ width: 1100, height: 1500 });
    await page.screenshot({ path: join(images, `${image}.png`), fullPage: image !== "incident" });
  }
  await page.$$eval("details", (all) => all.slice(0, 9).forEach((it) => it.setAttribute("open", "")));
  await requireAccessible(page, file);
  // The other language, by the keyboard alone.
  await page.keyboard.press("Tab");
  await page.keyboard.press("ArrowRight");
  expect(await seen(page), ["en"], "the English version");
  await look(page, "en");
  await requireAccessible(page, `${file} in English`);
  expect(opened.requested, [address], "the page asks for nothing but itself");
  expect(opened.complaints, [], "the console");

  const dark = { offline: true, colorScheme: "dark", viewport: { width: 360, height: 800 } };
  const narrow = await openPage(browser, address, dark);
  await requireAccessible(narrow.page, `${file} in the dark`);
  await requireNoSideways(narrow.page, `${file} on a telephone`);
}

await withBrowser(chromium, async (browser) => {
  for (const page of PAGES) await open(browser, page);
});
