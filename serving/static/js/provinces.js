// Provinces as a grid of tiles and as a ranking; the cities of one on a click.
import { make, replace, table } from "./dom.js";
import { chinese, words } from "./i18n.js";
import { brief, percent, shareOf, signedYuan, whole, yuan } from "./money.js";
import { nameOf, state } from "./state.js";
import { TILES } from "./tiles.js";
import { version } from "./time.js";

const STEPS = 5;

/** Draw tiles, legend and ranking. */
export function drawProvinces() {
  const bounds = steps();
  drawTiles(bounds);
  drawLegend(bounds);
  drawRanking();
}

/**
 * Lower bounds of the colours: each holds a fifth of the provinces, so that one enormous order does not make all others
 * look alike. Rounded down to two digits, so that a legend can be read.
 */
function steps() {
  const amounts = [...state.provinces.values()].filter((place) => place.orders).map((place) => place.cents);
  amounts.sort((one, other) => (one < other ? -1 : one > other ? 1 : 0));
  const bounds = [];
  for (let n = 0; n < STEPS; n += 1) bounds.push(n === 0 ? (amounts[0] ?? 0n) : rounded(amounts[Math.floor((amounts.length * n) / STEPS)] ?? 0n));
  return bounds;
}

function rounded(value) {
  let unit = 1n;
  while (value / unit >= 100n) unit *= 10n;
  return (value / unit) * unit;
}

function stepOf(place, bounds) {
  if (!place || place.orders === 0) return "none";
  let step = 0;
  bounds.forEach((bound, n) => { if (place.cents >= bound) step = n; });
  return String(step);
}

const empty = { orders: 0, cents: 0n, until: 0n, was: null };

function drawTiles(bounds) {
  const han = chinese();
  const codes = state.codes;
  const placed = codes.length > 0 && codes.every((code) => TILES[code]);
  const of = codes.map((code) => [code, state.provinces.get(code)?.cents ?? 0n, stepOf(state.provinces.get(code), bounds)]);
  replace("tiles", of, () => codes.map((code, n) => {
    const place = state.provinces.get(code) ?? empty;
    const [row, column, letters, short] = TILES[code] ?? [Math.floor(n / 8), n % 8, code, nameOf(code, true)];
    const name = nameOf(code, han);
    const label = placed ? (han ? short : letters) : name;
    const tile = make("button", {
      type: "button", class: "tile", "data-step": of[n][2], "data-key": code, title: name,
      "aria-label": words().tile(name, yuan(place.cents), whole(place.orders)), onclick: () => openCities(code),
    }, make("span", { class: "name" }, label), make("span", { class: "figure" }, place.orders ? brief(place.cents, han) : "–"));
    tile.style.gridRow = placed ? row + 1 : "auto";
    tile.style.gridColumn = placed ? column + 1 : "auto";
    return tile;
  }));
}

function drawLegend(bounds) {
  const han = chinese();
  const text = words();
  const distinct = bounds.filter((bound, n) => n === 0 || bound > bounds[n - 1]);
  replace("legend", distinct, () => [
    make("li", { "data-step": "none" }, text.none),
    ...distinct.map((bound, n) => make("li", { "data-step": String(bounds.lastIndexOf(bound)) },
      n === 0 ? text.below(brief(distinct[1] ?? bound, han)) : text.from(brief(bound, han)))),
  ]);
}

function drawRanking() {
  const han = chinese();
  const text = words();
  const ranked = [...state.provinces].filter(([, place]) => place.orders || place.was)
    .sort(([a, one], [b, other]) => (other.cents > one.cents ? 1 : other.cents < one.cents ? -1 : a < b ? -1 : 1));
  let all = 0n;
  for (const [, place] of ranked) all += place.cents;
  const rows = ranked.map(([code, place], n) => [
    String(n + 1), nameOf(code, han), whole(place.orders), yuan(place.cents), shareOf(place.cents, all),
    place.was === null ? "–" : percent(place.until, place.was) || signedYuan(place.until - place.was), code,
  ]);
  const c = text.columns;
  const columns = [[c.rank, "number rank"], [c.province], [c.orders, "number"], [c.amount, "number"], [c.share, "number"]];
  const compared = ranked.some(([, place]) => place.was !== null);
  if (compared) columns.push([c.delta, "number"]);
  replace("ranking", rows, () => rows.length === 0 ? make("p", {}, text.noOrders) : table(text.ranking, columns,
    rows.map(([rank, name, orders, amount, of, delta, code]) => [rank,
      make("button", { type: "button", class: "plain", "data-key": code, onclick: () => openCities(code) }, name),
      orders, amount, of, ...(compared ? [delta] : [])])));
}

let opened = null;

/** Show the cities of a province, as the report of the newest hour has them. */
export async function openCities(code) {
  const dialog = document.getElementById("cities");
  opened = code;
  document.getElementById("cities-title").textContent = nameOf(code, chinese());
  document.getElementById("cities-of").textContent = words().loading;
  document.getElementById("cities-table").replaceChildren();
  if (!dialog.open) dialog.showModal();
  try {
    const asked = `/api/days/${state.day}/cities?province=${encodeURIComponent(code)}`;
    const answer = await fetch(asked, { signal: AbortSignal.timeout(30_000) });
    const found = await answer.json();
    if (opened !== code) return;
    if (!answer.ok) throw new Error(found.error);
    showCities(found);
  } catch (error) {
    document.getElementById("cities-of").textContent = error.message; // the server's own sentence
  }
}

function showCities(found) {
  const han = chinese();
  const text = words();
  const c = text.columns;
  document.getElementById("cities-of").textContent = text.citiesOf(version(found.version, found.day), found.run);
  const rows = found.rows.map((row) => [BigInt(row.amount.replace(".", "")), row])
    .sort(([a], [b]) => (b > a ? 1 : b < a ? -1 : 0));
  document.getElementById("cities-table").replaceChildren(rows.length === 0 ? make("p", {}, text.noCities) : table(
    document.getElementById("cities-title").textContent,
    [[c.city], [c.orders, "number"], [c.amount, "number"], [c.users, "number"]],
    rows.map(([amount, row]) => [han ? row.city_name_zh : row.city_name, whole(row.orders), yuan(amount), whole(row.users)])));
}
