// The operator's page in a real Chromium: `node etat.mjs CHROMIUM NODE STATE [IMAGES]`. STATE is
// `whole` when every member is there, or `away` when one, beta, is not.

import { join } from "node:path";
import { expect, openPage, requireAccessible, requireNoSideways, withBrowser } from "./browser.mjs";

const [chromium, node, state, images] = process.argv.slice(2);
const isWhole = state === "whole";

async function look(page) {
  expect(await page.getAttribute("html", "lang"), "fr", "the language");
  expect(await page.locator("tr[data-member]").count(), 4, "members");
  const beta = await page.locator("tr[data-member=beta] td").nth(1).textContent();
  expect(beta, isWhole ? "oui" : "absent", "whether beta is there");
  expect(await page.locator(".alarms.calm").count(), isWhole ? 1 : 0, "no alarm");
  expect(await page.locator(".hour rect").count() > 0, true, "entries are drawn");
  await requireAccessible(page, `the state, ${state}`);
}

await withBrowser(chromium, async (browser) => {
  const opened = await openPage(browser, `${node}/etat`, { locale: "fr-FR" });
  await look(opened.page);
  if (images !== undefined) {
    const name = isWhole ? "etat.png" : "etat-away.png";
    await opened.page.screenshot({ path: join(images, name), fullPage: true });
  }
  const foreign = opened.requested.filter((address) => !address.startsWith(`${node}/`));
  expect(foreign, [], "the page asks nobody else");
  expect(opened.complaints, [], "the console");
  await opened.page.keyboard.press("Tab");
  await opened.page.keyboard.press("Enter");
  await opened.page.waitForURL(/refresh/);
  expect(await opened.page.locator("tr[data-member]").count(), 4, "members again");

  const dark = { colorScheme: "dark", viewport: { width: 360, height: 800 }, locale: "en-GB" };
  const english = await openPage(browser, `${node}/etat`, dark);
  expect(await english.page.getAttribute("html", "lang"), "en", "the preferred language");
  await requireAccessible(english.page, "the state in English, in the dark");
  await requireNoSideways(english.page, "a telephone's page");
});
