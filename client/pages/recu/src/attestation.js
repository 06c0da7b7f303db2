// What an entry says, and what the map says of a slot (docs/protocol.md, section 11): as much of it
// as a proof of a refusal rests on.

import { compare, Reader } from "./bytes.js";
import { dayOf } from "./calendar.js";
import { require } from "./fault.js";

const EARLY_MONTHS = [0, 6, 12];
const [FIRST, CORRECTION, REPLACEMENT] = [1, 2, 3];
const [TAG_RESERVED, TAG_HELD] = [1, 2];
const DAY_LIMIT = 2n ** 32n;

/** What a claim asks for; throws when the entry is none. */
export function readClaim(entry) {
  require(entry.kind === "claim", "refused.not-asked");
  const [, ...coverages] = entry.references;
  const months = entry.statement.length === 0 ? null : entry.statement[0];
  const isEarly = months === null || EARLY_MONTHS.includes(months);
  require(isEarly && entry.statement.length <= 1, "refused.shape");
  require(coverages.length > 0 && isAscending(coverages, byNumber), "refused.shape");
  require(hasSlots(entry) && entry.holdUntil !== null, "refused.shape");
  require(entry.commitment !== null, "refused.shape");
  return { slots: entry.keys, earlyMonths: months };
}

/** The day on which a delivery's renewal clock begins; throws when the entry is none. */
export function deliveredOn(entry) {
  require(entry.kind === "delivery" && hasSlots(entry), "state.not-holder");
  require(entry.commitment !== null, "state.not-holder");
  const [handover, ...rest] = entry.statement;
  const isCorrection = handover === CORRECTION;
  const isKnown = [FIRST, CORRECTION, REPLACEMENT].includes(handover);
  require(isKnown && rest.length === (isCorrection ? 4 : 0), "state.not-holder");
  require(entry.references.length === (handover === FIRST ? 1 : 2), "state.not-holder");
  require((entry.holdUntil === null) === (handover === REPLACEMENT), "state.not-holder");
  if (!isCorrection) return dayOf(entry.issuedAt);
  return new Reader(entry.statement.subarray(1), "state.not-holder").u32();
}

/** The state of a slot; throws when the bytes are of no slot. */
export function readSlotState(bytes) {
  const reader = new Reader(bytes, "state.not-holder");
  const tag = reader.u8();
  require(tag === TAG_RESERVED || tag === TAG_HELD, "state.not-holder");
  const state = { isHeld: tag === TAG_HELD, ...readTerm(reader), beneath: null };
  if (reader.rest.length === 0) return state;
  state.beneath = { isHeld: true, ...readTerm(reader), beneath: null };
  require(reader.rest.length === 0, "state.not-holder");
  return state;
}

function readTerm(reader) {
  const [until, by] = [reader.u64(), reader.u64()];
  require(until < DAY_LIMIT, "state.not-holder");
  return { until: Number(until), by };
}

/** Whether a claim on this day finds the slot taken, by the state or by the hold beneath it. */
export function isTaken(state, today) {
  return today <= state.until || (state.beneath !== null && today <= state.beneath.until);
}

function hasSlots(entry) {
  return entry.keys.length > 0 && isAscending(entry.keys, compare);
}

/** Ascending order gives one spelling, and rules out that anything is named twice. */
function isAscending(values, order) {
  return values.every((value, at) => at === 0 || order(values[at - 1], value) < 0);
}

function byNumber(a, b) {
  return a < b ? -1 : Number(a > b);
}
