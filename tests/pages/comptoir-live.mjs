// The counter page over a real federation: `node comptoir-live.mjs CHROMIUM AGENT TOKEN FOLDER CARD [IMAGES]`.
// CARD is the JSON of a card for which a frame and a right lens are covered.

import { expect, requireAccessible, withBrowser } from "./browser.mjs";
import {
  answer,
  download,
  openCounter,
  pair,
  picture,
  press,
  readCode,
  requireForgotten,
  scanCard,
  scanItems,
} from "./counter.mjs";

const [chromium, address, token, folder, given, images] = process.argv.slice(2);
const card = JSON.parse(given);

/** The bytes that left are there to be read, and the card is not among them. */
async function whatLeft(page, ...methods) {
  const left = await page.textContent("#outbound-body");
  for (const method of methods) expect(left.includes(method), true, `${method} left`);
  expect(await page.getAttribute("#searched", "class"), "notice good", "the search for the card");
  expect(await page.locator("#outbound pre").count() > 0, true, "the bytes");
}

await withBrowser(chromium, async (browser) => {
  const opened = await openCounter(browser, address);
  const { page, requested } = opened;
  await pair(page, token);
  await scanCard(page, card);
  await scanItems(page, ["140", "160"]);
  await answer(page, "passed");
  await page.waitForSelector("#searched", { state: "attached" });
  await whatLeft(page, "Evaluate", "Lookup");
  await press(page, "#outbound-summary");
  await press(page, ".messages summary");
  await requireAccessible(page, "the bytes that left");
  await picture(page, images, "comptoir-octets");
  await page.focus("#answer-heading");
  await press(page, "#claim");
  await page.waitForSelector("#receipt img.code");
  expect(/Réservé/.test(await answer(page, "passed")), true, "the claim");
  await requireForgotten(page, card, requested);
  const [entry, ledger, leaf] = await page.$$eval(".facts dd", (all) => all.map((it) => it.textContent));
  expect(await readCode(page), `vitrail entry v1\n${ledger}\n${entry}\n${leaf}\n`, "the code's text");
  await download(page, "#receipt .download", folder, "receipt");
  expect(/4 membres sur 4/.test(await page.textContent("#standing")), true, "the members");
  await press(page, `tr[data-entry="${entry}"] button[aria-label^="Livrer"]`);
  await scanCard(page, card);
  expect(/Livré et facturé/.test(await answer(page, "passed")), true, "the delivery");
  await requireForgotten(page, card, requested);
  opened.requireQuiet("over a real federation");
});
