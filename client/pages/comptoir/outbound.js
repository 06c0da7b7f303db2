// The panel of what left the shop: each message with its bytes, and a search in them for the card.

import { element } from "./element.js";
import { say, sayMethod } from "./words.js";

const ROW_BYTES = 16;
/** Shorter values stand in any bytes by chance. */
const SEARCHED_CHARACTERS_MIN = 4;

/** The messages of an answer, and whether a value of the card stands in any of them. */
export function readOutbound({ messages, forgotten, simulated }, cardValues) {
  const read = messages.map(({ bytes, ...rest }) => {
    return { ...rest, bytes: Uint8Array.from(atob(bytes), (byte) => byte.charCodeAt(0)) };
  });
  const searched = cardValues.filter((value) => value.length >= SEARCHED_CHARACTERS_MIN);
  const found = searched.some((value) => read.some(({ bytes }) => textOf(bytes).includes(value)));
  return { messages: read, forgotten, simulated, searched: searched.length, found };
}

function textOf(bytes) {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join("");
}

export function outboundSummary(left) {
  if (left === null || left.messages.length === 0) return say("outboundHeading");
  const size = left.messages.reduce((sum, message) => sum + message.size, 0);
  return say("outboundSummary", { count: left.messages.length, size });
}

export function outboundElements(left) {
  if (left === null) return [element("p", { class: "hint" }, say("outboundNothing"))];
  if (left.simulated) return [element("p", { class: "hint" }, say("outboundSimulated"))];
  const lead = element("p", { class: "hint" }, say("outboundLead"));
  const searched = element(
    "p",
    { class: left.found ? "notice bad" : "notice good", id: "searched" },
    say(left.found ? "outboundFound" : "outboundAbsent", { count: left.searched }),
  );
  const list = element("ol", { class: "messages" }, left.messages.map(messageElement));
  const lost = left.forgotten > 0 ? say("outboundForgotten", { count: left.forgotten }) : "";
  return [lead, left.searched > 0 ? searched : "", list, lost];
}

function messageElement(message) {
  const { number, member, method, size, bytes } = message;
  const title = element(
    "summary",
    {},
    element("span", { class: "mono" }, method.split("/").at(-1)),
    ` ${sayMethod(method)} `,
    element("span", { class: "hint" }, say("outboundTo", { member, size })),
  );
  const label = say("outboundBytes", { number });
  const dump = element("pre", { tabindex: "0", role: "group", "aria-label": label }, dumpOf(bytes));
  return element("li", {}, element("details", {}, title, dump));
}

/** Rows of offset, bytes in hexadecimal, and what of them can be read. */
function dumpOf(bytes) {
  const rows = [];
  for (let at = 0; at < bytes.length; at += ROW_BYTES) {
    const row = Array.from(bytes.subarray(at, at + ROW_BYTES));
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte > 32 && byte < 127 ? String.fromCharCode(byte) : "·"));
    const offset = at.toString(16).padStart(4, "0");
    rows.push(`${offset}  ${hex.padEnd(ROW_BYTES * 3)} ${text.join("")}`);
  }
  return rows.join("\n");
}
