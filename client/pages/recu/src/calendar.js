// Days since 1970-01-01 in UTC, and the calendar months that renewal clocks are counted in.

const DAY_MS = 86_400_000;
/** 9999-12-31, which all later days count as. */
export const DAY_MAX = 2_932_896;

/** The day of a moment in milliseconds. */
export function dayOf(millis) {
  const day = millis / BigInt(DAY_MS);
  return day < BigInt(DAY_MAX) ? Number(day) : DAY_MAX;
}

/** The same day of the month, so many months later, or the last day of a shorter month. */
export function plusMonths(day, months) {
  const date = new Date(Math.min(day, DAY_MAX) * DAY_MS);
  const [year, month] = [date.getUTCFullYear(), date.getUTCMonth() + months];
  const lastDay = new Date(Date.UTC(year, month + 1, 0)).getUTCDate();
  const later = Date.UTC(year, month, Math.min(date.getUTCDate(), lastDay)) / DAY_MS;
  return Math.min(later, DAY_MAX);
}

/** `YYYY-MM-DD`. */
export function isoDay(day) {
  return new Date(Math.min(day, DAY_MAX) * DAY_MS).toISOString().slice(0, 10);
}
