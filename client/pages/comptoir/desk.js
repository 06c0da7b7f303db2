// The counter: one sale at a time, from the card to the receipt. What a card says is in the form alone,
// and goes from there with the customer.

import { Agent } from "./agent.js";
import { midnight } from "./amounts.js";
import { forgetPending, isUnknown, keepPending, newRequest, pending, write } from "./claiming.js";
import { element } from "./element.js";
import { entriesElements } from "./entries.js";
import { Form } from "./form.js";
import { outboundElements, outboundSummary, readOutbound } from "./outbound.js";
import { sayProblem } from "./problems.js";
import { checkElements, isAllRefused, reasonSentences, verdictElement } from "./quote.js";
import { downloadButton, giveFile, receiptElements } from "./receipt.js";
import { standingElements, waitingElements, waitingNames } from "./standing.js";
import { language, say, speak } from "./words.js";

const TOKEN = "vitrail-token";
/** 256 bits in base64url. */
const TOKEN_FORM = /^[A-Za-z0-9_-]{43}$/;
/** How often it is looked how things stand. */
const LOOK_EVERY_MS = 15_000;
/** After so long without a key or a click the card is wiped off the page. */
const IDLE_MS = 10 * 60_000;

export class Desk {
  constructor(document) {
    this.document = document;
    this.agent = null;
    /** What the answer shows: `null`, or its kind and what goes with it. */
    this.told = null;
    this.fingerprint = null;
    this.left = null;
    this.status = null;
    this.queue = null;
    this.entries = { entries: [], more: false };
    /** The claim that is being delivered, and the entry whose release waits for a second word. */
    this.delivering = null;
    this.confirming = null;
    this.isBusy = false;
    this.lastTouched = Date.now();
  }

  find(id) {
    return this.document.getElementById(id);
  }

  start() {
    speak(new URLSearchParams(this.document.location.search).get("lang"));
    this.form = new Form(this.document, () => this.submit());
    this.listen();
    this.show();
    setInterval(() => this.tick(), LOOK_EVERY_MS);
    const token = sessionStorage.getItem(TOKEN);
    if (token === null) this.askToken();
    else this.pair(token);
  }

  listen() {
    const on = (id, event, act) => this.find(id).addEventListener(event, act);
    on("language", "click", () => this.switchLanguage());
    on("lock", "click", () => this.lock());
    on("clear", "click", () => this.nextCustomer());
    on("since", "change", () => this.loadEntries());
    on("pairing-form", "submit", (event) => {
      event.preventDefault();
      this.pair(this.find("token").value.trim());
    });
    for (const event of ["keydown", "pointerdown"]) {
      this.document.addEventListener(event, () => {
        this.lastTouched = Date.now();
      });
    }
  }

  // Who is let in.

  askToken(problem = null) {
    sessionStorage.removeItem(TOKEN);
    this.agent = null;
    this.find("desk").hidden = true;
    this.find("lock").hidden = true;
    this.find("pairing").hidden = false;
    const input = this.clearToken();
    if (problem !== null) {
      input.after(element("p", { class: "fault", id: "token-fault", role: "alert" }, sayProblem(problem)));
      input.setAttribute("aria-invalid", "true");
    }
    input.focus();
  }

  /** Its field, empty and without a fault. */
  clearToken() {
    const input = this.find("token");
    input.value = "";
    input.removeAttribute("aria-invalid");
    this.find("token-fault")?.remove();
    return input;
  }

  /** Shows the token to the agent, and opens the counter if it is the one. */
  async pair(token) {
    if (!TOKEN_FORM.test(token)) return this.askToken({ code: "not-paired" });
    const agent = new Agent(token);
    try {
      // What the page needs of nobody but the agent itself.
      await agent.read("/v1/outbound");
    } catch (problem) {
      return this.askToken(problem);
    }
    sessionStorage.setItem(TOKEN, token);
    this.agent = agent;
    this.clearToken();
    this.find("pairing").hidden = true;
    this.find("desk").hidden = false;
    this.find("lock").hidden = false;
    this.find("nir").focus();
    this.look();
    this.loadEntries();
    const request = pending();
    if (request !== null) this.carryOut(request);
  }

  /** Forgets everything, the token too. */
  lock() {
    sessionStorage.removeItem(TOKEN);
    this.document.location.reload();
  }

  // What is asked.

  submit() {
    if (this.isBusy || this.agent === null) return;
    if (this.delivering !== null) this.deliver();
    else this.check();
  }

  async check() {
    const sale = this.form.sale();
    if (sale === null) return;
    this.fingerprint = null;
    await this.ask({ kind: "asking" }, async () => {
      const body = JSON.stringify({ sale, keep: true });
      this.tell({ kind: "checked", checked: await this.agent.send("/v1/check", body) });
    });
  }

  /** Claims what was quoted: the request names the kept quote, and nobody. */
  claim() {
    const { kept } = this.told.checked;
    const request = newRequest("/v1/claim", { quote: kept, queue: true });
    keepPending(request);
    return this.carryOut(request);
  }

  deliver() {
    this.form.clearFaults();
    const body = { claim: this.delivering, card: this.form.card() };
    return this.carryOut(newRequest("/v1/deliver", body));
  }

  release({ index }) {
    const request = newRequest("/v1/release", { entry: index });
    keepPending(request);
    return this.carryOut(request);
  }

  /** Sends what writes until its outcome is known, and shows that. */
  async carryOut(request) {
    this.fingerprint = null;
    await this.ask({ kind: "sending", request }, async () => {
      const again = () => this.tell({ kind: "again" });
      const answer = await write(this.agent, request, again);
      forgetPending();
      await this.showOutcome(answer);
    });
  }

  async showOutcome(answer) {
    if (answer.outcome !== "refused" && answer.kind !== "release") this.endSale();
    if (answer.outcome === "accepted") {
      const path = `/v1/receipts/${answer.receipt}/fingerprint`;
      this.fingerprint = await this.agent.read(path).catch(() => null);
    }
    this.tell({ kind: "written", answer });
    await Promise.all([this.loadEntries(), this.look()]);
  }

  /** Does one piece of work, shows what left for it, and where it went wrong. */
  async ask(told, work) {
    if (this.isBusy) return;
    this.setBusy(true);
    const cardValues = this.form.cardValues();
    const { last } = await this.agent.read("/v1/outbound").catch(() => ({ last: 0 }));
    this.tell(told);
    try {
      await work();
    } catch (problem) {
      this.showProblem(problem, told.request ?? null);
    } finally {
      this.setBusy(false);
    }
    await this.showOutbound(last, cardValues);
    const isAtField = this.form.root.contains(this.document.activeElement) && this.form.hasFault();
    // Never a button: a scanner's second Enter must not claim.
    if (this.agent !== null && !isAtField) this.find("answer-heading").focus();
  }

  setBusy(isBusy) {
    this.isBusy = isBusy;
    this.find("desk").setAttribute("aria-busy", String(isBusy));
  }

  showProblem(problem, request) {
    if (problem.code === undefined) throw problem;
    if (problem.code === "not-paired") return this.askToken(problem);
    const isUnknownYet = request !== null && isUnknown(problem);
    if (!isUnknownYet) forgetPending();
    this.tell({ kind: "problem", problem, request: isUnknownYet ? request : null });
    if (problem.field?.startsWith("/") && request?.path !== "/v1/claim") this.form.showProblem(problem);
  }

  async showOutbound(after, cardValues) {
    const left = await this.agent?.read(`/v1/outbound?after=${after}`).catch(() => null);
    if (left) this.left = readOutbound(left, cardValues);
    this.showPanel();
  }

  // The customer goes.

  endSale() {
    this.form.clear();
    this.setDelivering(null);
  }

  nextCustomer() {
    if (this.isBusy) return;
    this.endSale();
    this.left = null;
    this.fingerprint = null;
    this.tell(null);
    this.showPanel();
    this.find("nir").focus();
  }

  tick() {
    if (Date.now() - this.lastTouched > IDLE_MS && this.form.isTouched() && !this.isBusy) {
      this.nextCustomer();
      this.announce(say("cleared"));
    }
    if (this.document.visibilityState === "visible" && !this.isBusy) this.look();
  }

  // What is there.

  async look() {
    if (this.agent === null) return;
    try {
      const [status, queue] = await Promise.all([this.agent.read("/v1/status"), this.agent.read("/v1/queue")]);
      const before = this.queue === null ? [] : waitingNames(this.queue);
      [this.status, this.queue] = [status, queue];
      const now = waitingNames(queue);
      for (const name of before.filter((it) => !now.includes(it))) await this.decided(name);
    } catch (problem) {
      if (problem.code === "not-paired") return this.askToken(problem);
      this.status = null;
    }
    this.showStanding();
  }

  /** A claim that waited does no more. */
  async decided(name) {
    const { answer } = await this.agent.read(`/v1/queue/${name}`).catch(() => ({ answer: null }));
    if (answer === null) return;
    const isAccepted = answer.outcome === "accepted";
    const sentence = isAccepted ? say("waitingAccepted", { index: answer.index }) : say("waitingRefused");
    const isShown = this.told?.kind === "written" && this.told.answer.queued?.name === name;
    if (isShown && !this.isBusy) await this.showOutcome(answer);
    this.announce(sentence);
    if (!isShown) await this.loadEntries();
  }

  async loadEntries() {
    const since = midnight(Number(this.find("since").value));
    const read = await this.agent?.read(`/v1/entries?since=${since}`).catch(() => null);
    if (read) this.entries = read;
    this.showEntries();
  }

  setDelivering(index) {
    this.delivering = index;
    this.form.clearFaults();
    for (const part of this.form.root.querySelectorAll(".of-sale")) part.hidden = index !== null;
    this.showSubmit();
  }

  async giveReceipt(name) {
    const text = await this.agent.text(`/v1/receipts/${name}`).catch(() => null);
    if (text === null) this.announce(say("problem"));
    else giveFile(name, text);
  }

  // What is shown.

  switchLanguage() {
    speak(language() === "fr" ? "en" : "fr");
    const address = new URL(this.document.location);
    address.searchParams.set("lang", language());
    this.document.defaultView.history.replaceState(null, "", address);
    this.show();
  }

  show() {
    this.document.documentElement.lang = language();
    this.document.title = say("title");
    for (const told of this.document.querySelectorAll("[data-say]")) {
      told.textContent = say(told.dataset.say);
    }
    this.find("language").lang = language() === "fr" ? "en" : "fr";
    this.form.number();
    this.showSubmit();
    this.showTold();
    this.showPanel();
    this.showStanding();
    this.showEntries();
  }

  tell(told) {
    this.told = told;
    this.showTold();
    const shown = this.find("told").querySelectorAll(".verdict p, .totals .rest, .asking");
    this.announce([...shown].map(({ textContent }) => textContent).join(" "));
  }

  announce(sentence) {
    this.find("announce").textContent = sentence;
  }

  showTold() {
    this.find("told").replaceChildren(...this.toldElements());
    const { fingerprint } = this;
    this.find("receipt").hidden = fingerprint === null;
    if (fingerprint === null) return;
    const download = () => this.giveReceipt(this.told.answer.receipt);
    this.find("receipt-body").replaceChildren(...receiptElements(fingerprint, download));
  }

  toldElements() {
    const { told } = this;
    if (told === null) return [element("p", { class: "hint" }, say("nothingAsked"))];
    if (told.kind === "checked") return this.checkedElements(told.checked);
    if (told.kind === "written") return this.writtenElements(told.answer);
    if (told.kind === "problem") return this.problemElements(told);
    return [element("p", { class: "asking" }, say(told.kind))];
  }

  checkedElements(checked) {
    const elements = checkElements(checked);
    if (checked.kept === null) return elements;
    // What is taken may be claimed all the same: the ledger's refusal has a proof.
    const [kind, key] = isAllRefused(checked) ? ["quiet", "claimAnyway"] : ["first", "claim"];
    const claim = element("button", { type: "button", id: "claim", class: kind }, say(key));
    claim.addEventListener("click", () => this.claim());
    const hint = element("span", { class: "hint" }, say("claimKeys"));
    return [...elements, element("div", { class: "buttons" }, claim, hint)];
  }

  writtenElements({ kind, outcome, index, refusal, receipt }) {
    if (outcome === "accepted") {
      const wiped = kind === "release" ? "" : say("cleared");
      const entry = say("acceptedMore", { index });
      return [verdictElement("passed", say(`accepted_${kind}`), entry, wiped)];
    }
    if (outcome === "queued") {
      return [verdictElement("unjudged", say("queued"), say("queuedMore"), say("cleared"))];
    }
    const verdict = verdictElement("failed", say("refused"), ...reasonSentences(refusal));
    return receipt === null ? [verdict] : [verdict, downloadButton("proof", () => this.giveReceipt(receipt))];
  }

  problemElements({ problem, request }) {
    const verdict = verdictElement("unjudged", say("problem"), sayProblem(problem));
    if (request === null) return [verdict];
    return [verdict, downloadButton("askAgain", () => this.carryOut(request))];
  }

  showSubmit() {
    const { delivering } = this;
    const notice = this.find("delivering");
    notice.hidden = delivering === null;
    notice.textContent = delivering === null ? "" : say("delivering", { index: delivering });
    this.find("check").textContent = say(delivering === null ? "check" : "deliverNow");
    this.find("clear").textContent = say(delivering === null ? "clear" : "cancel");
  }

  showPanel() {
    this.find("outbound-summary").textContent = outboundSummary(this.left);
    this.find("outbound-body").replaceChildren(...outboundElements(this.left));
  }

  showStanding() {
    if (this.agent === null) return this.find("standing").replaceChildren();
    this.find("standing").replaceChildren(...standingElements(this.status, this.queue));
    this.find("simulated").hidden = !this.status?.simulated;
    const waiting = this.queue === null ? [] : waitingElements(this.queue);
    this.find("waiting").hidden = waiting.length === 0;
    this.find("waiting-list").replaceChildren(...waiting);
  }

  showEntries() {
    const confirm = (index, selector) => {
      this.confirming = index;
      this.showEntries();
      this.find("entries").querySelector(selector)?.focus();
    };
    const does = {
      deliver: ({ index }) => {
        this.form.clear();
        this.setDelivering(index);
        this.announce(say("delivering", { index }));
        this.find("nir").focus();
      },
      release: ({ index }) => confirm(index, ".cancel"),
      cancel: ({ index }) => confirm(null, `[data-entry="${index}"] button`),
      confirm: (entry) => {
        this.confirming = null;
        this.release(entry);
      },
      receipt: ({ receipt }) => this.giveReceipt(receipt),
    };
    this.find("entries").replaceChildren(...entriesElements(this.entries, this.confirming, does));
  }
}
