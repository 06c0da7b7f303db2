// The roster: who the members are, with which keys. It is what a verifier has to be given.

import { compare, decimal, fromBase64, hashFromBase64, toBase64, utf8 } from "./bytes.js";
import { isAddress } from "./address.js";
import { Fault, require } from "./fault.js";
import { derive } from "./hash.js";
import { isMemberName, parseNote, PLAIN, signerOf, SIGNATURES_MAX } from "./note.js";
import { isElement, isIncidentKey, isPublicKey } from "./signature.js";

const ROSTER_BYTES_MAX = 48 * 1024;
const MEMBERS_MAX = SIGNATURES_MAX;
const INCIDENT_KEYS_MAX = 16;
const TITLE = "vitrail roster v1";
const ORIGIN = /^[a-z0-9.\-/:]{1,128}$/;
const PAYER = /^[0-9]{2,10}$/;
const ROLES = ["amo", "amc", "federation"];
const STANDINGS = ["voting", "following"];

export function isOrigin(text) {
  return ORIGIN.test(text);
}

/** How many of `voting` members must cosign: any two quorums share an honest one. */
export function quorumOf(voting) {
  const faults = Math.floor(Math.max(voting - 1, 0) / 3);
  return Math.floor((voting + faults) / 2) + 1;
}

/**
 * Reads a signed roster. Of the first one all voting members' signatures are checked; who signed a
 * later one is the business of the log. Whether it is the roster that one means, its fingerprint
 * tells.
 */
export function readRoster(bytes) {
  const note = parseNote(bytes);
  const roster = parseRoster(note.text);
  if (roster.epoch === 0n) {
    const signers = note.signatures.map((line) => signerOf(roster, note.text, line, PLAIN));
    const [got, want] = [signers.filter(isVoting).length, roster.members.filter(isVoting).length];
    require(got >= want, "roster.unsigned", { got, want });
  }
  return roster;
}

export function isVoting(member) {
  return member.standing === "voting";
}

/** Reads the text of a roster in its one spelling, and checks its rules. */
export function parseRoster(text) {
  const bytes = utf8(text);
  require(bytes.length <= ROSTER_BYTES_MAX, "roster.too-long", { max: ROSTER_BYTES_MAX });
  require(text.endsWith("\n"), "roster.line", { line: 1 });
  const lines = new Lines(text.slice(0, -1).split("\n"));
  const roster = readLines(lines);
  checkMembers(roster.members);
  checkShares(roster);
  checkIncidentKeys(roster);
  require((roster.previous === null) === (roster.epoch === 0n), "roster.previous");
  const quorum = quorumOf(roster.members.filter(isVoting).length);
  return { ...roster, quorum, fingerprint: toBase64(derive("roster", bytes)) };
}

function readLines(lines) {
  lines.read(TITLE, (value) => value === "" || null, "");
  const roster = {
    origin: lines.read("origin", (value) => (isOrigin(value) ? value : null)),
    epoch: lines.read("epoch", decimal),
    previous: lines.read("previous", (value) => (value === "none" ? value : hashFromBase64(value))),
    threshold: lines.read("threshold", positive),
    personKey: lines.read("person-key", element),
    contractKey: lines.read("contract-key", element),
    members: [],
    shares: [],
    incidentKeys: [],
  };
  if (roster.previous === "none") roster.previous = null;
  if (lines.isNext("ceremony")) lines.read("ceremony", hashFromBase64);
  while (lines.isNext("member")) roster.members.push(lines.read("member", member));
  while (!lines.isEmpty() && !lines.isNext("incident")) {
    roster.shares.push(lines.read("share", share));
  }
  while (!lines.isEmpty()) roster.incidentKeys.push(lines.read("incident", incidentKey));
  return roster;
}

/** The lines that are still to be read. */
class Lines {
  constructor(lines) {
    this.lines = lines;
    this.at = 0;
  }

  isEmpty() {
    return this.at === this.lines.length;
  }

  isNext(name) {
    return !this.isEmpty() && this.lines[this.at].startsWith(`${name} `);
  }

  /** What `read` makes of the words behind the name; it gives `null` for words of another form. */
  read(name, read, separator = " ") {
    const line = this.at + 1;
    const start = name + separator;
    const isNamed = !this.isEmpty() && this.lines[this.at].startsWith(start);
    const value = isNamed ? read(this.lines[this.at].slice(start.length)) : null;
    require(value !== null, "roster.line", { line });
    this.at += 1;
    return value;
  }
}

function positive(word) {
  const number = decimal(word);
  return number !== null && number >= 1n && number <= 0xffffn ? Number(number) : null;
}

function element(word) {
  const bytes = fromBase64(word);
  return bytes !== null && isElement(bytes) ? bytes : null;
}

function member(text) {
  const words = text.split(" ");
  const [name, role, payer, standing, key, grpc, http] = words;
  const isShaped = words.length === 7 && isMemberName(name) && ROLES.includes(role);
  if (!isShaped || !STANDINGS.includes(standing)) return null;
  const publicKey = fromBase64(key);
  const isPayer = payer === "-" || PAYER.test(payer);
  const isReached = [grpc, http].every((address) => address === "-" || isAddress(address));
  if (!isPayer || !isReached || publicKey === null || !isPublicKey(publicKey)) return null;
  return { name, role, payer: payer === "-" ? null : payer, standing, publicKey };
}

function share(text) {
  const words = text.split(" ");
  const [name, index, person, contract] = words;
  if (words.length !== 4 || !isMemberName(name)) return null;
  const isShaped = positive(index) !== null && element(person) !== null;
  return isShaped && element(contract) !== null ? { name, index: positive(index) } : null;
}

function incidentKey(text) {
  const words = text.split(" ");
  const [name, key] = words;
  const bytes = words.length === 2 && isMemberName(name) ? fromBase64(key) : null;
  return bytes !== null && isIncidentKey(bytes) ? { name, key } : null;
}

function checkMembers(members) {
  require(members.length <= MEMBERS_MAX, "roster.rule");
  require(members.some(isVoting), "roster.rule");
  requireAscending(members.map(({ name }) => name), byBytes);
  requireDistinct(members.map(({ publicKey }) => toBase64(publicKey)));
  requireDistinct(members.map(({ payer }) => payer).filter((payer) => payer !== null));
  const areInsurers = members.every(({ role, payer }) => payer === null || role !== "federation");
  require(areInsurers, "roster.rule");
}

function checkShares({ members, shares, threshold }) {
  requireMembers(members, shares);
  requireDistinct(shares.map(({ name }) => name));
  requireAscending(shares.map(({ index }) => index), (a, b) => a - b);
  require(threshold <= shares.length, "roster.rule");
}

function checkIncidentKeys({ members, incidentKeys }) {
  require(incidentKeys.length <= INCIDENT_KEYS_MAX, "roster.rule");
  requireMembers(members, incidentKeys);
  requireAscending(incidentKeys.map(({ name }) => name), byBytes);
  requireDistinct(incidentKeys.map(({ key }) => key));
}

function requireMembers(members, holders) {
  const names = new Set(members.map(({ name }) => name));
  require(holders.every(({ name }) => names.has(name)), "roster.rule");
}

function requireDistinct(values) {
  require(new Set(values).size === values.length, "roster.rule");
}

/** Ascending order is part of the one spelling, and rules out that anything stands there twice. */
function requireAscending(values, order) {
  const isSorted = values.every((value, at) => at === 0 || order(values[at - 1], value) < 0);
  if (!isSorted) throw new Fault("roster.rule");
}

function byBytes(a, b) {
  return compare(utf8(a), utf8(b));
}
