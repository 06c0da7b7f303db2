// A till in JavaScript: asks what is covered, claims it, and asks again.
//
//   node claim.mjs FOLDER SCHEMA
//
// FOLDER has roster.txt, key.pem and certificate.pem of the till, and sale.json: the card and one
// frame. The receipt is written beside them; what came of it is printed as JSON.

import { createPrivateKey, randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Reader, concat, derive, number, same, sized, utf8 } from "./bytes.mjs";
import { open, readCheckpoint, readCoverage, readRoster, readState, requireIncluded, seal, signEntry } from "./ledger.mjs";
import { connect, services } from "./nodes.mjs";
import { blind, combine } from "./oprf.mjs";

const CLAIM = 6;
const HELD_DAYS = 60;
const DAY_MS = 86_400_000;
const STATES = new Map([[1, "reserved"], [2, "held"]]);

const [folder, schema] = process.argv.slice(2);
const file = (name) => readFileSync(join(folder, name));
const roster = readRoster(file("roster.txt").toString());
const own = { key: file("key.pem"), cert: file("certificate.pem") };
const sale = JSON.parse(file("sale.json"));
const { EvaluatorService, LedgerService, LogService } = services(schema);

/** Inputs of one kind of token, evaluated by as many nodes as it takes. */
async function evaluate(kind, inputs) {
  const blinds = inputs.map((fields) => blind(concat(...fields.map((field) => sized(utf8(field))))));
  const answers = [];
  for (const share of roster.shares) {
    if (answers.length === roster.threshold) break;
    const member = roster.members.find(({ name }) => name === share.member);
    const node = await connect(EvaluatorService, member, own).catch(() => null);
    if (node === null) continue; // Any other nodes will do.
    const request_id = concat(number(Date.now(), 6), randomBytes(10));
    request_id[6] = 0x70 | (request_id[6] & 0x0f);
    request_id[8] = 0x80 | (request_id[8] & 0x3f);
    const asked = { request_id, kind: `TOKEN_KIND_${kind.toUpperCase()}`, blinded: blinds.map((it) => it.sent) };
    const { evaluated, dleq_proof } = await node.call("Evaluate", asked);
    node.close();
    answers.push({ index: share.index, share: share[kind], evaluated, proof: dleq_proof });
  }
  if (answers.length < roster.threshold) throw new Error("too few nodes answer");
  return combine(blinds, answers, roster.joint[kind]).map((output) => derive(`${kind} token`, output));
}

/** The state of the slot and of each coverage, every one of them proved. */
async function lookup(ledger, slotKey, coverageKeys) {
  const answer = await ledger.call("Lookup", { slot_keys: [slotKey], coverage_keys: coverageKeys });
  const checkpoint = readCheckpoint(answer.checkpoint, roster);
  const proved = ({ map_proof, entry, payload }, index) => {
    const state = readState(map_proof, index, checkpoint);
    if (state === null) return null;
    if (String(state.by) !== entry.inclusion.index) throw new Error("the entry of another state");
    requireIncluded(entry.entry, entry.inclusion, checkpoint);
    return { ...state, entry: entry.entry, payload };
  };
  return {
    slot: proved(answer.slots[0], derive("map slot", slotKey)),
    coverages: answer.coverages.map((it, i) => proved(it, derive("map coverage", coverageKeys[i]))),
  };
}

/** What a coverage's terms pay at most. This example knows one form of terms; the agent knows all. */
function most(text) {
  const reader = new Reader(text);
  const version = reader.take(1)[0];
  const code = reader.take(3).toString();
  reader.take(4 + 4 + 3 * 2); // Days of the rights, months to the renewal.
  const rule = reader.take(1)[0];
  if (version !== 2 || code !== sale.grouped_code || rule !== 3) throw new Error("terms of another form");
  return reader.number(8);
}

// The card becomes pseudonyms, without any node having seen it.
const { nir, birth_date, birth_rank } = sale;
const contracts = sale.contracts.map(({ payer, member }) => {
  return ["vitrail v1 contract", payer, member, birth_date, birth_rank];
});
const [person] = await evaluate("person", [["vitrail v1 person", nir, birth_date, birth_rank]]);
const tokens = await evaluate("contract", contracts);
const slotKey = derive("slot key", person, utf8(sale.slot));
const coverageKeys = tokens.map((token) => derive("coverage key", token, utf8(sale.grouped_code)));

// The check.
const home = roster.members.find(({ isVoting }) => isVoting);
const ledger = await connect(LedgerService, home, own);
const before = await lookup(ledger, slotKey, coverageKeys);
let left = BigInt(sale.price_cents);
const lines = before.coverages.map((state, i) => {
  if (state === null) throw new Error("a payer does not cover this");
  const coverage = readCoverage(state.entry, roster.origin);
  const payer = roster.members.find(({ payer }) => payer === sale.contracts[i].payer);
  if (!same(coverage.issuer, payer.key) || !same(coverage.key, coverageKeys[i])) throw new Error("not the payer's");
  const secret = derive("sealing secret", tokens[i]);
  const paid = [left, most(open(state.payload, coverage.commitment, secret))].reduce((a, b) => (a < b ? a : b));
  left -= paid;
  return { secret, paid, by: state.by, isAmo: payer.role === "amo" };
});

// The claim: one sealed line for each payer. The individual code opens for the CNAM alone.
const log = await connect(LogService, home, own);
const named = await log.call("GetCatalogue", {});
const catalogue = readState(
  named.catalogue.map_proof,
  derive("map federation", utf8("catalogue")),
  readCheckpoint(named.checkpoint, roster),
);
const codeSalt = randomBytes(32);
const code = utf8(sale.lpp_code);
const commitmentToCode = derive("lpp code commitment", codeSalt, code);
const parts = lines.map(({ secret, paid, isAmo }) => {
  const opening = isAmo ? concat([1], code, codeSalt) : [0];
  const line = concat(
    utf8(sale.grouped_code), number(sale.price_cents, 8), number(paid, 8), commitmentToCode, opening,
  );
  return { secret, text: concat([1, 1], line) };
});
const { payload, commitment } = seal(parts);
const references = lines.map(({ by }) => by).sort((a, b) => (a < b ? -1 : 1));
const entry = signEntry(roster.origin, createPrivateKey(own.key), {
  kind: CLAIM,
  keys: [slotKey],
  holdUntil: Math.floor(Date.now() / DAY_MS) + HELD_DAYS,
  references: [catalogue.by, ...references],
  commitment,
});
const answer = await ledger.call("Append", { entry, payload });
if (answer.answer !== "receipt") throw new Error(`refused: ${answer.refusal.reason}`);
const { inclusion, checkpoint } = answer.receipt;
requireIncluded(entry, inclusion, readCheckpoint(checkpoint, roster));
const path = inclusion.hashes.map((hash) => `path ${hash.toString("base64")}\n`).join("");
const proof = `index ${inclusion.index}\n${path}\n${checkpoint}`;
writeFileSync(join(folder, "receipt.txt"), `vitrail receipt v1\nentry ${entry.toString("base64")}\n${proof}`);

// The slot is not free any more, and the proof says by whose leave.
const after = await lookup(ledger, slotKey, coverageKeys);
const nameOf = (state) => (state === null ? "free" : STATES.get(state.tag));
const told = {
  before: nameOf(before.slot),
  paid_cents: lines.map(({ paid }) => Number(paid)),
  left_cents: Number(left),
  claim: Number(inclusion.index),
  after: nameOf(after.slot),
  by: Number(after.slot?.by),
};
console.log(JSON.stringify(told));
[ledger, log].forEach((node) => node.close());
