// The way from a leaf to a root, drawn: a spine of what is computed, with the given hashes beside it.

import { same, toBase64 } from "./bytes.js";
import { element, shape } from "./element.js";
import { EMPTY } from "./hash.js";

const WIDTH = 640;
const SPINE = WIDTH / 2;
const ASIDE = 200;
const [BOX_WIDTH, BOX_HEIGHT] = [148, 34];
const LEVEL = 74;
const MARGIN = 30;
const SHORT = 10;

function short(hash) {
  return `${toBase64(hash).slice(0, SHORT)}\u2026`;
}

/**
 * Draws a path `{ leaf, steps, top, root }`. `leafName` is what stands at its lower end.
 */
export function drawPath(path, leafName, words) {
  const isRight = same(path.top, path.root);
  const extra = isRight ? 0 : LEVEL;
  const height = 2 * MARGIN + path.steps.length * LEVEL + BOX_HEIGHT + extra + 16;
  const bottom = height - MARGIN - BOX_HEIGHT / 2 - 16;
  const levels = path.steps.map((step, at) => level(step, bottom - at * LEVEL, words));
  const topY = bottom - path.steps.length * LEVEL;
  const sentence = words.say("drawn", {
    levels: path.steps.length,
    leaf: short(path.leaf),
    root: short(path.top),
  });
  return shape(
    "svg",
    { class: "path", viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": sentence },
    levels.map(({ lines }) => lines).flat(),
    box(SPINE, bottom, short(path.leaf), path.steps.length === 0 ? "top" : "leaf"),
    caption(SPINE, bottom + BOX_HEIGHT / 2 + 17, leafName),
    levels.map(({ boxes }) => boxes).flat(),
    crown(path, topY, isRight, words),
  );
}

/** One step: two lines that meet above, the sibling beside the spine, what they make together. */
function level({ sibling, isLeft, hash }, y, words) {
  const x = isLeft ? SPINE - ASIDE : SPINE + ASIDE;
  const isEmpty = same(sibling, EMPTY);
  const name = isEmpty ? words.say("empty") : short(sibling);
  const [from, to, joint] = [y - BOX_HEIGHT / 2, y - LEVEL + BOX_HEIGHT / 2, y - LEVEL / 2];
  const lines = [
    shape("path", { class: "spine", d: `M${SPINE} ${from}V${to}` }),
    shape("path", { class: "aside", d: `M${x} ${from}V${joint}H${SPINE}` }),
  ];
  const boxes = [
    box(x, y, name, isEmpty ? "empty" : "given"),
    box(SPINE, y - LEVEL, short(hash), "computed"),
  ];
  return { lines, boxes };
}

/** The top: the root that was signed, or, if another one was computed, both of them. */
function crown(path, y, isRight, words) {
  const above = y - BOX_HEIGHT / 2 - 9;
  if (isRight) {
    return [box(SPINE, y, short(path.top), "top"), caption(SPINE, above, words.say("signedRoot"))];
  }
  const signedY = y - LEVEL;
  return [
    box(SPINE, y, short(path.top), "wrong"),
    caption(SPINE + (3 * ASIDE) / 4, y + 4, words.say("computedRoot")),
    shape("path", { class: "torn", d: `M${SPINE} ${y - BOX_HEIGHT / 2}V${signedY + BOX_HEIGHT / 2}` }),
    box(SPINE, signedY, short(path.root), "given"),
    caption(SPINE, signedY - BOX_HEIGHT / 2 - 9, words.say("signedRoot")),
  ];
}

function box(x, y, text, kind) {
  const [left, top] = [x - BOX_WIDTH / 2, y - BOX_HEIGHT / 2];
  return shape(
    "g",
    { class: `box ${kind}` },
    shape("rect", { x: left, y: top, width: BOX_WIDTH, height: BOX_HEIGHT, rx: 8 }),
    shape("text", { x, y: y + 4.5 }, text),
  );
}

function caption(x, y, text) {
  return shape("text", { class: "caption", x, y }, text);
}

/** The same path as a table, with every hash whole. */
export function tabulatePath(path, words) {
  const heads = ["level", "side", "sibling", "together"].map((key) => {
    return element("th", { scope: "col" }, words.say(key));
  });
  const rows = path.steps.map((step, at) => {
    return element(
      "tr",
      {},
      element("td", {}, String(at + 1)),
      element("td", {}, words.say(step.isLeft ? "left" : "right")),
      element("td", { class: "hash" }, toBase64(step.sibling)),
      element("td", { class: "hash" }, toBase64(step.hash)),
    );
  });
  return element(
    "div",
    { class: "wide", tabindex: "0", role: "group", "aria-label": words.say("hashes") },
    element(
      "table",
      {},
      element("thead", {}, element("tr", {}, heads)),
      element("tbody", {}, rows),
    ),
  );
}
