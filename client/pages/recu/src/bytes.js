// Bytes and their spellings. Each spelling here is the only one: what does not spell back to the
// same characters is refused.

import { require } from "./fault.js";

const BASE64 = /^[A-Za-z0-9+/]*={0,2}$/;
const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const DECIMAL = /^(0|[1-9][0-9]*)$/;

/** The largest number of 8 bytes. */
export const U64_MAX = 2n ** 64n - 1n;

/** The bytes of a text. */
export function utf8(text) {
  return new TextEncoder().encode(text);
}

/** The text of bytes; `null` unless they are UTF-8. A byte order mark is a character like others. */
export function textOf(bytes) {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return null;
  }
}

/** One array after another. */
export function concat(...arrays) {
  const joined = new Uint8Array(arrays.reduce((length, array) => length + array.length, 0));
  let at = 0;
  for (const array of arrays) {
    joined.set(array, at);
    at += array.length;
  }
  return joined;
}

/** Whether two arrays hold the same bytes. Nothing here is secret. */
export function same(a, b) {
  return a.length === b.length && a.every((byte, at) => byte === b[at]);
}

/** The order of bytes, as the ledger sorts keys: negative, zero or positive. */
export function compare(a, b) {
  for (let at = 0; at < Math.min(a.length, b.length); at += 1) {
    if (a[at] !== b[at]) return a[at] - b[at];
  }
  return a.length - b.length;
}

/** Padded base64 (RFC 4648, section 4). */
export function toBase64(bytes) {
  let text = "";
  for (let at = 0; at < bytes.length; at += 3) {
    const [a, b = 0, c = 0] = bytes.subarray(at, at + 3);
    const word = (a << 16) | (b << 8) | c;
    const digits = [18, 12, 6, 0].map((shift) => ALPHABET[(word >> shift) & 63]);
    const wanted = Math.min(bytes.length - at, 3) + 1;
    text += digits.slice(0, wanted).join("").padEnd(4, "=");
  }
  return text;
}

/** The bytes of padded base64; `null` for another spelling, unused bits that are set included. */
export function fromBase64(text) {
  if (text.length % 4 !== 0 || !BASE64.test(text)) return null;
  const digits = text.replace(/=+$/, "");
  const bytes = new Uint8Array(Math.floor((digits.length * 3) / 4));
  let [word, bits, at] = [0, 0, 0];
  for (const digit of digits) {
    word = ((word << 6) | ALPHABET.indexOf(digit)) & 0xffff;
    bits += 6;
    if (bits >= 8) {
      bits -= 8;
      bytes[at] = (word >> bits) & 0xff;
      at += 1;
    }
  }
  return toBase64(bytes) === text ? bytes : null;
}

/** The 32 bytes of padded base64, or `null`. */
export function hashFromBase64(text) {
  const bytes = fromBase64(text);
  return bytes !== null && bytes.length === 32 ? bytes : null;
}

/** Lower-case hexadecimal digits. */
export function toHex(bytes) {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

/** A number of at most 8 bytes in its one decimal spelling; `null` for any other text. */
export function decimal(text) {
  if (!DECIMAL.test(text) || text.length > 20) return null;
  const number = BigInt(text);
  return number <= U64_MAX ? number : null;
}

/** A number as 8 bytes, big-endian. */
export function u64(number) {
  const bytes = new Uint8Array(8);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(number));
  return bytes;
}

/** Reads fields of fixed width, one after the other. */
export class Reader {
  /** `cut` is the fault of bytes that end inside a field. */
  constructor(bytes, cut) {
    this.rest = bytes;
    this.cut = cut;
  }

  take(length) {
    require(this.rest.length >= length, this.cut);
    const taken = this.rest.subarray(0, length);
    this.rest = this.rest.subarray(length);
    return taken;
  }

  u8() {
    return this.take(1)[0];
  }

  u16() {
    const [high, low] = this.take(2);
    return high * 256 + low;
  }

  u32() {
    return Number(this.big(4));
  }

  u64() {
    return this.big(8);
  }

  big(length) {
    return this.take(length).reduce((number, byte) => number * 256n + BigInt(byte), 0n);
  }
}
