// The log's tree (RFC 9162, 2.1): whether a leaf is in it, and the way from the leaf to the root.

import { require } from "./fault.js";
import { pairHash } from "./hash.js";

/**
 * Climbs from a leaf (RFC 9162, 2.1.3.2) and gives every step: the sibling, its side, and what the
 * two make together. Throws when the path has not as many hashes as the place of the leaf takes.
 */
export function climb(leaf, index, size, path) {
  require(index < size, "inclusion.not-in-tree");
  let [at, last, hash] = [index, size - 1n, leaf];
  const steps = path.map((sibling) => {
    require(last !== 0n, "inclusion.length");
    const isLeft = at % 2n === 1n || at === last;
    hash = isLeft ? pairHash(sibling, hash) : pairHash(hash, sibling);
    // The last subtree of a level has no pair there and moves up alone.
    while (isLeft && at % 2n === 0n && at !== 0n) [at, last] = [at / 2n, last / 2n];
    [at, last] = [at / 2n, last / 2n];
    return { sibling, isLeft, hash };
  });
  require(last === 0n, "inclusion.length");
  return { leaf, steps, top: hash };
}
