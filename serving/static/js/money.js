// Money is BigInt cents here and decimal text on the wire; it never becomes a float, but for pixels and percentages.

/** "-12.34" -> -1234n. Throws for anything else than a decimal with two places. */
export function cents(text) {
  if (!/^-?\d+\.\d\d$/.test(text)) throw new Error(`${text} is not an amount with two places`);
  return BigInt(text.replace(".", ""));
}

/** 1234567n -> "12,345.67" */
export function yuan(value) {
  const digits = (value < 0n ? -value : value).toString().padStart(3, "0");
  return `${value < 0n ? "−" : ""}${grouped(digits.slice(0, -2))}.${digits.slice(-2)}`;
}

/** The same, always with a sign; zero has ±. */
export function signedYuan(value) {
  return value > 0n ? `+${yuan(value)}` : value < 0n ? yuan(value) : `±${yuan(value)}`;
}

/** A whole number with thousands separators. */
export function whole(value) {
  const text = value.toString();
  return text.startsWith("-") ? `−${grouped(text.slice(1))}` : grouped(text);
}

/** The same, always with a sign. */
export function signedWhole(value) {
  return value > 0 ? `+${whole(value)}` : value < 0 ? whole(value) : `±0`;
}

/** Cents in three or four characters for a tile: 1.2M, or 120万 in Chinese. Cut off, not rounded. */
export function brief(value, chinese) {
  const units = chinese
    ? [[10n ** 10n, "亿"], [10n ** 6n, "万"], [100n, ""]]
    : [[10n ** 11n, "bn"], [10n ** 8n, "M"], [10n ** 5n, "K"], [100n, ""]];
  const size = value < 0n ? -value : value;
  const [unit, name] = units.find(([unit]) => size >= unit) ?? units.at(-1);
  const tenths = (size * 10n) / unit;
  const text = tenths < 100n && name ? `${tenths / 10n}.${tenths % 10n}` : `${tenths / 10n}`;
  return `${value < 0n ? "−" : ""}${text}${name}`;
}

/** Cents per order, rounded half away from zero to a cent; null without orders. */
export function average(value, orders) {
  if (orders === 0) return null;
  const n = BigInt(orders);
  const size = value < 0n ? -value : value;
  const mean = (2n * size + n) / (2n * n);
  return value < 0n ? -mean : mean;
}

/** "+3.2 %", or "" if there is nothing to compare with. Accepts BigInt or numbers. */
export function percent(now, was) {
  if (Number(was) === 0) return "";
  const share = (Number(now - was) / Math.abs(Number(was))) * 100;
  if (share >= 10_000) return `×${grouped(Math.round(Number(now) / Number(was)).toString())}`;
  return `${share < 0 ? "−" : "+"}${magnitude(Math.abs(share))} %`;
}

/** What part is of the whole, in percent; a dash where that says nothing. */
export function shareOf(part, whole) {
  if (whole <= 0n) return "–";
  const share = Number((part * 10_000n) / whole) / 100;
  return `${share < 0 ? "−" : ""}${magnitude(Math.abs(share))} %`;
}

// One enormous order must not push the columns apart; the amounts beside it are exact.
function magnitude(share) {
  if (share >= 10_000) return ">9999";
  return share.toFixed(share >= 1000 ? 0 : 1);
}

/** For pixels only. */
export const pixels = (value) => Number(value) / 100;

const grouped = (digits) => digits.replace(/\B(?=(\d{3})+(?!\d))/g, ",");
