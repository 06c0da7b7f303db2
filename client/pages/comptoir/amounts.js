// Amounts and days, as a counter writes them and as the agent has them.

/** Seven digits of euros: the agent takes no more. */
const EUROS = /^(\d{1,7})(?:[.,](\d{1,2}))?$/;
const SPACES = /[\s\u00a0\u202f]/g;
const DAY_FIRST = /^(\d{1,2})[/.\- ](\d{1,2})[/.\- ](\d{4})$/;

/** Cents of a price such as `140` or `140,50`; `null` if it is none. */
export function centsOf(text) {
  const read = EUROS.exec(text.replaceAll("€", "").replace(SPACES, ""));
  if (read === null) return null;
  return Number(read[1]) * 100 + Number((read[2] ?? "").padEnd(2, "0"));
}

/** An amount in the words of a language. */
export function eurosOf(cents, locale) {
  return new Intl.NumberFormat(locale, { style: "currency", currency: "EUR" }).format(cents / 100);
}

/** A birth date as the card has it, from that or from day, month, year. What is neither is left to the agent. */
export function birthDateOf(text) {
  const read = DAY_FIRST.exec(text.trim());
  if (read === null) return text.trim();
  const [, day, month, year] = read;
  return `${year}${month.padStart(2, "0")}${day.padStart(2, "0")}`;
}

/** A day `YYYY-MM-DD`, told in the words of a language. */
export function dayOf(text, locale) {
  const form = { dateStyle: "long", timeZone: "UTC" };
  return new Intl.DateTimeFormat(locale, form).format(new Date(`${text}T00:00:00Z`));
}

/** The time of day, with the day if it is another one. */
export function momentOf(seconds, locale) {
  const then = new Date(seconds * 1000);
  const isToday = then.toDateString() === new Date().toDateString();
  const form = isToday ? { timeStyle: "short" } : { dateStyle: "short", timeStyle: "short" };
  return new Intl.DateTimeFormat(locale, form).format(then);
}

/** Seconds since 1970 of the midnight so many days back; 1 is today's. */
export function midnight(days) {
  const today = new Date();
  today.setHours(0, 0, 0, 0);
  today.setDate(today.getDate() - (days - 1));
  return Math.floor(today.getTime() / 1000);
}
