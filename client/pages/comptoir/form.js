// What is typed or scanned: the card and the items. A scanner is a keyboard that ends in Enter, so Enter
// goes on to the next field, and stays where something is still missing.

import { birthDateOf, centsOf } from "./amounts.js";
import { element } from "./element.js";
import { sayField, sayProblem } from "./problems.js";
import { say } from "./words.js";

/** As many lines as a claim has. */
const ITEMS_MAX = 8;
/** What separates the parts of a card that a scanner sends in one line. */
const SCAN_SEPARATOR = /[;|]/;
/** The fields of such a line, in its order. */
const SCANNED = ["nir", "birth", "rank", "payer", "member"];
const CONTRACTS = [
  ["payer", "member"],
  ["payer-2", "member-2"],
];
/** The inputs of what is no contract and no item, by the agent's names. */
const INPUTS = {
  nir: "nir",
  birth_date: "birth",
  birth_rank: "rank",
  regime: "regime",
  prescription: "prescription",
  early_renewal: "early",
  complementary: "payer-2",
};

export class Form {
  /** `submit` is told when Enter or the button says that all is there. */
  constructor(document, submit) {
    this.document = document;
    this.root = this.find("sale");
    this.lines = 0;
    this.root.addEventListener("keydown", (event) => this.enter(event));
    this.root.addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
    });
    this.find("add").addEventListener("click", () => this.addLine().focus());
    this.clear();
  }

  find(id) {
    return this.document.getElementById(id);
  }

  text(id) {
    return this.find(id).value.trim();
  }

  /** Wipes the card and the items. */
  clear() {
    this.root.reset();
    this.find("items").replaceChildren();
    this.clearFaults();
    this.addLine();
  }

  isTouched() {
    return SCANNED.some((id) => id !== "rank" && this.text(id) !== "");
  }

  /** The card as the agent wants it. */
  card() {
    const complementary = this.contracts().map(([payer, member]) => {
      return { payer_number: this.text(payer), member_number: this.text(member) };
    });
    return {
      nir: this.text("nir"),
      birth_date: birthDateOf(this.text("birth")),
      birth_rank: this.text("rank") || "1",
      regime: this.text("regime") || "01",
      complementary,
    };
  }

  contracts() {
    return CONTRACTS.filter(([payer, member]) => this.text(payer) !== "" || this.text(member) !== "");
  }

  /** What of the card must never leave this machine, as it would stand in a message. */
  cardValues() {
    const nir = this.text("nir").replaceAll(" ", "").toUpperCase();
    const members = this.contracts().map(([, member]) => this.text(member).replaceAll(" ", ""));
    return [nir.slice(0, 13), birthDateOf(this.text("birth")), ...members.map((it) => it.toUpperCase())];
  }

  /** The sale; `null`, with the fault shown, if a price is none. */
  sale() {
    this.clearFaults();
    this.dropEmptyLines();
    const items = [];
    for (const row of this.filledRows()) {
      const price = row.querySelector(".price");
      const cents = centsOf(price.value);
      if (cents === null) return this.fault(price, sayField("price_cents"));
      const side = row.querySelector(".side").value;
      const code = row.querySelector(".code").value.trim();
      items.push({ code, price_cents: cents, ...(side === "" ? {} : { side }) });
    }
    const prescription = this.text("prescription");
    const early = this.text("early");
    return {
      card: this.card(),
      items,
      ...(prescription === "" ? {} : { prescription }),
      ...(early === "" ? {} : { early_renewal: early }),
    };
  }

  rows() {
    return [...this.find("items").children];
  }

  filledRows() {
    const filled = (row) => [".code", ".price"].some((it) => row.querySelector(it).value.trim() !== "");
    return this.rows().filter(filled);
  }

  dropEmptyLines() {
    const filled = this.filledRows();
    if (filled.length === 0) return;
    for (const row of this.rows().filter((it) => !filled.includes(it))) row.remove();
    this.number();
  }

  /** Adds an empty line, if there is room; its first field, or the last line's. */
  addLine() {
    if (this.rows().length < ITEMS_MAX) this.find("items").append(this.line());
    this.number();
    return this.rows().at(-1).querySelector(".code");
  }

  line() {
    this.lines += 1;
    const field = (name, key, input) => {
      const id = `${name}-${this.lines}`;
      input.id = id;
      const label = element("label", { for: id, "data-say": key }, say(key));
      return element("div", { class: `field ${name}-field` }, label, input);
    };
    const option = (value, key) => element("option", { value, "data-say": key }, say(key));
    const code = { class: "code mono", maxlength: "7", inputmode: "numeric", spellcheck: "false" };
    const price = { class: "price mono", maxlength: "14", inputmode: "decimal", spellcheck: "false" };
    const sides = [option("", "noSide"), option("right", "right"), option("left", "left")];
    const remove = element("button", { type: "button", class: "quiet remove" });
    const line = element(
      "div",
      { class: "line", role: "group" },
      field("code", "code", element("input", code)),
      field("side", "side", element("select", { class: "side" }, sides)),
      field("price", "price", element("input", price)),
      remove,
    );
    remove.addEventListener("click", () => this.removeLine(line));
    return line;
  }

  removeLine(line) {
    const beside = line.previousElementSibling ?? line.nextElementSibling;
    line.remove();
    (beside?.querySelector(".code") ?? this.addLine()).focus();
    this.number();
  }

  /** Says to each line, and to its button, which one it is. */
  number() {
    for (const [place, row] of this.rows().entries()) {
      const number = place + 1;
      row.setAttribute("aria-label", say("item", { number }));
      const remove = row.querySelector(".remove");
      remove.textContent = say("remove");
      remove.setAttribute("aria-label", say("removeItem", { number }));
    }
    this.find("add").hidden = this.rows().length >= ITEMS_MAX;
  }

  /** Enter in a field: the next one, another line, or all is there. */
  enter(event) {
    const input = event.target;
    if (event.key !== "Enter" || event.isComposing || !input.matches("input, select")) return;
    event.preventDefault();
    if (input.id === "nir" && SCAN_SEPARATOR.test(input.value)) return this.spread(input.value);
    if (input.matches(".code") && input.value === "" && this.filledRows().length > 0) {
      return this.root.requestSubmit();
    }
    if (this.isMissing(input)) return;
    if (input.matches(".price") && input.closest(".line") === this.rows().at(-1)) {
      return this.rows().length < ITEMS_MAX ? this.addLine().focus() : this.root.requestSubmit();
    }
    this.next(input);
  }

  /** Whether Enter must stay: a scanner may send it twice. */
  isMissing(input) {
    if (input.value.trim() !== "") return false;
    const ofContract = CONTRACTS.some(([payer, member]) => input.id === member && this.text(payer) !== "");
    return input.required || ofContract || input.matches(".code, .price");
  }

  next(input) {
    const fields = [...this.root.querySelectorAll("input, select")].filter((it) => it.checkVisibility());
    const isSkipped = ({ id }) => id.startsWith("member") && input.id.startsWith("payer") && input.value === "";
    const next = fields.slice(fields.indexOf(input) + 1).find((it) => !isSkipped(it));
    if (next === undefined) this.root.requestSubmit();
    else next.focus();
  }

  /** Puts a card that came in one line into its fields. */
  spread(line) {
    const parts = line.split(SCAN_SEPARATOR).map((part) => part.trim());
    for (const [place, id] of SCANNED.entries()) {
      if (parts[place] !== undefined && parts[place] !== "") this.find(id).value = parts[place];
    }
    if (this.text("birth") === "") this.find("birth").focus();
    else this.next(this.find("member"));
  }

  /** Shows why a request was not taken, at the field that it is about. */
  showProblem({ code, field }) {
    this.clearFaults();
    const input = this.inputOf(field.split("/").slice(1));
    const sentence = code === "field-invalid" ? sayField(nameOf(field)) : sayProblem({ code });
    if (input === null) this.find("form-fault").textContent = sentence;
    else this.fault(input, sentence);
  }

  /** The input of a JSON pointer, such as `/sale/card/complementary/0/member_number`. */
  inputOf(path) {
    const row = path.includes("items") ? this.filledRows()[Number(path.at(-2))] : undefined;
    if (row !== undefined) return row.querySelector(path.at(-1) === "code" ? ".code" : ".price");
    const contract = path.includes("complementary") ? this.contracts()[Number(path.at(-2))] : undefined;
    if (contract !== undefined) return this.find(contract[path.at(-1) === "payer_number" ? 0 : 1]);
    const id = INPUTS[path.at(-1)];
    return id === undefined ? null : this.find(id);
  }

  fault(input, sentence) {
    const id = `${input.id}-fault`;
    input.closest("details")?.setAttribute("open", "");
    input.after(element("p", { class: "fault", id }, sentence));
    input.setAttribute("aria-invalid", "true");
    input.dataset.described = input.getAttribute("aria-describedby") ?? "";
    input.setAttribute("aria-describedby", `${id} ${input.dataset.described}`.trim());
    input.focus();
    return null;
  }

  hasFault() {
    return this.root.querySelector("[aria-invalid]") !== null;
  }

  clearFaults() {
    this.find("form-fault").textContent = "";
    for (const input of this.root.querySelectorAll("[aria-invalid]")) {
      this.find(`${input.id}-fault`)?.remove();
      input.removeAttribute("aria-invalid");
      if (input.dataset.described === "") input.removeAttribute("aria-describedby");
      else input.setAttribute("aria-describedby", input.dataset.described);
    }
  }
}

/** The last name of a JSON pointer. */
function nameOf(field) {
  return field.split("/").filter((part) => !/^\d*$/.test(part)).at(-1);
}
