// How things stand: the members, the age of the newest checkpoint, and what waits.

import { momentOf } from "./amounts.js";
import { element } from "./element.js";
import { locale, say } from "./words.js";

/** The line of the head; `null` for an agent that does not answer. */
export function standingElements(status, queue) {
  if (status === null) return [mark("bad"), say("standingAway")];
  const here = status.members.filter(({ reachable }) => reachable).length;
  const all = status.members.length;
  const isHere = here > 0 && status.checkpoint !== null;
  const words = [isHere ? say("standingHere", { here, all }) : say("standingAlone")];
  if (status.checkpoint !== null) {
    words.push(say("standingAge", { age: status.checkpoint.age_seconds }));
  }
  const count = queue?.waiting ?? 0;
  if (count > 0) words.push(say("standingWaiting", { count }));
  const state = isHere ? "good" : "bad";
  return [mark(count > 0 && isHere ? "amber" : state), words.join(" · ")];
}

function mark(state) {
  return element("span", { class: `dot ${state}`, "aria-hidden": "true" });
}

/** The claims that wait. */
export function waitingElements(queue) {
  return queue.claims
    .filter(({ answer }) => answer === null)
    .map(({ queued_at: at, slots }) => {
      const time = momentOf(Date.parse(at) / 1000, locale());
      return element("li", {}, say("waitingClaim", { time, slots }));
    });
}

/** The names of those that wait. */
export function waitingNames(queue) {
  return queue.claims.filter(({ answer }) => answer === null).map(({ name }) => name);
}
