// What is done at the counter page, by the keyboard alone, and what may never be seen of it.

import { mkdirSync } from "node:fs";
import { join } from "node:path";
import jsQR from "jsqr";
import { expect, openPage } from "./browser.mjs";

/** What a check, a claim or a delivery may take on a loaded machine before the page hangs. */
const PATIENCE_MS = 90_000;
const CODE_PIXELS = 400;
/** More than the page has places to stop at. */
const TABS_MAX = 120;

/** Opens the page; `complaints` leaves out that an answer was an error, which is what tests are for. */
export async function openCounter(browser, address, options = {}) {
  const opened = await openPage(browser, `${address}/comptoir`, { locale: "fr-FR", ...options });
  opened.page.setDefaultTimeout(PATIENCE_MS);
  const isOwn = (it) => !it.startsWith("Failed to load resource");
  opened.requireQuiet = (what) => {
    expect(opened.complaints.filter(isOwn), [], `the console, ${what}`);
    const own = (it) => it.startsWith(`${address}/`) || it.startsWith("data:") || it.startsWith("blob:");
    expect(opened.requested.filter((it) => !own(it)), [], "the page asks nobody else");
  };
  return opened;
}

/** Types the token where the page has put the focus. */
export async function pair(page, token) {
  await page.waitForFunction(() => document.activeElement?.id === "token");
  await page.keyboard.type(token);
  await page.keyboard.press("Enter");
}

export function focused(page) {
  return page.evaluate(() => document.activeElement.id || document.activeElement.className);
}

/** Types values as a scanner does, Enter behind each; the focus goes on by itself. */
export async function scan(page, ...values) {
  for (const value of values) {
    await page.keyboard.type(value);
    await page.keyboard.press("Enter");
  }
}

/** The card, from the first field to the last. */
export async function scanCard(page, card) {
  await page.waitForFunction(() => document.activeElement?.id === "nir");
  const [{ payer_number: payer, member_number: member }] = card.complementary;
  await scan(page, card.nir, card.birth_date, "", payer, member);
}

/** A frame and a right lens, then Enter on an empty line. */
export async function scanItems(page, [frame, lens]) {
  await scan(page, "2264861", "", frame, "2200335");
  await page.keyboard.press("ArrowDown");
  await scan(page, "", lens, "");
}

/** What the answer says, once it is one of these. */
export async function answer(page, ...states) {
  await page.waitForSelector(states.map((state) => `#told > .verdict.${state}`).join(", "));
  await page.waitForFunction(() => document.activeElement?.id === "answer-heading");
  return page.textContent("#told");
}

/** Goes on with the tabulator until it is there, and presses Enter. */
export async function press(page, selector) {
  await page.waitForSelector(selector);
  for (let step = 0; step < TABS_MAX; step += 1) {
    if (await page.evaluate((it) => document.activeElement.matches(it), selector)) {
      await page.keyboard.press("Enter");
      return;
    }
    await page.keyboard.press("Tab");
  }
  throw new Error(`${selector} is not reached with the keyboard`);
}

/** Nothing of the card is in the page's fields, in what the browser keeps, or in an address. */
export async function requireForgotten(page, card, requested) {
  const [contract] = card.complementary;
  const secrets = [card.nir, card.nir.slice(0, 13), card.birth_date, contract.member_number];
  const kept = await page.evaluate(() => {
    const fields = [...document.querySelectorAll("input")].map(({ value }) => value);
    const stores = [sessionStorage, localStorage].map((store) => Object.entries(store));
    return { fields, stores, address: location.href, cookie: document.cookie, page: document.body.textContent };
  });
  expect(kept.stores[0].map(([name]) => name), ["vitrail-token"], "what the tab keeps");
  expect(kept.stores[1], [], "what the browser keeps");
  const said = JSON.stringify([kept, requested]);
  for (const secret of secrets) expect(said.includes(secret), false, "something of the card is left");
}

/** What the code on the receipt says, read from its picture. */
export async function readCode(page) {
  const pixels = await page.$eval(
    "img.code",
    async (image, side) => {
      await image.decode();
      const canvas = Object.assign(document.createElement("canvas"), { width: side, height: side });
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0, side, side);
      return [...context.getImageData(0, 0, side, side).data];
    },
    CODE_PIXELS,
  );
  const read = jsQR.default ?? jsQR;
  return read(Uint8ClampedArray.from(pixels), CODE_PIXELS, CODE_PIXELS)?.data;
}

/** Presses a button that gives a file, and puts it there. */
export async function download(page, selector, folder, name) {
  const [given] = await Promise.all([page.waitForEvent("download"), press(page, selector)]);
  await given.saveAs(join(folder, name));
  return given.suggestedFilename();
}

export async function picture(page, images, name) {
  if (images === undefined) return;
  mkdirSync(images, { recursive: true });
  await page.screenshot({ path: join(images, `${name}.png`), fullPage: true });
}
