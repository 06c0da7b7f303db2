// The oblivious evaluation of an identity (docs/protocol.md, section 5): RFC 9497, mode VOPRF,
// ristretto255-SHA512, under a key of which each node has a share. No node sees the identity.

import { randomBytes } from "node:crypto";
import { ristretto255, ristretto255_hasher } from "@noble/curves/ed25519.js";
import { sha512 } from "@noble/hashes/sha2.js";
import { concat, number, sized, utf8 } from "./bytes.mjs";

const { Point } = ristretto255;
const { Fn } = Point;
const CONTEXT = concat(utf8("OPRFV1-"), [1], utf8("-ristretto255-SHA512"));
const tag = (name) => concat(utf8(name), CONTEXT);

const hashToScalar = (bytes) => ristretto255_hasher.hashToScalar(bytes, { DST: tag("HashToScalar-") });
const littleEndian = (bytes) => BigInt(`0x${Buffer.from(bytes).reverse().toString("hex")}`);

/** An element of 32 bytes, never the identity. */
function element(bytes) {
  const point = Point.fromBytes(Uint8Array.from(bytes));
  if (point.equals(Point.ZERO)) throw new Error("an element must not be the identity");
  return point;
}

/** Hides an input behind a random factor: what is sent, and what to keep until the answers come. */
export function blind(input) {
  const factor = littleEndian(randomBytes(64)) % Fn.ORDER;
  const hashed = ristretto255_hasher.hashToCurve(input, { DST: tag("HashToGroup-") });
  return { input, factor, sent: Buffer.from(hashed.multiply(factor).toBytes()) };
}

/** Whether one node multiplied every element by the share that the roster publishes for it. */
function isProved(share, blinded, evaluated, proof) {
  const [c, s] = [littleEndian(proof.subarray(0, 32)), littleEndian(proof.subarray(32))];
  if (c >= Fn.ORDER || s >= Fn.ORDER) return false;
  const seed = sha512(concat(sized(share), sized(tag("Seed-"))));
  let [m, z] = [Point.ZERO, Point.ZERO];
  blinded.forEach((sent, i) => {
    const weight = hashToScalar(
      concat(sized(seed), number(i, 2), sized(sent), sized(evaluated[i]), utf8("Composite")),
    );
    m = m.add(element(sent).multiply(weight));
    z = z.add(element(evaluated[i]).multiply(weight));
  });
  const t2 = Point.BASE.multiply(s).add(element(share).multiply(c));
  const t3 = m.multiply(s).add(z.multiply(c));
  const points = [m, z, t2, t3].map((point) => sized(point.toBytes()));
  return c === hashToScalar(concat(sized(share), ...points, utf8("Challenge")));
}

/** By how much the value at x of `x` counts in the value at 0, when these are all there are. */
function weightAtZero(x, all) {
  const others = all.filter((other) => other !== x).map(BigInt);
  return others.reduce((weight, other) => {
    return Fn.mul(weight, Fn.mul(other, Fn.inv(Fn.create(other - BigInt(x)))));
  }, 1n);
}

/** The sum of what several shares gave, each with its weight: what the joint key gives. */
function atZero(indexes, points) {
  return points
    .map((point, i) => point.multiply(weightAtZero(indexes[i], indexes)))
    .reduce((sum, point) => sum.add(point));
}

/**
 * The outputs for all inputs, from as many answers as the threshold says. An answer is
 * `{ index, share, evaluated, proof }`; `share` and `jointKey` are the roster's, never the node's.
 */
export function combine(blinds, answers, jointKey) {
  const sent = blinds.map((it) => it.sent);
  for (const { index, share, evaluated, proof } of answers) {
    const isWhole = evaluated.length === sent.length;
    if (!isWhole || !isProved(share, sent, evaluated, proof)) throw new Error(`share ${index} cheats`);
  }
  const indexes = answers.map(({ index }) => index);
  const joint = atZero(indexes, answers.map(({ share }) => element(share)));
  if (!joint.equals(element(jointKey))) throw new Error("the shares do not make the joint key");
  return blinds.map(({ input, factor }, i) => {
    const combined = atZero(indexes, answers.map(({ evaluated }) => element(evaluated[i])));
    const unblinded = combined.multiply(Fn.inv(factor)).toBytes();
    return Buffer.from(sha512(concat(sized(input), sized(unblinded), utf8("Finalize"))));
  });
}
