// Receipt files and their verification, step by step (docs/protocol.md, section 14).

import { deliveredOn, isTaken, readClaim, readSlotState } from "./attestation.js";
import { decimal, fromBase64, hashFromBase64, same, textOf, utf8 } from "./bytes.js";
import { dayOf, plusMonths } from "./calendar.js";
import { parseCheckpoint, verifyCheckpoint } from "./checkpoint.js";
import { parseEntry, verifyEntry } from "./entry.js";
import { Fault, require } from "./fault.js";
import { derive } from "./hash.js";
import { climbMap, parseMapProof } from "./map.js";
import { climb } from "./merkle.js";
import { reasonOf } from "./reasons.js";

const RECEIPT_BYTES_MAX = 256 * 1024;
const PATH_HASHES_MAX = 64;
/** By how much an issuer's clock may be ahead of the batch's. */
const CLOCK_SKEW_MS = 120_000n;
export const RECEIPT_TITLE = "vitrail receipt v1";
export const REFUSAL_TITLE = "vitrail refusal v1";

/** The steps of each kind of file, in their order. */
export const STEPS = {
  receipt: ["format", "checkpoint", "entry", "inclusion"],
  refusal: ["format", "checkpoint", "entry", "inclusion", "state", "refused"],
};

/** A fault with the step at which it was found. */
class StepFault extends Error {
  constructor(step, fault) {
    super(fault.code);
    this.step = step;
    this.fault = fault;
  }
}

/** Runs one step; what it throws names the step. */
function at(step, check) {
  try {
    return check();
  } catch (error) {
    throw error instanceof Fault ? new StepFault(step, error) : error;
  }
}

/**
 * Verifies the bytes of a receipt file under a roster: which steps passed, which one failed and why,
 * and what the file shows as far as it was read.
 */
export function verifyReceipt(bytes, roster) {
  const report = { kind: null, passed: [], failedStep: null, fault: null, shown: {} };
  try {
    const file = at("format", () => parseFile(bytes, report));
    report.passed.push("format");
    verifyFile(file, roster, report);
  } catch (error) {
    if (!(error instanceof StepFault)) throw error;
    Object.assign(report, { failedStep: error.step, fault: error.fault });
  }
  return { ...report, isValid: report.failedStep === null };
}

function verifyFile(file, roster, report) {
  const pass = (step, shown) => {
    report.passed.push(step);
    Object.assign(report.shown, shown);
  };
  const checkpoint = at("checkpoint", () => verifyCheckpoint(file.checkpoint, roster));
  pass("checkpoint", { checkpoint });
  const { entry, index, path } = file.proved;
  at("entry", () => verifyEntry(entry, checkpoint.origin));
  pass("entry", { entry, index });
  const { size, logRoot, mapRoot } = checkpoint;
  const logPath = at("inclusion", () => climb(entry.leaf, index, size, path));
  report.shown.logPath = { ...logPath, root: logRoot };
  at("inclusion", () => require(same(logPath.top, logRoot), "inclusion.root"));
  pass("inclusion");
  if (report.kind === "receipt") return;
  const claim = at("refused", () => readAsked(file));
  const mapPath = at("state", () => climbMap(file.state, derive("map slot", claim.slot)));
  report.shown.mapPath = { ...mapPath, root: mapRoot };
  at("state", () => require(same(mapPath.top, mapRoot), "map.root"));
  const state = at("state", () => verifyState(file, claim, mapPath.value));
  pass("state", { state, reason: file.reason });
  at("refused", () => verifyEntry(file.refused, checkpoint.origin));
  pass("refused", { refused: file.refused });
}

/** What the refused entry asked for: one of its slots. */
function readAsked({ refused, place }) {
  const claim = readClaim(refused);
  require(place < BigInt(claim.slots.length), "refused.not-asked");
  return { ...claim, slot: claim.slots[Number(place)] };
}

/** The state by which the holder has the slot, if that refuses the claim for the given reason. */
function verifyState(file, claim, value) {
  require(value !== null, "state.not-holder");
  const map = readSlotState(value);
  // The first day on which the refused entry can have been decided.
  const { issuedAt } = file.refused;
  const earliest = dayOf(issuedAt > CLOCK_SKEW_MS ? issuedAt - CLOCK_SKEW_MS : 0n);
  const holds = (state) => state.by === file.proved.index && isTaken(state, earliest);
  const state = [map, map.beneath].filter((state) => state !== null).find(holds);
  require(state !== undefined, "state.not-holder");
  require(isReason(file, claim, state, earliest), "state.not-holder");
  return state;
}

function isReason(file, { earlyMonths }, state, earliest) {
  switch (file.reason.code) {
    case "SLOT_RESERVED":
      return !state.isHeld;
    case "SLOT_HELD":
      return state.isHeld && earlyMonths === null;
    case "EARLY_RENEWAL_TOO_SOON": {
      if (!state.isHeld) return false;
      const opensOn = plusMonths(deliveredOn(file.proved.entry), earlyMonths ?? 0);
      return earlyMonths !== null && earliest < opensOn;
    }
    default:
      return false;
  }
}

/** Reads either kind of file in its one spelling. */
function parseFile(bytes, report) {
  require(bytes.length <= RECEIPT_BYTES_MAX, "format.too-long", { max: RECEIPT_BYTES_MAX });
  const text = textOf(bytes);
  require(text !== null, "format.utf8");
  const lines = new Lines(text);
  const title = lines.next();
  if (title === RECEIPT_TITLE) report.kind = "receipt";
  if (title === REFUSAL_TITLE) report.kind = "refusal";
  require(report.kind !== null, "format.title");
  const file = report.kind === "refusal" ? readRefusal(lines) : {};
  file.proved = readProved(lines, report.kind === "refusal" ? "holder" : "entry");
  file.checkpoint = at("checkpoint", () => parseCheckpoint(utf8(lines.rest)));
  return file;
}

function readRefusal(lines) {
  const reason = reasonOf(lines.field("reason"));
  require(reason !== undefined, "format.line", { line: lines.line });
  const refused = readEntry(lines, "refused", "refused");
  const place = lines.number("slot");
  const proof = lines.bytes("state");
  const state = at("state", () => parseMapProof(proof));
  return { reason, refused, place, state };
}

function readProved(lines, name) {
  const entry = readEntry(lines, name, "entry");
  const index = lines.number("index");
  const path = [];
  for (let line = lines.next(); line !== ""; line = lines.next()) {
    const isPath = line !== null && line.startsWith("path ") && path.length < PATH_HASHES_MAX;
    const hash = isPath ? hashFromBase64(line.slice("path ".length)) : null;
    require(hash !== null, "format.line", { line: lines.line });
    path.push(hash);
  }
  return { entry, index, path };
}

function readEntry(lines, name, step) {
  const bytes = lines.bytes(name);
  return at(step, () => parseEntry(bytes));
}

/** The lines of a file that are still to be read. */
class Lines {
  constructor(text) {
    this.rest = text;
    this.line = 0;
  }

  /** The next line that ends in a newline; `null` when there is none. */
  next() {
    this.line += 1;
    const end = this.rest.indexOf("\n");
    if (end < 0) return null;
    const line = this.rest.slice(0, end);
    this.rest = this.rest.slice(end + 1);
    return line;
  }

  field(name) {
    const line = this.next();
    const isNamed = line !== null && line.startsWith(`${name} `);
    require(isNamed, "format.line", { line: this.line });
    return line.slice(name.length + 1);
  }

  bytes(name) {
    return this.read(name, fromBase64);
  }

  number(name) {
    return this.read(name, decimal);
  }

  read(name, read) {
    const value = read(this.field(name));
    require(value !== null, "format.line", { line: this.line });
    return value;
  }
}
