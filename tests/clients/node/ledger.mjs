// What the ledger is read and written by: roster, checkpoints, proofs, entries, sealed payloads
// (docs/protocol.md, sections 8 to 13). Whatever does not verify throws.

import { createCipheriv, createDecipheriv, createPublicKey, randomBytes, sign, verify } from "node:crypto";
import { EMPTY, Reader, concat, derive, leafHash, number, pairHash, same, sized, utf8 } from "./bytes.mjs";
import { sha256 } from "@noble/hashes/sha2.js";

const KEY_PREFIX = Buffer.from("302a300506032b6570032100", "hex");
const [FRESH_SECONDS, AHEAD_SECONDS] = [60, 120];
const require = (holds, what) => {
  if (!holds) throw new Error(what);
};

/** The public key object of 32 bytes (RFC 8410). */
export const publicKey = (bytes) =>
  createPublicKey({ key: concat(KEY_PREFIX, bytes), format: "der", type: "spki" });
/** The 32 bytes of a key in a certificate or key file; throws for any other kind of key. */
export function publicBytes(key) {
  const der = key.export({ type: "spki", format: "der" });
  require(der.length === 44 && same(der.subarray(0, 12), KEY_PREFIX), "not an Ed25519 key");
  return der.subarray(12);
}

/** Reads `roster.txt`, which is trusted as the operator handed it over. */
export function readRoster(text) {
  const lines = text.slice(0, text.indexOf("\n\n")).split("\n").map((line) => line.split(" "));
  const all = (word) => lines.filter(([first]) => first === word).map(([, ...fields]) => fields);
  const bytes = (base64) => Buffer.from(base64, "base64");
  const members = all("member").map(([name, role, payer, standing, key, grpc]) => {
    return { name, role, payer, isVoting: standing === "voting", key: bytes(key), grpc };
  });
  const shares = all("share").map(([member, index, person, contract]) => {
    return { member, index: Number(index), person: bytes(person), contract: bytes(contract) };
  });
  const voting = members.filter(({ isVoting }) => isVoting).length;
  const liars = Math.floor((voting - 1) / 3);
  return {
    origin: all("origin")[0][0],
    threshold: Number(all("threshold")[0][0]),
    joint: { person: bytes(all("person-key")[0][0]), contract: bytes(all("contract-key")[0][0]) },
    members,
    shares,
    quorum: Math.floor((voting + liars) / 2) + 1,
  };
}

/** A checkpoint for which a quorum of the roster vouches, at most a minute ago. */
export function readCheckpoint(note, roster) {
  const [text, signatures] = [note.slice(0, note.indexOf("\n\n") + 1), note.slice(note.indexOf("\n\n") + 2)];
  const [origin, size, logRoot, map] = text.split("\n");
  require(origin === roster.origin, "the checkpoint is of another ledger");
  const times = new Map();
  for (const line of signatures.trimEnd().split("\n")) {
    const [, name, base64] = line.split(" ");
    const reader = new Reader(Buffer.from(base64, "base64"));
    const [keyId, time, signature] = [reader.take(4), reader.number(8), reader.take(64)];
    const member = roster.members.find((it) => it.name === name);
    require(member !== undefined, "an unknown member cosigned");
    const expected = sha256(concat(utf8(`${name}\n`), [4], member.key)).subarray(0, 4);
    const signed = utf8(`cosignature/v1\ntime ${time}\n${text}`);
    const isGood = same(keyId, expected) && verify(null, signed, publicKey(member.key), signature);
    require(isGood, "a cosignature does not verify");
    if (member.isVoting) times.set(name, Number(time));
  }
  const latestFirst = [...times.values()].sort((a, b) => b - a);
  require(latestFirst.length >= roster.quorum, "too few members vouch for the checkpoint");
  const age = Date.now() / 1000 - latestFirst[roster.quorum - 1];
  require(age <= FRESH_SECONDS && age >= -AHEAD_SECONDS, "the checkpoint is not of now");
  return {
    note,
    size: BigInt(size),
    logRoot: Buffer.from(logRoot, "base64"),
    mapRoot: Buffer.from(map.slice("map ".length), "base64"),
  };
}

/** Checks that these bytes are the leaf at this place of the log (RFC 9162, 2.1.3.2). */
export function requireIncluded(entry, { index, hashes }, checkpoint) {
  let [at, last, hash] = [BigInt(index), checkpoint.size - 1n, leafHash(entry)];
  require(at <= last, "the entry is beyond the end of the log");
  for (const sibling of hashes) {
    require(last > 0n, "the audit path is too long");
    if (at % 2n === 1n || at === last) {
      hash = pairHash(sibling, hash);
      while (at % 2n === 0n && at !== 0n) [at, last] = [at >> 1n, last >> 1n];
    } else {
      hash = pairHash(hash, sibling);
    }
    [at, last] = [at >> 1n, last >> 1n];
  }
  require(last === 0n && same(hash, checkpoint.logRoot), "the entry is not in the log");
}

const bitsOf = (bytes) => [...bytes].flatMap((byte) => [7, 6, 5, 4, 3, 2, 1, 0].map((i) => (byte >> i) & 1));

/** What the map has under an index, by its proof: `null`, or tag, time and leaf index of the state. */
export function readState(proof, index, checkpoint) {
  const reader = new Reader(proof);
  const kind = reader.take(1)[0];
  require(kind <= 2, "a map proof of an unknown form");
  const value = kind === 1 ? reader.take(reader.take(1)[0]) : null;
  const other = kind === 2 ? { index: reader.take(32), valueHash: reader.take(32) } : null;
  const depth = Number(reader.number(2));
  const isWritten = bitsOf(reader.take(Math.ceil(depth / 8)));
  const bits = bitsOf(index);
  let hash = EMPTY;
  if (value !== null) hash = leafHash(concat(index, leafHash(value)));
  if (other !== null) {
    const isInTheWay = bitsOf(other.index).slice(0, depth).every((bit, i) => bit === bits[i]);
    require(isInTheWay && !same(other.index, index), "the map proof is of another place");
    hash = leafHash(concat(other.index, other.valueHash));
  }
  for (let i = 0; i < depth; i += 1) {
    const sibling = isWritten[i] ? reader.take(32) : EMPTY;
    hash = bits[depth - 1 - i] ? pairHash(sibling, hash) : pairHash(hash, sibling);
  }
  require(reader.rest.length === 0 && same(hash, checkpoint.mapRoot), "the map proof does not hold");
  if (value === null) return null;
  const state = new Reader(value);
  return { tag: Number(state.number(1)), time: state.number(8), by: state.number(8) };
}

/** An entry of a till, signed for this ledger (section 11). */
export function signEntry(origin, secret, { kind, keys, holdUntil, references, commitment }) {
  const issuedAt = Date.now();
  const requestId = concat(number(issuedAt, 6), randomBytes(10));
  requestId[6] = 0x70 | (requestId[6] & 0x0f);
  requestId[8] = 0x80 | (requestId[8] & 0x3f);
  const bytes = concat(
    [1, kind], publicBytes(createPublicKey(secret)), requestId, number(issuedAt, 8),
    [keys.length], ...keys, number(holdUntil, 4),
    [references.length], ...references.map((index) => number(index, 8)),
    [1], commitment, number(0, 2),
  );
  const signed = concat(utf8("vitrail entry v1\n"), sized(utf8(origin)), bytes);
  return concat(bytes, sign(null, signed, secret));
}

const NONCE = Buffer.alloc(12);
const AEAD = ["chacha20-poly1305", { authTagLength: 16 }];

/** Seals one text for each payer, under the sealing secret of its contract (section 13). */
export function seal(parts) {
  const salt = randomBytes(32);
  const sealed = parts.map(({ secret, text }) => {
    const key = derive("seal key", secret, salt);
    const length = [512, 1024, 2048].find((size) => size >= text.length + 2);
    const padded = concat(sized(text), Buffer.alloc(length - 2 - text.length));
    const cipher = createCipheriv(AEAD[0], key, NONCE, AEAD[1]);
    const box = concat(cipher.update(padded), cipher.final(), cipher.getAuthTag());
    return concat(derive("seal key check", key), box);
  });
  const commitment = derive("payload commitment", salt, ...sealed);
  return { payload: { parts: concat([sealed.length], ...sealed.map(sized)), salt }, commitment };
}

/** Opens the part of a payload that is for this contract; it must be what the entry committed to. */
export function open({ parts, salt }, commitment, secret) {
  const reader = new Reader(parts);
  const sealed = Array.from({ length: reader.take(1)[0] }, () => reader.take(Number(reader.number(2))));
  require(same(derive("payload commitment", salt, ...sealed), commitment), "not the committed payload");
  const key = derive("seal key", secret, salt);
  const own = sealed.find((part) => same(part.subarray(0, 32), derive("seal key check", key)));
  require(own !== undefined, "no part of the payload is for this contract");
  const cipher = createDecipheriv(AEAD[0], key, NONCE, AEAD[1]);
  cipher.setAuthTag(own.subarray(-16));
  const padded = new Reader(concat(cipher.update(own.subarray(32, -16)), cipher.final()));
  return padded.take(Number(padded.number(2)));
}

/** Issuer, references and commitment of a coverage that its issuer signed for this ledger. */
export function readCoverage(entry, origin) {
  const [bytes, signature] = [entry.subarray(0, -64), entry.subarray(-64)];
  const reader = new Reader(bytes);
  require(same(reader.take(2), [1, 5]), "not a coverage");
  const issuer = reader.take(32);
  const signed = concat(utf8("vitrail entry v1\n"), sized(utf8(origin)), bytes);
  require(verify(null, signed, publicKey(issuer), signature), "the coverage is not signed");
  reader.take(16 + 8 + 1);
  const [key, until] = [reader.take(32), Number(reader.number(4))];
  const catalogue = (reader.take(1), reader.number(8));
  require(reader.take(1)[0] === 1, "a coverage without terms");
  return { issuer, key, until, catalogue, commitment: reader.take(32) };
}
