// The receipt of an entry: its fingerprint as a code, and the file to take away.

import { element } from "./element.js";
import { say } from "./words.js";

/** How long the bytes of a download are kept for the browser. */
const KEPT_MS = 60_000;

/** What is shown of a fingerprint; `download` is told when the file is wanted. */
export function receiptElements(fingerprint, download) {
  const { origin, index, leaf, svg } = fingerprint;
  const row = (name, value, kind = "") => [
    element("dt", {}, say(name)),
    element("dd", { class: kind }, value),
  ];
  const code = element("img", {
    class: "code",
    src: `data:image/svg+xml,${encodeURIComponent(svg)}`,
    alt: say("receiptCode", { origin, index, leaf }),
    width: "168",
    height: "168",
  });
  const facts = element(
    "dl",
    { class: "facts" },
    row("receiptEntry", String(index)),
    row("receiptLedger", origin, "mono"),
    row("receiptLeaf", leaf, "mono"),
  );
  const lead = element("p", { class: "hint" }, say("receiptLead"));
  const words = element("div", {}, facts, downloadButton("download", download), lead);
  return [element("div", { class: "code-beside" }, code, words)];
}

/** A button that gives a file. */
export function downloadButton(key, download) {
  const button = element("button", { type: "button", class: "quiet download" }, say(key));
  button.addEventListener("click", download);
  return button;
}

/** Hands a text to the browser as a file. */
export function giveFile(name, text) {
  const address = URL.createObjectURL(new Blob([text], { type: "text/plain" }));
  const link = element("a", { href: address, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), KEPT_MS);
}
