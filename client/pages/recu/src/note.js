// Signed notes (C2SP signed-note), as the ledger has them: every line counts, an unknown one too.

import { sha256 } from "@noble/hashes/sha2.js";
import { concat, fromBase64, Reader, same, textOf, toHex, utf8 } from "./bytes.js";
import { require } from "./fault.js";
import { isSigned } from "./signature.js";

export const NOTE_BYTES_MAX = 64 * 1024;
export const SIGNATURES_MAX = 100;
const MEMBER_NAME = /^[a-z0-9.-]{1,64}$/;
// Unicode's category Cc, without the newline: it could hide what a screen shows.
const CONTROL = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f]/;
const LINE = /^\u2014 ([^ \n]*) ([^\n]*)$/;
const [KEY_ID_BYTES, TIME_BYTES, SIGNATURE_BYTES] = [4, 8, 64];

/** The two kinds of signature line, with their bytes of the C2SP registry. */
export const PLAIN = 0x01;
export const COSIGNATURE = 0x04;

export function isMemberName(text) {
  return MEMBER_NAME.test(text);
}

/** Reads a note: its text, and its signature lines, none of them checked. */
export function parseNote(bytes) {
  require(bytes.length <= NOTE_BYTES_MAX, "note.too-long", { max: NOTE_BYTES_MAX });
  const note = textOf(bytes);
  require(note !== null, "note.utf8");
  const blank = note.lastIndexOf("\n\n");
  require(blank >= 0, "note.unsigned");
  const text = note.slice(0, blank + 1);
  const lines = note.slice(blank + 2);
  require(lines.endsWith("\n"), "note.unsigned");
  require(!CONTROL.test(text), "note.control");
  const signatures = lines.slice(0, -1).split("\n").map(signatureLine);
  require(signatures.length <= SIGNATURES_MAX, "note.too-many", { max: SIGNATURES_MAX });
  const labels = new Set(signatures.map(({ name, keyId }) => `${name} ${toHex(keyId)}`));
  require(labels.size === signatures.length, "note.twice");
  return { text, signatures };
}

function signatureLine(line, place) {
  const [, name, base64] = LINE.exec(line) ?? [];
  const bytes = base64 === undefined ? null : fromBase64(base64);
  const isRead = bytes !== null && isMemberName(name);
  require(isRead, "note.line", { line: place + 1 });
  const plain = KEY_ID_BYTES + SIGNATURE_BYTES;
  const isSized = bytes.length === plain || bytes.length === plain + TIME_BYTES;
  require(isSized, "note.line", { line: place + 1 });
  const reader = new Reader(bytes, "note.line");
  const keyId = reader.take(KEY_ID_BYTES);
  const time = bytes.length === plain ? null : reader.u64();
  return { name, keyId, time, signature: reader.take(SIGNATURE_BYTES) };
}

/** Checks one line against the key of the member that it names. */
export function verifyLine(text, line, publicKey) {
  const type = line.time === null ? PLAIN : COSIGNATURE;
  const keyId = sha256(concat(utf8(`${line.name}\n`), Uint8Array.of(type), publicKey));
  const { name } = line;
  require(same(keyId.subarray(0, KEY_ID_BYTES), line.keyId), "signer.key-id", { name });
  const before = line.time === null ? "" : `cosignature/v1\ntime ${line.time}\n`;
  const isGood = isSigned(publicKey, utf8(before + text), line.signature);
  require(isGood, "signer.signature", { name });
}

/** Checks that a line is of this kind and of a member, and gives the member. */
export function signerOf(roster, text, line, type) {
  const member = roster.members.find(({ name }) => name === line.name);
  require(member !== undefined, "signer.unknown", { name: line.name });
  const isKind = (line.time === null) === (type === PLAIN);
  require(isKind, "signer.kind", { name: line.name });
  verifyLine(text, line, member.publicKey);
  return member;
}
