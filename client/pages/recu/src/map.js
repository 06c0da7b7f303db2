// The map: what it holds under one index, shown by one path to its root (docs/protocol.md, 9).

import { concat, Reader, same } from "./bytes.js";
import { require } from "./fault.js";
import { EMPTY, leafHash, pairHash } from "./hash.js";

const VALUE_BYTES_MAX = 64;
const SIBLINGS_MAX = 256;
const [END_EMPTY, END_OWN, END_OTHER] = [0, 1, 2];

/** Reads a map proof in its one spelling. */
export function parseMapProof(bytes) {
  const reader = new Reader(bytes, "map.bytes");
  const end = readEnd(reader);
  const depth = reader.u16();
  require(depth <= SIBLINGS_MAX, "map.bytes");
  const bits = bitsOf(reader.take(Math.ceil(depth / 8)));
  require(bits.slice(depth).every((bit) => !bit), "map.bytes");
  const siblings = bits.slice(0, depth).map((isWritten) => (isWritten ? reader.take(32) : null));
  require(reader.rest.length === 0, "map.bytes");
  // An empty sibling is named by its bit alone.
  require(siblings.every((sibling) => sibling === null || !same(sibling, EMPTY)), "map.bytes");
  // Next to an empty branch the end would stand one level higher.
  require(siblings[0] !== null, "map.bytes");
  return { end, siblings: siblings.map((sibling) => sibling ?? EMPTY) };
}

function readEnd(reader) {
  const kind = reader.u8();
  if (kind === END_EMPTY) return { kind };
  if (kind === END_OTHER) return { kind, index: reader.take(32), valueHash: reader.take(32) };
  require(kind === END_OWN, "map.bytes");
  const length = reader.u8();
  require(length >= 1 && length <= VALUE_BYTES_MAX, "map.bytes");
  return { kind, value: reader.take(length) };
}

/** The bits of bytes, the highest first. */
function bitsOf(bytes) {
  return Array.from(bytes).flatMap((byte) => {
    return [7, 6, 5, 4, 3, 2, 1, 0].map((shift) => ((byte >> shift) & 1) === 1);
  });
}

/** What the proof has under an index, `null` for nothing, and its way up: the top must be the root. */
export function climbMap({ end, siblings }, index) {
  const bits = bitsOf(index);
  const leaf = endHash(end, index, bits, siblings.length);
  let hash = leaf;
  const steps = siblings.map((sibling, at) => {
    const isLeft = bits[siblings.length - 1 - at];
    hash = isLeft ? pairHash(sibling, hash) : pairHash(hash, sibling);
    return { sibling, isLeft, hash };
  });
  return { value: end.value ?? null, leaf, steps, top: hash };
}

function endHash(end, index, bits, depth) {
  if (end.kind === END_EMPTY) return EMPTY;
  if (end.kind === END_OWN) return leafHash(concat(index, leafHash(end.value)));
  require(!same(end.index, index), "map.present");
  // The other leaf is in the way only if both would stand at the same place.
  const others = bitsOf(end.index);
  require(bits.slice(0, depth).every((bit, at) => bit === others[at]), "map.elsewhere");
  return leafHash(concat(end.index, end.valueHash));
}
