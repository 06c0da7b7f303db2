// The bytes of an entry and its issuer's signature (docs/protocol.md, section 11).

import { concat, Reader, utf8 } from "./bytes.js";
import { require } from "./fault.js";
import { leafHash } from "./hash.js";
import { isPublicKey, isSigned } from "./signature.js";

const ENTRY_BYTES_MAX = 48 * 1024;
const STATEMENT_BYTES_MAX = ENTRY_BYTES_MAX - 512;
const ITEMS_MAX = 8;
const SIGNATURE_BYTES = 64;
const VERSION = 1;

/** Kinds by their number. */
export const KINDS = [
  null,
  "roster",
  "catalogue",
  "grant",
  "revocation",
  "coverage",
  "claim",
  "release",
  "erasure",
  "delivery",
  "settlement",
  "access",
];

/** Reads an entry; its signature is not checked yet. */
export function parseEntry(bytes) {
  require(bytes.length <= ENTRY_BYTES_MAX, "entry.too-long", { max: ENTRY_BYTES_MAX });
  const reader = new Reader(bytes, "entry.cut");
  require(reader.u8() === VERSION, "entry.version");
  const kind = KINDS[reader.u8()] ?? null;
  require(kind !== null, "entry.kind");
  const entry = { kind, issuer: reader.take(32), requestId: reader.take(16) };
  require(isPublicKey(entry.issuer), "entry.issuer");
  entry.issuedAt = reader.u64();
  require(isRequestId(entry.requestId, entry.issuedAt), "entry.request-id");
  entry.keys = items(reader, () => reader.take(32));
  entry.holdUntil = reader.u32() || null;
  entry.references = items(reader, () => reader.u64());
  const flag = reader.u8();
  require(flag <= 1, "entry.flag");
  entry.commitment = flag === 1 ? reader.take(32) : null;
  const length = reader.u16();
  require(length <= STATEMENT_BYTES_MAX, "entry.too-many", { max: STATEMENT_BYTES_MAX });
  entry.statement = reader.take(length);
  entry.signature = reader.take(SIGNATURE_BYTES);
  require(reader.rest.length === 0, "entry.trailing");
  return { ...entry, bytes, leaf: leafHash(bytes) };
}

function items(reader, read) {
  const count = reader.u8();
  require(count <= ITEMS_MAX, "entry.too-many", { max: ITEMS_MAX });
  return Array.from({ length: count }, read);
}

/** A version 7 UUID (RFC 9562, 5.7) of the moment at which the entry was issued. */
function isRequestId(id, issuedAt) {
  const isVersion7 = id[6] >> 4 === 7 && id[8] >> 6 === 2;
  const at = id.subarray(0, 6).reduce((number, byte) => number * 256n + BigInt(byte), 0n);
  return isVersion7 && at === issuedAt;
}

/** Checks that the issuer signed these bytes for this ledger, which they do not name themselves. */
export function verifyEntry(entry, origin) {
  const name = utf8(origin);
  const before = concat(utf8("vitrail entry v1\n"), Uint8Array.of(0, name.length), name);
  const signed = entry.bytes.subarray(0, entry.bytes.length - SIGNATURE_BYTES);
  require(isSigned(entry.issuer, concat(before, signed), entry.signature), "entry.signature");
}
