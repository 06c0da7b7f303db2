// The latest entries of this till, and what may still be done with each.

import { dayOf, momentOf } from "./amounts.js";
import { element } from "./element.js";
import { locale, say } from "./words.js";

const COLUMNS = ["numberShort", "kindShort", "timeShort", "slotsShort", "actionsShort"];

/** `does` has what a button tells: `deliver`, `release`, `confirm`, `cancel`, `receipt`, each of an entry. */
export function entriesElements({ entries, more }, confirming, does) {
  if (entries.length === 0) return [element("p", { class: "hint" }, say("entriesNone"))];
  const heads = COLUMNS.map((key) => element("th", { scope: "col" }, say(key)));
  const rows = entries.map((entry) => entryRow(entry, entry.index === confirming, does));
  const head = element("thead", {}, element("tr", {}, heads));
  const table = element("table", {}, head, element("tbody", {}, rows));
  const wide = { class: "wide", tabindex: "0", role: "group", "aria-labelledby": "entries-heading" };
  const note = more ? element("p", { class: "hint" }, say("entriesMore")) : "";
  return [element("div", wide, table), note];
}

function entryRow(entry, isConfirming, does) {
  const { index, kind, issued_at: at, slots, open, claim, until } = entry;
  const more = claim !== null ? say("ofClaim", { claim }) : reservedUntil(until, open);
  const count = open > 0 ? say("slotsOpen", { slots, open }) : say("slotsDone", { slots });
  return element(
    "tr",
    { "data-entry": String(index) },
    element("th", { scope: "row", class: "figure" }, String(index)),
    element("td", {}, say(`kind_${kind}`), element("span", { class: "hint" }, more)),
    element("td", {}, momentOf(at, locale())),
    element("td", {}, count),
    element("td", { class: "actions" }, isConfirming ? confirmButtons(entry, does) : buttons(entry, does)),
  );
}

function reservedUntil(until, open) {
  return until === null || open === 0 ? "" : say("reservedUntil", { day: dayOf(until, locale()) });
}

function buttons(entry, does) {
  const { kind, open, index } = entry;
  const button = (key, label, act) => {
    const made = element("button", { type: "button", class: "quiet small" }, say(key));
    made.setAttribute("aria-label", say(label, { index }));
    made.addEventListener("click", () => act(entry));
    return made;
  };
  return [
    kind === "claim" && open > 0 ? button("deliver", "deliverEntry", does.deliver) : null,
    open > 0 ? button("release", "releaseEntry", does.release) : null,
    button("receiptOf", "receiptOfEntry", does.receipt),
  ];
}

function confirmButtons(entry, does) {
  const { index } = entry;
  const confirm = element("button", { type: "button", class: "small danger" });
  confirm.textContent = say("confirmRelease", { index });
  confirm.addEventListener("click", () => does.confirm(entry));
  const cancel = element("button", { type: "button", class: "quiet small cancel" }, say("cancel"));
  cancel.addEventListener("click", () => does.cancel(entry));
  return [confirm, cancel];
}
