// Times as the business zone's clocks show them. The zone has one offset for ever, so no calendar is needed.

let offset = 0;

/** Milliseconds east of UTC, from the snapshot. */
export function setOffset(ms) {
  offset = ms;
}

const shifted = (at) => new Date(at + offset).toISOString();

/** "14:02" */
export const minute = (at) => shifted(at).slice(11, 16);
/** "2025-11-11 14:02" */
export const time = (at) => shifted(at).slice(0, 16).replace("T", " ");
/** "14:02:05" */
export const second = (at) => shifted(at).slice(11, 19);
/** "2025-11-11" */
export const day = (at) => shifted(at).slice(0, 10);
/** 842 -> "14:02"; 1440 -> "24:00" */
export const label = (n) => `${String(Math.floor(n / 60)).padStart(2, "0")}:${String(n % 60).padStart(2, "0")}`;
/** Start of a business day, epoch ms. */
export const dayStart = (text) => Date.parse(`${text}T00:00:00Z`) - offset;
/** An hour's end as the report names it: midnight at the end of `of` is 24:00. */
export const version = (at, of) => (at === dayStart(of) + 86_400_000 ? "24:00" : minute(at));
/** "Tuesday" */
export const weekday = (text, language) =>
  new Intl.DateTimeFormat(language, { weekday: "long", timeZone: "UTC" }).format(new Date(`${text}T00:00:00Z`));
