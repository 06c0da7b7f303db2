// The pages that commands write, opened from disk in a real Chromium: `node audit.mjs CHROMIUM FILES
// [IMAGES]`. FILES has the pages listed below. With IMAGES, pictures of those that the documents show are
// put there.

import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { expect, openPage, requireAccessible, requireNoSideways, withBrowser } from "./browser.mjs";

const [chromium, files, images] = process.argv.slice(2);

const PAGES = [
  { file: "report/report.html", image: "audit-report", look: report },
  { file: "incident.html", image: "incident", look: incident },
  { file: "evidence.html", image: "evidence", look: evidence },
  { file: "failed/report.html", look: failedReport },
  { file: "incident-bare.html", look: bareIncident },
  { file: "evidence-map.html", look: wrongMap },
  { file: "evidence-open.html", look: takesTheLog },
  { file: "evidence-changed.html", look: changed },
];

const VERDICTS = {
  failedReport: { fr: "Le registre ne passe pas l'audit.", en: "The ledger does not pass." },
  takesTheLog: { fr: "Le fichier seul ne suffit pas", en: "The file alone does not tell" },
  changed: { fr: "Ce fichier n'accuse personne", en: "This file accuses nobody" },
};

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
  await countsOfOne(shown, language);
}

/** One of a kind is said in the singular, and a day as people of that language write it. */
async function countsOfOne(shown, language) {
  const said = { fr: "1 droit, 1 prise en charge", en: "1 slot, 1 coverage" }[language];
  expect(await shown.locator("tr[data-outcome] summary").first().textContent(), said, "what was looked at");
  const moment = await shown.locator("tr[data-outcome] th").first().textContent();
  const day = { fr: moment.slice(0, 5), en: moment.slice(5, 10) }[language];
  const label = await shown.locator("svg.plot text.label").first().textContent();
  expect(label.startsWith(`${day} `), true, `the axis of days: ${label} for ${moment}`);
}

async function bareIncident(page, language) {
  const shown = page.locator(`article.${language}`);
  expect(await shown.locator("tr[data-outcome]").count(), 74, "looks");
  expect(await shown.locator(".contracts").count(), 0, "nobody's contracts");
  expect(await shown.locator(".tiles > div").count(), 4, "and no figure of them");
}

async function requireVerdict(shown, wanted, language) {
  expect(await shown.locator(".verdict.good").count(), 0, "nothing good is said");
  const told = await shown.locator(".verdict").textContent();
  expect(told.includes(wanted[language]), true, told);
}

async function failedReport(page, language) {
  const shown = page.locator(`article.${language}`);
  await requireVerdict(shown, VERDICTS.failedReport, language);
  expect(await shown.locator("tr[data-check]").count(), 11, "checks");
  expect(await shown.locator("tr[data-check] .bad").count(), 1, "the check that fails");
  expect(await shown.locator(".accused strong").textContent(), "amc, amo, mutuelle, opticiens", "who it was");
}

const steps = (shown) => shown.locator("tr[data-step] td").evaluateAll((all) => all.map((it) => it.className));

/** Not two states, but one that is wrong: nobody "signed both". */
async function wrongMap(page, language) {
  const shown = page.locator(`article.${language}`);
  expect(await steps(shown), ["good", "good", "good", "good"], "steps that hold");
  expect(await shown.locator(".states th[scope=col]").count(), 1, "one state");
  const signed = { fr: "l'a signé", en: "signed it" }[language];
  expect(await shown.locator(".states .guilty .more").allTextContents(), Array(4).fill(signed), "all four");
}

async function takesTheLog(page, language) {
  const shown = page.locator(`article.${language}`);
  await requireVerdict(shown, VERDICTS.takesTheLog, language);
  expect(await steps(shown), ["good", "good", "good", "unknown"], "the last step is open");
}

async function changed(page, language) {
  const shown = page.locator(`article.${language}`);
  await requireVerdict(shown, VERDICTS.changed, language);
  expect(await steps(shown), ["bad", "unknown", "unknown", "unknown"], "nothing is reached");
  expect(await shown.locator(".states").count(), 0, "no state");
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
  if (images !== undefined && image !== undefined) {
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
