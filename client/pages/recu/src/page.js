// The page: what was given, and what is shown of it. Nothing is sent, and nothing is kept.

import { textOf } from "./bytes.js";
import { Fault } from "./fault.js";
import { pathElements, stepElements, verdictElement, verdictOf } from "./report.js";
import { RECEIPT_TITLE, REFUSAL_TITLE, verifyReceipt } from "./receipt.js";
import { readRoster } from "./roster.js";
import { wordsOf } from "./words.js";

/** One byte more than any file may have: enough to see that it is too long. */
const READ_BYTES_MAX = 256 * 1024 + 1;
const TITLE_BYTES = 32;
const ROSTER_TITLE = "vitrail roster v1";

/** Starts the page in a document. */
export function startPage(document) {
  const isEnglish = new URLSearchParams(document.location.search).get("lang") === "en";
  const page = new Page(document, isEnglish ? "en" : "fr");
  page.listen();
  page.show();
}

class Page {
  constructor(document, language) {
    this.document = document;
    this.language = language;
    this.receipt = null;
    this.roster = null;
    this.rosterFault = null;
    this.report = null;
    this.expected = "";
    this.names = { receipt: null, roster: null };
  }

  find(id) {
    return this.document.getElementById(id);
  }

  listen() {
    for (const what of ["receipt", "roster"]) {
      const input = this.find(what);
      input.addEventListener("change", () => this.take(input.files, what));
    }
    this.find("expected").addEventListener("input", (event) => {
      this.expected = event.target.value.trim();
      this.show();
    });
    this.find("language").addEventListener("click", () => {
      this.language = this.language === "fr" ? "en" : "fr";
      this.show();
    });
    this.listenForDrops();
  }

  listenForDrops() {
    const mark = (isOver) => this.document.body.classList.toggle("dropping", isOver);
    this.document.addEventListener("dragover", (event) => {
      event.preventDefault();
      mark(true);
    });
    this.document.addEventListener("dragleave", (event) => {
      if (event.relatedTarget === null) mark(false);
    });
    this.document.addEventListener("drop", (event) => {
      event.preventDefault();
      mark(false);
      this.take(event.dataTransfer.files, null);
    });
  }

  /** Takes files as what they were given for; dropped ones as what their first line says. */
  async take(files, what) {
    for (const file of files) {
      const bytes = new Uint8Array(await file.slice(0, READ_BYTES_MAX).arrayBuffer());
      const taken = what ?? kindOf(bytes);
      this.names[taken] = file.name;
      if (taken === "roster") this.takeRoster(bytes);
      else this.receipt = bytes;
    }
    this.show();
  }

  takeRoster(bytes) {
    [this.roster, this.rosterFault] = [null, null];
    try {
      this.roster = readRoster(bytes);
    } catch (error) {
      if (!(error instanceof Fault)) throw error;
      this.rosterFault = error;
    }
  }

  /** Judges what is there and shows it. A fault of the page itself is never shown as a verdict. */
  show() {
    const words = wordsOf(this.language);
    this.showWords(words);
    this.showGiven(words);
    try {
      const isReady = this.receipt !== null && this.roster !== null;
      this.report = isReady ? verifyReceipt(this.receipt, this.roster) : null;
      this.showReport(words);
    } catch (error) {
      const broken = { state: "failed", says: words.say("broken"), more: "" };
      this.find("verdict").replaceChildren(verdictElement(broken));
      this.find("steps").replaceChildren();
      this.find("paths").replaceChildren();
      throw error;
    }
  }

  showWords(words) {
    this.document.documentElement.lang = this.language;
    this.document.title = words.say("title");
    for (const element of this.document.querySelectorAll("[data-say]")) {
      element.textContent = words.say(element.dataset.say);
    }
    this.find("language").lang = this.language === "fr" ? "en" : "fr";
  }

  showGiven(words) {
    for (const what of ["receipt", "roster"]) {
      const [name, output] = [this.names[what], this.find(`${what}-name`)];
      output.textContent = name ?? words.say("noFile");
      output.classList.toggle("chosen", name !== null);
    }
    const { roster } = this;
    this.find("trust").hidden = roster === null;
    if (roster === null) return;
    const voting = roster.members.filter(({ standing }) => standing === "voting").length;
    this.find("fingerprint").textContent = roster.fingerprint;
    this.find("brief").textContent = words.say("rosterBrief", { ...roster, voting });
  }

  showReport(words) {
    const { report } = this;
    this.find("verdict").replaceChildren(verdictElement(verdictOf(this, words)));
    this.find("steps").replaceChildren(...stepElements(this, words));
    this.find("paths").replaceChildren(...(report === null ? [] : pathElements(report, words)));
  }
}

/** What a dropped file is, by its first line; what cannot be told is judged as a receipt. */
function kindOf(bytes) {
  const start = textOf(bytes.subarray(0, TITLE_BYTES)) ?? "";
  const isReceipt = [RECEIPT_TITLE, REFUSAL_TITLE].some((title) => start.startsWith(title));
  return !isReceipt && start.startsWith(ROSTER_TITLE) ? "roster" : "receipt";
}
