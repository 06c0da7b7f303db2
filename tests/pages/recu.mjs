// The receipt page in a real Chromium: `node recu.mjs CHROMIUM PAGE FILES NODE [IMAGES]`. PAGE is the
// file on disk, FILES a folder with receipt.txt, refusal.txt, bad.txt and roster.txt, NODE the address
// of a node's pages. With IMAGES, pictures of what was seen are put there.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, openPage, requireAccessible, requireNoSideways, withBrowser } from "./browser.mjs";

const [chromium, file, files, node, images] = process.argv.slice(2);
const disk = pathToFileURL(file).href;
const given = (name) => join(files, name);

async function picture(page, name) {
  if (images === undefined) return;
  await page.screenshot({ path: join(images, `${name}.png`), fullPage: true });
}

/** Chooses a file as somebody does who has no mouse. */
async function choose(page, id, name) {
  await page.focus(`#${id}`);
  const [chooser] = await Promise.all([
    page.waitForEvent("filechooser"),
    page.keyboard.press("Space"),
  ]);
  await chooser.setFiles(given(name));
  await page.waitForFunction(
    ([id, name]) => document.getElementById(`${id}-name`).textContent === name,
    [id, name],
  );
}

function states(page) {
  return page.$$eval("#steps > li", (steps) => {
    return Object.fromEntries(steps.map(({ dataset }) => [dataset.step, dataset.state]));
  });
}

async function verdict(page) {
  const state = await page.$eval("#verdict > .verdict", (verdict) => verdict.className);
  return state.replace("verdict ", "");
}

const RECEIPT = { format: "passed", checkpoint: "passed", entry: "passed", inclusion: "passed" };

async function goodReceipt(page) {
  expect(await verdict(page), "waiting", "nothing is given yet");
  await requireAccessible(page, "the empty page");
  await choose(page, "receipt", "receipt.txt");
  expect(await verdict(page), "waiting", "without a roster");
  await choose(page, "roster", "roster.txt");
  expect(await states(page), { roster: "unjudged", ...RECEIPT }, "a good receipt");
  expect(await verdict(page), "passed", "a good receipt");
  const path = readFileSync(given("receipt.txt"), "utf8").match(/^path /gm).length;
  expect(await page.locator(".path .spine").count(), path, "one step drawn for each hash");
  for (const details of await page.$$("details")) {
    await details.evaluate((it) => it.setAttribute("open", ""));
  }
  await requireAccessible(page, "a good receipt");
}

async function fingerprints(page) {
  await page.fill("#expected", "A".repeat(43) + "=");
  expect(await verdict(page), "failed", "another fingerprint is expected");
  expect((await states(page)).roster, "failed", "another fingerprint is expected");
  await page.fill("#expected", await page.textContent("#fingerprint"));
  expect(await verdict(page), "passed", "the expected fingerprint");
  expect((await states(page)).roster, "passed", "the expected fingerprint");
}

async function badReceipt(page) {
  await choose(page, "receipt", "bad.txt");
  expect(await verdict(page), "failed", "a bad receipt");
  expect((await states(page)).inclusion, "failed", "the path leads elsewhere");
  expect(await page.locator(".box.wrong").count(), 1, "the wrong root is drawn");
  await requireAccessible(page, "a bad receipt");
  await picture(page, "recu-bad");
}

async function refusal(page) {
  await choose(page, "receipt", "refusal.txt");
  expect(await verdict(page), "passed", "a refusal");
  const all = { roster: "passed", ...RECEIPT, state: "passed", refused: "passed" };
  expect(await states(page), all, "a refusal");
  expect(await page.locator(".figure").count(), 2, "two paths are drawn");
  await requireAccessible(page, "a refusal");
  await picture(page, "recu-refusal");
}

async function english(page) {
  await page.focus("#language");
  await page.keyboard.press("Enter");
  expect(await page.getAttribute("html", "lang"), "en", "the language");
  expect(await page.textContent("h1"), "Verify a receipt", "the heading in English");
  expect(await verdict(page), "passed", "the verdict stays");
  await requireAccessible(page, "the page in English");
  await page.keyboard.press("Enter");
  expect(await page.textContent("h1"), "Vérifier un reçu", "the heading in French again");
}

/** Drops both files at once, and lets the page see which is which. */
async function dropped(page) {
  const texts = ["roster.txt", "receipt.txt"].map((name) => [name, readFileSync(given(name), "utf8")]);
  await page.evaluate((texts) => {
    const transfer = new DataTransfer();
    for (const [name, text] of texts) transfer.items.add(new File([text], name));
    document.body.dispatchEvent(
      new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }),
    );
  }, texts);
  await page.waitForSelector("#verdict > .passed");
  expect((await states(page)).inclusion, "passed", "dropped files");
}

/** Everything that a reader needs can be reached with the tabulator alone. */
async function keyboard(page) {
  await page.evaluate(() => document.activeElement.blur());
  const reached = new Set();
  for (let step = 0; step < 30; step += 1) {
    await page.keyboard.press("Tab");
    reached.add(await page.evaluate(() => document.activeElement.id || document.activeElement.tagName));
  }
  for (const id of ["language", "receipt", "roster", "expected", "SUMMARY"]) {
    expect(reached.has(id), true, `${id} is reached with the keyboard`);
  }
}

await withBrowser(chromium, async (browser) => {
  const opened = await openPage(browser, disk, { offline: true });
  const { page } = opened;
  await goodReceipt(page);
  await fingerprints(page);
  await page.$$eval("details", (all) => all.forEach((it) => it.removeAttribute("open")));
  await picture(page, "recu");
  await keyboard(page);
  await badReceipt(page);
  await refusal(page);
  await english(page);
  expect(opened.requested, [disk], "the page asks for nothing but itself");
  expect(opened.complaints, [], "the console");

  const dark = await openPage(browser, `${disk}?lang=en`, {
    offline: true,
    colorScheme: "dark",
    viewport: { width: 360, height: 800 },
  });
  await dropped(dark.page);
  expect(await dark.page.getAttribute("html", "lang"), "en", "the language of the address");
  await requireAccessible(dark.page, "the page in the dark");
  await requireNoSideways(dark.page, "a telephone's page");
  expect(dark.complaints, [], "the console");

  const served = await openPage(browser, `${node}/recu`);
  await dropped(served.page);
  const foreign = served.requested.filter((address) => !address.startsWith(`${node}/`));
  expect(foreign, [], "a served page asks nobody else");
  expect(served.complaints, [], "the console");
});
