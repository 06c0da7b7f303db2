// Addresses of members: `host:port`, the host a DNS name, an IPv4 address or `[IPv6]`.

const ADDRESS_BYTES_MAX = 255;
const HOST = /^[a-z0-9._-]+$/;
const PORT = /^[1-9][0-9]{0,4}$/;
const GROUP = /^[0-9A-Fa-f]{1,4}$/;
const OCTET = /^(0|[1-9][0-9]{0,2})$/;
const IPV6_GROUPS = 8;

export function isAddress(text) {
  const colon = text.lastIndexOf(":");
  if (colon < 0 || text.length > ADDRESS_BYTES_MAX) return false;
  const [host, port] = [text.slice(0, colon), text.slice(colon + 1)];
  return isHost(host) && PORT.test(port) && Number(port) <= 0xffff;
}

function isHost(host) {
  const isBracketed = host.length >= 2 && host.startsWith("[") && host.endsWith("]");
  return isBracketed ? isIpv6(host.slice(1, -1)) : HOST.test(host);
}

/** An IPv6 address (RFC 4291, 2.2): eight groups, or fewer around one `::`. */
function isIpv6(text) {
  const halves = text.split("::");
  if (halves.length > 2) return false;
  if (halves.length === 1) return groups(text, true) === IPV6_GROUPS;
  const [left, right] = [groups(halves[0], false), groups(halves[1], true)];
  // The two colons stand for one group at least.
  return left !== null && right !== null && left + right < IPV6_GROUPS;
}

/** How many groups of 16 bits; `null` when they are none. IPv4 may stand for the last two. */
function groups(text, mayEndInIpv4) {
  if (text === "") return 0;
  const words = text.split(":");
  const last = words.at(-1);
  const isIpv4 = mayEndInIpv4 && last.includes(".") && isOctets(last);
  const hexadecimal = isIpv4 ? words.slice(0, -1) : words;
  if (!hexadecimal.every((word) => GROUP.test(word))) return null;
  return hexadecimal.length + (isIpv4 ? 2 : 0);
}

function isOctets(text) {
  const octets = text.split(".");
  return octets.length === 4 && octets.every((octet) => OCTET.test(octet) && Number(octet) <= 255);
}
