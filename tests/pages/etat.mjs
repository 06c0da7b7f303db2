// The operator's page in a real Chromium: `node etat.mjs CHROMIUM NODE STATE [IMAGES]`. STATE is
// `whole` when every member is there and there was no backup yet, `away` when one, beta, is not, and the
// last backup is of three days ago, or `back` when beta is there again and a backup was made.

import { join } from "node:path";
import { expect, openPage, requireAccessible, requireNoSideways, withBrowser } from "./browser.mjs";

const [chromium, node, state, images] = process.argv.slice(2);
const isWhole = state !== "away";
/** How long the page and the same facts for a program may lie apart: both are looked at anew each second. */
const APART_S = 5;
/** How often it is looked again when something was cosigned between two looks. */
const ATTEMPTS = 20;
const SECONDS = { s: 1, min: 60, h: 3_600, jours: 86_400 };

/** The policy of the page, to the letter: its own style and nothing else. */
const POLICY =
  "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const number = (count) => String(count).replace(/\B(?=(\d{3})+$)/g, "\u202f");

/** A figure of the page, such as "12 s", is as old as this, to the unit that it is said in. */
function requireAge(text, seconds, what) {
  const [, count, unit] = /^(\d+)\u00a0(s|min|h|jours)$/.exec(text) ?? [];
  const apart = Math.abs(Number(count) * SECONDS[unit] - seconds);
  expect(apart < SECONDS[unit] + APART_S, true, `${what}: ${text} for ${seconds} s`);
}

/** Every figure at the head of the page is what a program is told. */
async function tiles(page, facts) {
  const all = await page.$$eval(".tiles > div", (tiles) => {
    return tiles.map((it) => [it.querySelector("dt"), it.querySelector(".figure"), it.querySelector(".more")]
      .map((part) => part?.textContent ?? ""));
  });
  const shown = new Map(all.map(([name, figure, more]) => [name, { figure, more }]));
  const figure = (name) => shown.get(name)?.figure;
  expect(shown.size, 7, "tiles");
  expect(figure("Écritures"), number(facts.size), "the size");
  requireAge(figure("Dernier point de contrôle"), facts.checkpoint_age_s, "the newest checkpoint");
  expect(figure("Pannes encore permises"), isWhole ? "1" : "0", "how many may fail");
  expect(figure("Pannes encore permises"), String(facts.may_fail), "how many may fail, to a program");
  expect(figure("Mène"), facts.leader ?? "inconnu", "who leads");
  const { threshold, held, present } = facts.shares;
  expect([threshold, held, present], [2, 4, isWhole ? 4 : 3], "the shares");
  expect(figure("Parts des clés communes"), `${present} / ${held}`, "the shares on the page");
  const more = `il en faut ${threshold} sur ${held} ; ce nœud a la sienne`;
  expect(shown.get("Parts des clés communes").more, more, "what it takes");
  expect(/^[\d\u202f]+,\d\u00a0[GM]o$/.test(figure("Disque libre")), true, figure("Disque libre"));
  const backup = figure("Dernière sauvegarde");
  if (state === "whole") expect(backup, "jamais", "no backup yet");
  else requireAge(backup, facts.backup_age_s, "the last backup");
}

/** Every row of the table is what a program is told of that member. */
async function members(page, facts) {
  const rows = await page.$$eval("tr[data-member]", (all) => {
    return all.map((it) => [it.dataset.member, ...[...it.querySelectorAll("td")].map((td) => td.textContent)]);
  });
  expect(rows.map(([name]) => name), facts.members.map(({ name }) => name), "members");
  for (const [place, [name, vote, present, cosigned, behind, ago]] of rows.entries()) {
    const member = facts.members[place];
    const isAway = name === "beta" && !isWhole;
    expect([vote, present], ["vote", isAway ? "absent" : "oui"], name);
    expect([cosigned, behind], [number(member.cosigned), number(member.behind)], `the lag of ${name}`);
    expect(behind === "0", !isAway, `whether ${name} is behind: ${behind}`);
    requireAge(ago, member.cosigned_ago_s, `the cosignature of ${name}`);
  }
}

/** A bar for each minute in which something was appended, and their sum in a sentence. */
async function minutes(page, facts) {
  const bars = facts.appended.filter((count) => count > 0);
  const sum = bars.reduce((all, count) => all + count, 0);
  const sentence = `${number(sum)} écritures en une heure, au plus ${number(Math.max(...bars))} en une minute.`;
  expect(await page.locator(".hour rect").count(), bars.length, "a bar for each busy minute");
  expect(await page.getAttribute(".hour", "aria-label"), sentence, "what is drawn");
}

async function alarms(page) {
  const raised = await page.locator(".alarms li").allTextContents();
  const wanted = [
    "Si un membre votant de plus tombe, plus rien ne peut être écrit.",
    "Ce membre votant n'a pas contresigné récemment (beta).",
    "La dernière sauvegarde est trop ancienne (3\u00a0jours).",
  ];
  expect(raised, isWhole ? [] : wanted, "alarms");
  expect(await page.locator(".alarms.calm").count(), isWhole ? 1 : 0, "nothing to report");
}

/** The policy is sent, and the browser keeps it: no script of whoever gets text into the page runs. */
async function policyHolds(page) {
  const { headers } = await fetch(`${node}/etat`);
  expect(headers.get("content-security-policy"), POLICY, "the policy");
  expect(headers.get("x-content-type-options"), "nosniff", "no guessing of types");
  expect(headers.get("referrer-policy"), "no-referrer", "no address goes on");
  const isRun = await page.evaluate(() => {
    const script = document.createElement("script");
    script.append("globalThis.isRun = true");
    document.body.append(script);
    script.remove();
    return globalThis.isRun === true;
  });
  expect(isRun, false, "a script in the page");
}

async function told() {
  return (await fetch(`${node}/etat.json`)).json();
}

/** The page, and the facts of that moment: nothing was cosigned anew between the two. */
async function atOneMoment(browser) {
  for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
    const before = await told();
    const opened = await openPage(browser, `${node}/etat`, { locale: "fr-FR" });
    const after = await told();
    const ages = ({ checkpoint_age_s: age, members }) => [age, ...members.map((it) => it.cosigned_ago_s)];
    const olds = ages(before);
    if (ages(after).every((age, place) => age >= olds[place])) return { opened, facts: after };
    await opened.page.close();
  }
  throw new Error("the state does not stay as it is for a moment");
}

async function look(page, facts) {
  expect(await page.getAttribute("html", "lang"), "fr", "the language");
  await tiles(page, facts);
  await members(page, facts);
  await minutes(page, facts);
  await alarms(page);
  await requireAccessible(page, `the state, ${state}`);
}

await withBrowser(chromium, async (browser) => {
  const { opened, facts } = await atOneMoment(browser);
  await look(opened.page, facts);
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
  await policyHolds(opened.page);

  const dark = { colorScheme: "dark", viewport: { width: 360, height: 800 }, locale: "en-GB" };
  const english = await openPage(browser, `${node}/etat`, dark);
  expect(await english.page.getAttribute("html", "lang"), "en", "the preferred language");
  await requireAccessible(english.page, "the state in English, in the dark");
  await requireNoSideways(english.page, "a telephone's page");
});
