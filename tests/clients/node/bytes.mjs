// Bytes and hashes (docs/protocol.md, sections 1 and 2).

import { blake3 } from "@noble/hashes/blake3.js";

export const utf8 = (text) => Buffer.from(text, "utf8");
export const concat = (...parts) => Buffer.concat(parts.map((part) => Buffer.from(part)));
export const same = (a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0;

/** An unsigned number of this many bytes, big-endian. */
export function number(value, bytes) {
  return Buffer.from(BigInt(value).toString(16).padStart(2 * bytes, "0"), "hex");
}

/** Bytes behind their length of two bytes. */
export const sized = (bytes) => concat(number(bytes.length, 2), bytes);

/** BLAKE3 in its mode `derive_key`, each part behind its length. */
export function derive(context, ...parts) {
  const input = parts.flatMap((part) => [number(part.length, 8), part]);
  return Buffer.from(blake3(concat(...input), { context: utf8(`vitrail 2026 v1 ${context}`) }));
}

export const leafHash = (bytes) => Buffer.from(blake3(concat([0], bytes)));
export const pairHash = (left, right) => Buffer.from(blake3(concat([1], left, right)));
export const EMPTY = Buffer.from(blake3(new Uint8Array(0)));

/** Takes fields off the front of bytes. */
export class Reader {
  constructor(bytes) {
    this.rest = Buffer.from(bytes);
  }

  take(length) {
    if (this.rest.length < length) throw new Error("the bytes end inside a field");
    const taken = this.rest.subarray(0, length);
    this.rest = this.rest.subarray(length);
    return taken;
  }

  number(length) {
    return BigInt(`0x${this.take(length).toString("hex")}`);
  }
}
