// Checkpoints (C2SP tlog-checkpoint with one extension line), and the quorum that vouches for one.

import { decimal, hashFromBase64 } from "./bytes.js";
import { require } from "./fault.js";
import { COSIGNATURE, parseNote, signerOf } from "./note.js";
import { isOrigin, isVoting } from "./roster.js";

const MAP = "map ";

/** Reads a signed checkpoint; nobody vouches for it yet. */
export function parseCheckpoint(bytes) {
  const note = parseNote(bytes);
  const lines = note.text.split("\n");
  require(lines.length === 5 && lines[4] === "", "checkpoint.text", { line: 1 });
  const [origin, size, logRoot, map] = lines;
  const checkpoint = {
    origin: isOrigin(origin) ? origin : null,
    size: decimal(size),
    logRoot: hashFromBase64(logRoot),
    mapRoot: map.startsWith(MAP) ? hashFromBase64(map.slice(MAP.length)) : null,
  };
  Object.values(checkpoint).forEach((value, at) => {
    require(value !== null, "checkpoint.text", { line: at + 1 });
  });
  return { ...checkpoint, note };
}

/**
 * Accepts the checkpoint if a quorum of the roster vouches for it: the origin is the roster's, every
 * line is a member's cosignature that verifies, and enough of them are from voting members.
 */
export function verifyCheckpoint(checkpoint, roster) {
  require(checkpoint.origin === roster.origin, "checkpoint.origin");
  const { text, signatures } = checkpoint.note;
  const cosigned = signatures.map((line) => {
    const member = signerOf(roster, text, line, COSIGNATURE);
    return { name: member.name, isVoting: isVoting(member), time: line.time };
  });
  const voting = cosigned.filter((cosignature) => cosignature.isVoting);
  const [got, want] = [voting.length, roster.quorum];
  require(got >= want, "checkpoint.quorum", { got, want });
  // A minority that lies about the time cannot move it past an honest member's.
  const latestFirst = voting.map(({ time }) => time).sort((a, b) => (a < b ? 1 : -1));
  return { ...checkpoint, cosigned, time: latestFirst[want - 1] };
}
