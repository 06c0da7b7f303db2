// What the page says of a receipt: the verdict, the steps, and what each of them verified.

import { toBase64 } from "./bytes.js";
import { isoDay } from "./calendar.js";
import { drawPath, tabulatePath } from "./drawing.js";
import { element, sign } from "./element.js";
import { STEPS } from "./receipt.js";

/** The roster's step: `passed`, `failed`, or `unjudged` when there is nothing to compare with. */
export function rosterStep(roster, expected) {
  if (expected === "") return "unjudged";
  return expected === roster.fingerprint ? "passed" : "failed";
}

/** The verdict: its state, its sentence and what is added to it. */
export function verdictOf({ receipt, roster, rosterFault, report, expected }, words) {
  const waiting = (key) => ({ state: "waiting", says: words.say(key), more: "" });
  if (rosterFault !== null) {
    return { state: "failed", says: words.say("badRoster"), more: words.fault(rosterFault) };
  }
  if (roster === null) return waiting(receipt === null ? "waitBoth" : "waitRoster");
  if (rosterStep(roster, expected) === "failed") {
    const [says, more] = [words.say("otherRoster"), words.say("otherRosterMore")];
    return { state: "failed", says, more };
  }
  if (receipt === null) return waiting("waitReceipt");
  if (!report.isValid) {
    return { state: "failed", says: words.say("invalid"), more: words.fault(report.fault) };
  }
  return validVerdict(report, expected, words);
}

function validVerdict({ kind, shown }, expected, words) {
  const { checkpoint, entry, index, reason } = shown;
  const figures = {
    index,
    kind: words.kind(entry.kind),
    origin: checkpoint.origin,
    time: words.moment(checkpoint.time),
    reason: reason === undefined ? "" : words.reason(reason),
  };
  const key = kind === "refusal" ? "validRefusal" : "validReceipt";
  const compare = expected === "" ? ` ${words.say("compare")}` : "";
  const more = words.say(`${key}More`, figures) + compare;
  return { state: "passed", says: words.say(key), more };
}

export function verdictElement({ state, says, more }) {
  return element(
    "div",
    { class: `verdict ${state}` },
    sign(state),
    element("div", {}, element("p", { class: "says" }, says), more === "" ? null : element("p", {}, more)),
  );
}

/** The list of steps; those after a failed one were not looked at. */
export function stepElements({ roster, report, expected }, words) {
  const rosterState = roster === null ? "waiting" : rosterStep(roster, expected);
  const names = STEPS[report?.kind ?? "receipt"];
  const steps = names.map((name) => {
    return stepElement(name, stepState(name, report), report, words);
  });
  return [stepElement("roster", rosterState, { shown: {} }, words), ...steps];
}

/** What is said of the roster: as long as nothing is expected, it is the reader who compares. */
function rosterSays(state, sentence, words) {
  if (state === "unjudged") return words.say("compare");
  return state === "failed" ? words.say("otherRosterMore") : sentence;
}

function stepState(name, report) {
  if (report === null) return "waiting";
  if (report.failedStep === name) return "failed";
  return report.passed.includes(name) ? "passed" : "skipped";
}

function stepElement(name, state, report, words) {
  const [title, sentence] = words.step(name);
  const said = name === "roster" ? rosterSays(state, sentence, words) : sentence;
  const why = state === "failed" && report.fault ? words.fault(report.fault) : said;
  const details = state === "passed" ? detailsOf(name, report.shown, words) : null;
  return element(
    "li",
    { class: state, "data-step": name, "data-state": state },
    sign(state),
    element(
      "div",
      {},
      element("h3", {}, title, element("span", { class: "state" }, words.say(state))),
      element("p", {}, why),
      details,
    ),
  );
}

function detailsOf(name, shown, words) {
  const makers = { checkpoint, entry, inclusion, state, refused };
  if (makers[name] === undefined) return null;
  const content = makers[name](shown, words);
  return element("details", {}, element("summary", {}, words.say("details")), content);
}

function facts(list) {
  const items = list.map(([term, value]) => [
    element("dt", {}, term),
    element("dd", {}, String(value)),
  ]);
  return element("dl", {}, items.flat());
}

function checkpoint({ checkpoint }, words) {
  const heads = ["member", "vote", "cosignedAt"].map((key) => {
    return element("th", { scope: "col" }, words.say(key));
  });
  const rows = checkpoint.cosigned.map(({ name, isVoting, time }) => {
    const cells = [name, words.say(isVoting ? "yes" : "no"), words.moment(time)];
    return element("tr", {}, cells.map((cell) => element("td", {}, cell)));
  });
  const said = facts([
    [words.say("origin"), checkpoint.origin],
    [words.say("size"), checkpoint.size],
    [words.say("logRoot"), toBase64(checkpoint.logRoot)],
    [words.say("mapRoot"), toBase64(checkpoint.mapRoot)],
    [words.say("time"), words.moment(checkpoint.time)],
  ]);
  const table = element(
    "table",
    {},
    element("caption", {}, words.say("cosigners")),
    element("thead", {}, element("tr", {}, heads)),
    element("tbody", {}, rows),
  );
  return element("div", {}, said, table);
}

function entryFacts(entry, words) {
  return [
    [words.say("kindLabel"), words.kind(entry.kind)],
    [words.say("issuer"), toBase64(entry.issuer)],
    [words.say("issuedAt"), words.moment(entry.issuedAt / 1000n)],
    [words.say("slots"), entry.keys.length],
    [words.say("references"), entry.references.map(String).join(", ") || "-"],
    [words.say("until"), entry.holdUntil === null ? "-" : isoDay(entry.holdUntil)],
    [words.say("leafHash"), toBase64(entry.leaf)],
  ];
}

function entry({ entry }, words) {
  return facts(entryFacts(entry, words));
}

function inclusion({ index, checkpoint }, words) {
  return facts([
    [words.say("index"), index],
    [words.say("size"), checkpoint.size],
  ]);
}

function state({ state, reason }, words) {
  return facts([
    [words.say("reason"), words.reason(reason)],
    [words.say("stateLabel"), words.say(state.isHeld ? "held" : "reserved")],
    [words.say("until"), isoDay(state.until)],
    [words.say("index"), state.by],
  ]);
}

function refused({ refused }, words) {
  return facts(entryFacts(refused, words));
}

/** The paths that were computed, drawn and as tables. */
export function pathElements({ shown }, words) {
  const { logPath, mapPath } = shown;
  const figures = [];
  if (logPath !== undefined) figures.push(figure("log", logPath, words.say("leaf"), words));
  if (mapPath !== undefined) figures.push(figure("map", mapPath, words.say("slot"), words));
  return figures;
}

function figure(name, path, leafName, words) {
  const isAlone = path.steps.length === 0;
  const table = element(
    "details",
    {},
    element("summary", {}, words.say("hashes")),
    tabulatePath(path, words),
  );
  return element(
    "section",
    { class: "card figure", "data-path": name },
    element("h2", {}, words.say(`${name}Heading`)),
    element("p", {}, words.say(isAlone && name === "log" ? "alone" : `${name}Lead`)),
    drawPath(path, leafName, words),
    isAlone ? null : table,
  );
}
