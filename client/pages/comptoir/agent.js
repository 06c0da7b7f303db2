// The agent on this machine, asked as any other program asks it: /openapi.json says how.

/** Beyond this the agent itself has given up: it answers within 30 s. */
const ANSWER_WITHIN_MS = 40_000;

/** Why there is no answer: the code of a problem (RFC 9457), or `agent-away`. It holds no value. */
export class Problem extends Error {
  constructor({ code, field = null, limit = null }) {
    super(code);
    this.code = code;
    this.field = field;
    this.limit = limit;
  }
}

export class Agent {
  #token;

  constructor(token) {
    this.#token = token;
  }

  /** The JSON of a path. */
  async read(path) {
    return (await this.#ask(path, {})).json();
  }

  /** The text of a path. */
  async text(path) {
    return (await this.#ask(path, {})).text();
  }

  /** Sends the text of a JSON body; what writes has a key. */
  async send(path, body, key = null) {
    const headers = { "Content-Type": "application/json" };
    if (key !== null) headers["Idempotency-Key"] = `"${key}"`;
    return (await this.#ask(path, { method: "POST", headers, body })).json();
  }

  async #ask(path, { headers = {}, ...more }) {
    const answer = await answered(path, {
      ...more,
      headers: { ...headers, Authorization: `Bearer ${this.#token}` },
    });
    if (answer.ok) return answer;
    const problem = await answer.json().catch(() => ({ code: "agent-away" }));
    throw new Problem(problem);
  }
}

async function answered(path, options) {
  const signal = AbortSignal.timeout(ANSWER_WITHIN_MS);
  const plain = { cache: "no-store", credentials: "omit", redirect: "error", signal };
  try {
    return await fetch(path, { ...plain, ...options });
  } catch {
    throw new Problem({ code: "agent-away" });
  }
}
