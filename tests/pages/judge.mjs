// Judges with the very script of the receipt page: `node judge.mjs PAGE LIST`. The list has one
// question a line, its bytes in base64; the answers come in the same order, one a line.

import { readFileSync } from "node:fs";
import { runInThisContext } from "node:vm";

const [page, list] = process.argv.slice(2);
const [, script] = /<script>([^]*)<\/script>/.exec(readFileSync(page, "utf8"));
runInThisContext(script);
const { vitrail } = globalThis;

const FAULT_CODE = /"(format|note|signer|checkpoint|entry|inclusion|map|state|refused|roster)\.[a-z-]+"/g;

let roster = null;
const questions = {
  roster(bytes) {
    roster = null;
    roster = vitrail.readRoster(bytes);
    return `yes ${roster.fingerprint} ${roster.quorum}`;
  },
  receipt(bytes) {
    const { isValid, failedStep, passed } = vitrail.verifyReceipt(bytes, roster);
    return isValid ? `yes ${passed}` : `no ${failedStep} ${passed}`;
  },
  key: (bytes) => said(vitrail.isPublicKey(bytes)),
  signature: (key, message, bytes) => said(vitrail.isSigned(key, message, bytes)),
  address: (bytes) => said(vitrail.isAddress(new TextDecoder().decode(bytes))),
  /** What is said in one language and not in the other, and faults without a sentence. */
  words() {
    const missing = Object.values(vitrail.ALL_WORDS).flatMap(({ fr, en }) => {
      const [french, english] = [new Set(Object.keys(fr)), new Set(Object.keys(en))];
      const only = (a, b) => [...a].filter((key) => !b.has(key));
      return [...only(french, english), ...only(english, french)];
    });
    const codes = new Set(script.match(FAULT_CODE).map((code) => code.slice(1, -1)));
    const unsaid = [...codes].filter((code) => !(code in vitrail.ALL_WORDS.FAULTS.fr));
    return `missing: ${[...missing, ...unsaid]}`;
  },
  reason(bytes) {
    const { code, en, fr } = vitrail.REASONS[bytes[0] - 1];
    return [code, en, fr].join("|");
  },
};

function said(verdict) {
  return verdict ? "yes" : "no";
}

/** A fault is an answer; anything else that is thrown is a fault of the page, and is told as one. */
function answer(line) {
  const [name, ...parts] = line.split(" ");
  try {
    return questions[name](...parts.map((part) => new Uint8Array(Buffer.from(part, "base64"))));
  } catch (error) {
    return error.figures === undefined ? `broken: ${error.stack.replaceAll("\n", " ")}` : "no";
  }
}

const answers = readFileSync(list, "utf8").split("\n").slice(0, -1).map(answer);
process.stdout.write(answers.map((line) => `${line}\n`).join(""));
