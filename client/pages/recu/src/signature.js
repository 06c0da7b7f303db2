// Ed25519 (RFC 8032), checked strictly: the very set of keys and signatures that the nodes accept.
//
// The library's own check multiplies by the cofactor and lets an R of small order pass, so it
// accepts more. Here the equation holds without the cofactor, and no point is of small order.

import { ed25519, ristretto255, x25519 } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concat, same } from "./bytes.js";

const { Point } = ed25519;
const ORDER = Point.Fn.ORDER;
const PUBLIC_KEY_BYTES = 32;
const SIGNATURE_BYTES = 64;
/** Any scalar shows whether a point is of low order (RFC 7748, 6.1). */
const SOME_SCALAR = new Uint8Array(32).fill(1);
const FIELD = 2n ** 255n - 19n;

/** The canonical point of these bytes, `null` when they spell none or one of small order. */
function pointOf(bytes) {
  try {
    const point = Point.fromBytes(bytes, false);
    return point.isSmallOrder() ? null : point;
  } catch {
    return null;
  }
}

function littleEndian(bytes) {
  return bytes.reduceRight((number, byte) => number * 256n + BigInt(byte), 0n);
}

/** Whether the bytes are a public key that may be used. */
export function isPublicKey(bytes) {
  return bytes.length === PUBLIC_KEY_BYTES && pointOf(bytes) !== null;
}

/** Whether this key made this signature over this message. */
export function isSigned(publicKey, message, signature) {
  if (publicKey.length !== PUBLIC_KEY_BYTES || signature.length !== SIGNATURE_BYTES) return false;
  const [encodedR, encodedS] = [signature.subarray(0, 32), signature.subarray(32)];
  const [a, r, s] = [pointOf(publicKey), pointOf(encodedR), littleEndian(encodedS)];
  if (a === null || r === null || s >= ORDER) return false;
  const k = littleEndian(sha512(concat(encodedR, publicKey, message))) % ORDER;
  // S * B - k * A must be R, in the very bytes that were hashed.
  const expected = Point.BASE.multiplyUnsafe(s).subtract(a.multiplyUnsafe(k));
  return same(expected.toBytes(), encodedR);
}

/** Whether the bytes are an element of ristretto255 (RFC 9496, 4.3.1) and not the identity. */
export function isElement(bytes) {
  try {
    return !ristretto255.Point.fromBytes(bytes).equals(ristretto255.Point.ZERO);
  } catch {
    return false;
  }
}

/** Whether the bytes are a canonical X25519 key that is not of low order (RFC 7748). */
export function isIncidentKey(bytes) {
  if (bytes.length !== 32 || littleEndian(bytes) >= FIELD) return false;
  try {
    x25519.scalarMult(SOME_SCALAR, bytes);
    return true;
  } catch {
    return false;
  }
}
