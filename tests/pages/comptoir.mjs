// The counter page over a simulating agent: `node comptoir.mjs CHROMIUM AGENT TOKEN FOLDER [IMAGES]`.
// The receipt and the refusal that it downloads are put into FOLDER.

import { readFileSync } from "node:fs";
import { expect, requireAccessible, requireNoSideways, withBrowser } from "./browser.mjs";
import {
  answer,
  download,
  focused,
  openCounter,
  pair,
  picture,
  press,
  readCode,
  requireForgotten,
  scan,
  scanCard,
  scanItems,
} from "./counter.mjs";
import { ALL_WORDS } from "../../client/pages/comptoir/words.js";

const [chromium, address, token, folder, images] = process.argv.slice(2);
const contract = { payer_number: "75000001", member_number: "ADHERENT1" };
const cardOf = (nir) => ({ nir, birth_date: "19500101", complementary: [contract] });

const COVERED = cardOf("100999999990001");
const LOST = cardOf("100999999990296");
const UNREACHABLE = cardOf("100999999990197");
const RESERVED = cardOf("100999999901315");
const NOT_COVERED = cardOf("100999999902503");
const MISTYPED = cardOf("100999999901909");
const PRICES = ["140", "120,00"];

function bothLanguagesSayTheSame() {
  for (const { fr, en } of Object.values(ALL_WORDS)) {
    expect(Object.keys(fr), Object.keys(en), "the words of both languages");
    const figures = (sentence) => [...sentence.matchAll(/\{\w+\}/g)].map(String).sort();
    for (const key of Object.keys(fr)) expect(figures(fr[key]), figures(en[key]), `figures of ${key}`);
  }
}

async function strangersStayOutside(page) {
  await requireAccessible(page, "the pairing");
  await picture(page, images, "comptoir-liaison");
  for (const wrong of ["A".repeat(43), "no token"]) {
    await pair(page, wrong);
    await page.waitForSelector("#token-fault");
    expect(await page.isVisible("#desk"), false, "another token opens nothing");
    expect(await page.evaluate(() => sessionStorage.length), 0, "a wrong token is not kept");
  }
}

async function fromCardToReceipt({ page, requested }) {
  await scanCard(page, COVERED);
  await scanItems(page, PRICES);
  const told = await answer(page, "passed");
  // 60 per cent of 0.05 twice, and 50.00 twice, as the simulation pays.
  expect(/Reste à payer 159,94/.test(told), true, `what is left to pay: ${told}`);
  expect(await page.locator("#told tbody tr").count(), 2, "a line for each item");
  await requireAccessible(page, "a quote");
  await picture(page, images, "comptoir-devis");
  await page.keyboard.press("Enter");
  expect(await page.isVisible("#claim"), true, "Enter alone claims nothing");
  await press(page, "#claim");
  expect(/Réservé/.test(await answer(page, "passed")), true, "the claim");
  await page.waitForSelector("#receipt img.code");
  await requireForgotten(page, COVERED, requested);
  const [entry, ledger, leaf] = await page.$$eval(".facts dd", (all) => all.map((it) => it.textContent));
  expect(await readCode(page), `vitrail entry v1\n${ledger}\n${entry}\n${leaf}\n`, "the code's text");
  const name = await download(page, "#receipt .download", folder, "receipt");
  expect(name, `claim-${entry.padStart(9, "0")}.receipt`, "the name of the file");
  expect(readFileSync(`${folder}/receipt`, "utf8").startsWith("vitrail receipt"), true, "the file");
  await page.waitForSelector(`tr[data-entry="${entry}"]`);
  await requireAccessible(page, "a receipt");
  await picture(page, images, "comptoir-recu");
  return entry;
}

/** Handed over with the card once more, then taken back: by the keyboard too. */
async function deliveredAndReturned({ page, requested }, entry) {
  await press(page, `tr[data-entry="${entry}"] button[aria-label^="Livrer"]`);
  expect(await page.isVisible("#items-group"), false, "a delivery asks for the card alone");
  await scanCard(page, COVERED);
  expect(/Livré et facturé/.test(await answer(page, "passed")), true, "the delivery");
  await requireForgotten(page, COVERED, requested);
  const delivery = String(Number(entry) + 1);
  await press(page, `tr[data-entry="${delivery}"] button[aria-label^="Rendre"]`);
  expect(await focused(page), "quiet small cancel", "the harmless button first");
  await page.keyboard.press("Shift+Tab");
  await page.keyboard.press("Enter");
  expect(/Rendu/.test(await answer(page, "passed")), true, "the release");
}

async function refusals({ page }) {
  await press(page, "#clear");
  await scanCard(page, NOT_COVERED);
  await scanItems(page, PRICES);
  const none = await answer(page, "failed");
  expect(none.includes("Aucun organisme ne prend cet équipement en charge."), true, none);
  expect(await page.locator("#claim").count(), 0, "there is nothing to claim");

  await press(page, "#clear");
  await scanCard(page, MISTYPED);
  await scanItems(page, PRICES);
  const mistyped = await answer(page, "failed");
  expect(mistyped.includes("La clé du code LPP est fausse : vérifiez la saisie."), true, mistyped);

  await press(page, "#clear");
  await scanCard(page, RESERVED);
  await scanItems(page, PRICES);
  await answer(page, "failed");
  await press(page, "#claim");
  await page.waitForSelector("#told .download");
  const refused = await answer(page, "failed");
  expect(refused.includes("Cet équipement est déjà réservé par une autre demande."), true, refused);
  await picture(page, images, "comptoir-refus");
  await download(page, "#told .download", folder, "refusal");
}

/** What cannot be right is told at its field, and the focus is there. */
async function mistakes({ page }) {
  await press(page, "#clear");
  await scanCard(page, cardOf("100999999990002"));
  await scanItems(page, ["140", "gratuit"]);
  await page.waitForSelector("#sale [aria-invalid]");
  expect(/^price-/.test(await focused(page)), true, "the price that is none");
  await page.keyboard.press("Control+A");
  // The empty line is gone: Enter adds another.
  await scan(page, "120", "");
  await page.waitForSelector("#nir-fault");
  expect(await focused(page), "nir", "the number whose key is wrong");
  await requireAccessible(page, "a mistake");
}

/** A scanner that sends the card in one line, and Enter twice. */
async function oneLine({ page }) {
  await press(page, "#clear");
  await page.waitForFunction(() => document.activeElement?.id === "nir");
  const { nir, birth_date: birth } = COVERED;
  await page.keyboard.type(nir);
  await page.keyboard.press("Enter");
  await page.keyboard.press("Enter");
  expect(await focused(page), "birth", "a second Enter skips nothing");
  await page.focus("#nir");
  await page.keyboard.press("Control+A");
  await scan(page, `${nir};${birth};1;${contract.payer_number};${contract.member_number}`);
  expect(await page.inputValue("#member"), contract.member_number, "the last part");
  expect(await page.inputValue("#nir"), nir, "the first part");
  expect(/^code-/.test(await focused(page)), true, "on to the items");
}

/** An answer that gets lost is found by the same request, also by a page that was loaded anew. */
async function lostAnswer({ page, requested }) {
  await press(page, "#clear");
  await scanCard(page, LOST);
  await scanItems(page, PRICES);
  await answer(page, "passed");
  const first = page.waitForResponse((it) => it.url().endsWith("/v1/claim"));
  await press(page, "#claim");
  expect((await first).status(), 504, "the answer gets lost");
  await page.reload();
  await page.waitForSelector("#receipt img.code");
  expect(/Réservé/.test(await answer(page, "passed")), true, "the same claim, found");
  await requireForgotten(page, LOST, requested);
}

async function waitsForTheFederation({ page }) {
  await press(page, "#clear");
  await scanCard(page, UNREACHABLE);
  await scanItems(page, PRICES);
  await answer(page, "passed");
  await press(page, "#claim");
  const told = await answer(page, "unjudged");
  expect(/En attente/.test(told), true, told);
  await page.waitForSelector("#waiting li");
  expect(/1 en attente/.test(await page.textContent("#standing")), true, "the head says so");
  await requireAccessible(page, "a claim that waits");
  await picture(page, images, "comptoir-attente");
}

async function english({ page }) {
  await page.focus("#language");
  await page.keyboard.press("Enter");
  expect(await page.getAttribute("html", "lang"), "en", "the language");
  expect(await page.textContent("#check"), "Check coverage", "a button in English");
  expect(/Waiting/.test(await page.textContent("#told")), true, "the answer in English");
  await requireAccessible(page, "a claim that waits, in English");
  await press(page, "#clear");
  await scanCard(page, COVERED);
  await scanItems(page, PRICES);
  expect(/Left to pay/.test(await answer(page, "passed")), true, "a quote in English");
  await requireAccessible(page, "a quote in English");
}

/** The tab forgets who was let in. */
async function locked({ page }) {
  await press(page, "#lock");
  await page.waitForFunction(() => document.activeElement?.id === "token");
  expect(await page.evaluate(() => sessionStorage.length), 0, "nothing is kept");
}

/** A card that nobody works on is wiped after ten minutes. */
async function leftAlone(browser) {
  const opened = await openCounter(browser, address);
  await opened.page.clock.install();
  await opened.page.reload();
  await pair(opened.page, token);
  await scanCard(opened.page, COVERED);
  await opened.page.clock.fastForward("11:00");
  await opened.page.waitForFunction(() => document.getElementById("nir").value === "");
}

/** The policy holds: text does not become markup, and no script of a text runs. */
async function policyHolds(browser) {
  const { page } = await openCounter(browser, address);
  const outcome = await page.evaluate(() => {
    const script = document.createElement("script");
    const tries = [
      () => document.body.insertAdjacentHTML("beforeend", "<b>text</b>"),
      () => script.append("globalThis.isRun = true"),
      () => document.body.append(script),
    ];
    for (const attempt of tries) {
      try {
        attempt();
      } catch {
        // As it should be; whether it had an effect is asked below.
      }
    }
    return [document.querySelectorAll("b").length, globalThis.isRun === true];
  });
  expect(outcome, [0, false], "markup and scripts of texts");
}

async function small(browser) {
  const dark = { colorScheme: "dark", viewport: { width: 360, height: 800 } };
  const opened = await openCounter(browser, address, dark);
  await pair(opened.page, token);
  await scanCard(opened.page, NOT_COVERED);
  await scanItems(opened.page, PRICES);
  await answer(opened.page, "failed");
  await requireAccessible(opened.page, "a quote in the dark");
  await requireNoSideways(opened.page, "a telephone's page");
  opened.requireQuiet("in the dark");
}

bothLanguagesSayTheSame();
await withBrowser(chromium, async (browser) => {
  const opened = await openCounter(browser, address);
  await strangersStayOutside(opened.page);
  await pair(opened.page, token);
  const entry = await fromCardToReceipt(opened);
  await deliveredAndReturned(opened, entry);
  await refusals(opened);
  await mistakes(opened);
  await oneLine(opened);
  await lostAnswer(opened);
  await waitsForTheFederation(opened);
  await english(opened);
  await locked(opened);
  opened.requireQuiet("all along");
  await leftAlone(browser);
  await small(browser);
  await policyHolds(browser);
});
