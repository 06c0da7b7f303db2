// Elements of the page. Text is always text here: nothing of a file is ever read as markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes and children; a string is a text, `null` is left out. */
export function element(name, attributes = {}, ...children) {
  return fill(document.createElement(name), attributes, children);
}

/** The same in a drawing. */
export function shape(name, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, name), attributes, children);
}

function fill(made, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children.flat().filter((child) => child !== null));
  return made;
}

const SIGNS = {
  passed: "M5 12.5l4.5 4.5L19 7.5",
  failed: "M7 7l10 10M17 7L7 17",
  skipped: "M7 12h10",
  waiting: "M7 12h10",
  unjudged: "M12 7v6M12 16.4v.1",
};

/** A tick, a cross or a dash in a disc; what it means is said beside it in words. */
export function sign(state) {
  return shape(
    "svg",
    { class: `sign ${state}`, viewBox: "0 0 24 24", "aria-hidden": "true", focusable: "false" },
    shape("circle", { cx: 12, cy: 12, r: 12 }),
    shape("path", { d: SIGNS[state] }),
  );
}
