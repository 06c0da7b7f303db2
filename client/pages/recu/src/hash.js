// BLAKE3 as the ledger uses it (docs/protocol.md, section 2).

import { blake3 } from "@noble/hashes/blake3.js";
import { concat, u64, utf8 } from "./bytes.js";

// The prefixes keep a leaf from passing for a pair (RFC 6962, 2.1).
const LEAF = Uint8Array.of(0);
const PAIR = Uint8Array.of(1);

/** The root of nothing. */
export const EMPTY = blake3(new Uint8Array(0));

export function leafHash(bytes) {
  return blake3(concat(LEAF, bytes));
}

export function pairHash(left, right) {
  return blake3(concat(PAIR, left, right));
}

/** BLAKE3 in its mode `derive_key`, each part behind its length. */
export function derive(context, ...parts) {
  const input = parts.flatMap((part) => [u64(part.length), part]);
  return blake3(concat(...input), { context: utf8(`vitrail 2026 v1 ${context}`) });
}
