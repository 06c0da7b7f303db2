// Why something is not accepted: a code of a closed list and figures, never a value of the file.

/** A check that failed. `code` has a sentence in `words.js`. */
export class Fault extends Error {
  constructor(code, figures = {}) {
    super(code);
    this.code = code;
    this.figures = figures;
  }
}

/** Throws a fault unless the check passed. */
export function require(passed, code, figures) {
  if (!passed) throw new Fault(code, figures);
}
