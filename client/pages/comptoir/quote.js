// A quote on the screen: what is covered, who pays what, what is left to pay, and why not.

import { dayOf, eurosOf } from "./amounts.js";
import { element, sign } from "./element.js";
import { locale, say, sayReason } from "./words.js";

const SOURCES = { live: "sourceLive", ledger: "sourceLedger", none: "sourceNone" };
const SIDES = { right: "right", left: "left" };

/** A disc, a word and what goes with it. */
export function verdictElement(state, word, ...more) {
  const says = element("p", { class: "says" }, word);
  const lines = more.filter((line) => line !== "").map((line) => element("p", {}, line));
  return element("div", { class: `verdict ${state}` }, sign(state), element("div", {}, says, lines));
}

/** Why a rule says no, in sentences. */
export function reasonSentences(refusal) {
  const { until, holder, items = [] } = refusal;
  return [
    sayReason(refusal),
    until ? say("until", { day: dayOf(until, locale()) }) : "",
    holder === undefined || holder === null ? "" : say("holder", { index: holder }),
    items.length > 0 ? say("ofItems", { items: items.join(", ") }) : "",
  ].filter((sentence) => sentence !== "");
}

/** Whether no line of a quote can be claimed. */
export function isAllRefused({ quote }) {
  return quote === null || quote.lines.every(({ refusal }) => refusal !== null);
}

/** One word for the whole, and a state for its sign. */
function verdictOf(checked) {
  if (checked.covered) return { state: "passed", word: say("covered") };
  if (!isAllRefused(checked)) return { state: "unjudged", word: say("partlyCovered") };
  return { state: "failed", word: say("notCovered") };
}

/** The answer of a check. */
export function checkElements(checked) {
  const { quote, refusal } = checked;
  const { state, word } = verdictOf(checked);
  if (quote === null) return [verdictElement(state, word, ...reasonSentences(refusal))];
  return [
    verdictElement(state, word, ...validity(quote)),
    totals(quote),
    linesTable(quote),
    payersList(quote),
  ];
}

function validity({ valid_until: until, prescription_until: prescription }) {
  return [
    until === null ? "" : say("validUntil", { day: dayOf(until, locale()) }),
    prescription === null ? "" : say("prescriptionUntil", { day: dayOf(prescription, locale()) }),
  ];
}

function totals(quote) {
  const tile = (name, cents, kind) => {
    const figure = element("dd", {}, eurosOf(cents, locale()));
    return element("div", { class: kind }, element("dt", {}, `${say(name)} `), figure);
  };
  return element(
    "dl",
    { class: "totals" },
    tile("rest", quote.rest_cents, "rest"),
    tile("amoShort", quote.amo_cents, "part"),
    tile("amcShort", quote.amc_cents, "part"),
  );
}

const COLUMNS = ["itemShort", "priceShort", "amoShort", "amcShort", "restShort"];

function linesTable(quote) {
  const heads = COLUMNS.map((key, place) => {
    return element("th", { scope: "col", class: place === 0 ? "" : "figure" }, say(key));
  });
  const caption = element("caption", {}, say("lines"));
  const body = element("tbody", {}, quote.lines.map(lineRow));
  const table = element("table", {}, caption, element("thead", {}, element("tr", {}, heads)), body);
  const label = say("lines");
  return element("div", { class: "wide", tabindex: "0", role: "group", "aria-label": label }, table);
}

function lineRow(line) {
  const figure = (cents) => element("td", { class: "figure" }, eurosOf(cents, locale()));
  const side = line.side === null ? "" : ` · ${say(SIDES[line.side])}`;
  const name = element(
    "th",
    { scope: "row" },
    element("span", { lang: "fr" }, line.label),
    element("span", { class: "hint" }, `${line.lpp_code} · ${line.grouped_code}${side}`),
    line.refusal === null ? "" : element("p", { class: "no" }, reasonSentences(line.refusal).join(" ")),
    line.unpaid.map(unpaidElement),
  );
  const cents = [line.price_cents, line.amo_cents, line.amc_cents, line.rest_cents];
  return element("tr", { "data-line": line.lpp_code }, name, cents.map(figure));
}

function unpaidElement({ member, refusal }) {
  return element("p", { class: "no" }, `${member} : ${reasonSentences(refusal).join(" ")}`);
}

function payersList({ payers }) {
  const item = (payer) => {
    const networks = payer.not_in?.length > 0 ? ` · ${say("notIn", { networks: payer.not_in.join(", ") })}` : "";
    const source = payer.member === null ? say("unknownPayer") : say(SOURCES[payer.source]);
    return element(
      "li",
      {},
      element("strong", {}, payer.member ?? "?"),
      ` (${payer.role.toUpperCase()}) ${eurosOf(payer.amount_cents, locale())} `,
      element("span", { class: "hint" }, `${source}${networks}`),
    );
  };
  return element("ul", { class: "payers", "aria-label": say("payers") }, payers.map(item));
}
