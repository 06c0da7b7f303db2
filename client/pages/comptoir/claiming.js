// Requests that write: each has one key, and is sent again with the same bytes until its outcome is
// known. Those without an identity outlive the page.

import { Problem } from "./agent.js";

const PENDING = "vitrail-pending";
/** How long it is waited before the same is sent again; then somebody has to want it. */
const PAUSES_MS = [1000, 2000, 4000, 8000, 8000];
/** After these the outcome is not known, or nothing was begun: the same key finds out. */
const SEND_AGAIN = ["outcome-unknown", "idempotency-key-in-use", "busy", "agent-away"];

/** A request with a key that nobody has used. */
export function newRequest(path, body) {
  return { path, body: JSON.stringify(body), key: crypto.randomUUID() };
}

/** Keeps a request for as long as the tab lives. Its body must hold nothing of a card. */
export function keepPending(request) {
  sessionStorage.setItem(PENDING, JSON.stringify(request));
}

/** The request whose outcome this tab does not know yet. */
export function pending() {
  const kept = sessionStorage.getItem(PENDING);
  return kept === null ? null : JSON.parse(kept);
}

export function forgetPending() {
  sessionStorage.removeItem(PENDING);
}

/** Sends a request until its outcome is known; `again` is told before each time but the first. */
export async function write(agent, request, again) {
  for (const pause of [...PAUSES_MS, null]) {
    try {
      return await agent.send(request.path, request.body, request.key);
    } catch (problem) {
      if (pause === null || !isUnknown(problem)) throw problem;
      again();
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
  throw new Problem({ code: "outcome-unknown" });
}

/** Whether the request may have had its effect all the same. */
export function isUnknown(problem) {
  return problem instanceof Problem && SEND_AGAIN.includes(problem.code);
}
