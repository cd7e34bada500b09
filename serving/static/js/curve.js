// The amount of each minute: today final and provisional, the day before as a ghost; and the same as a table.
import { make, replace, table } from "./dom.js";
import { chinese, words } from "./i18n.js";
import { brief, pixels, whole, yuan } from "./money.js";
import { known, state } from "./state.js";
import { dayStart, label } from "./time.js";

const BETWEEN_MS = 500;
let chart = null;
let drawnAt = 0;
let later = 0;
let openHour = -1;
export const view = { asTable: false };

/** Draw the chart or its table; the chart twice a second at most. */
export function drawCurve(force = false) {
  document.getElementById("chart").hidden = view.asTable;
  document.getElementById("curve-table").hidden = !view.asTable;
  if (view.asTable) return drawTable();
  clearTimeout(later);
  const wait = BETWEEN_MS - (performance.now() - drawnAt);
  if (wait > 0 && !force) {
    later = setTimeout(() => drawCurve(true), wait);
    return;
  }
  drawnAt = performance.now();
  drawChart();
}

/** Colours and sizes have changed. */
export function redrawCurve() {
  chart?.dispose();
  chart = null;
  if (state.ready) drawCurve(true);
}

const finalMinutes = () =>
  state.finalUntil === null ? 0 : Math.max(0, Math.min(1440, (state.finalUntil - dayStart(state.day)) / 60_000));

/** [minute, yuan] of a day; a minute of the past that is not there had no orders. */
function points(day, from, to) {
  const minutes = state.minutes[day] ?? new Map();
  const found = [];
  for (let n = from; n < to; n += 1) found.push([n, pixels(minutes.get(n)?.cents ?? 0n)]);
  return found;
}

function drawChart() {
  const place = document.getElementById("chart");
  if (!chart) {
    chart = echarts.init(place, null, { renderer: "canvas" });
    new ResizeObserver(() => chart?.resize()).observe(place);
  }
  const css = getComputedStyle(document.documentElement);
  const colour = (name) => css.getPropertyValue(`--${name}`).trim();
  const rem = parseFloat(css.fontSize);
  const final = Math.floor(finalMinutes());
  // The minute that grows now is left out: half a minute would look like a fall.
  const reached = Math.max(state.cut, final);
  const line = (name, data, style, more = {}) =>
    ({ type: "line", name, data, showSymbol: false, silent: true, animation: false, lineStyle: style, ...more });
  const { top, bottom } = axis();
  const outside = points(state.day, 0, reached).filter(([, value]) => top !== null && (value > top || value < bottom));
  tellOutside(outside, top);
  const corrected = state.corrections.filter((c) => c.day === state.day && c.minute < final).slice(0, 12);
  chart.setOption({
    animation: false,
    textStyle: { fontFamily: css.fontFamily, fontSize: 0.85 * rem },
    grid: { left: 3.6 * rem, right: 0.8 * rem, top: 0.8 * rem, bottom: 1.7 * rem },
    xAxis: {
      type: "value", min: 0, max: 1440, interval: 120,
      axisLabel: { formatter: label, color: colour("muted"), fontSize: 0.85 * rem, margin: 0.5 * rem, hideOverlap: true },
      axisLine: { onZero: false, lineStyle: { color: colour("rule"), width: rem / 13 } }, axisTick: { show: false }, splitLine: { show: false },
    },
    yAxis: {
      type: "value", splitNumber: 4, min: bottom, max: top,
      axisLabel: {
        formatter: (value) => brief(BigInt(Math.round(value * 100)), chinese()), color: colour("muted"), fontSize: 0.85 * rem,
        margin: 0.5 * rem,
      },
      splitLine: { lineStyle: { color: colour("rule"), width: rem / 13 } },
    },
    tooltip: {
      trigger: "axis", confine: true, transitionDuration: 0, backgroundColor: colour("paper"), borderColor: colour("rule"),
      textStyle: { color: colour("ink"), fontSize: 0.9 * rem },
      axisPointer: { lineStyle: { color: colour("muted"), width: rem / 13 } },
      formatter: (items) => tip(items[0].axisValue),
    },
    series: [
      line("ghost", known(state.before) ? points(state.before, 0, 1440) : [], { color: colour("ghost"), width: rem / 16 }),
      line("final", points(state.day, 0, final), { color: colour("accent"), width: rem / 11 }, { areaStyle: { color: colour("accent-soft") } }),
      line("provisional", points(state.day, Math.max(0, final - 1), reached),
        { color: colour("accent"), width: rem / 8, type: "dashed" }),
      {
        type: "scatter", name: "above", silent: true, animation: false, symbol: "triangle", symbolSize: 0.6 * rem,
        itemStyle: { color: colour("accent") }, clip: false,
        data: outside.map(([n, value]) =>
          value > 0 ? [n, top] : { value: [n, bottom], symbolRotate: 180 }),
      },
      {
        type: "scatter", name: "corrected", silent: true, animation: false, symbolSize: 0.6 * rem,
        itemStyle: { color: "transparent", borderColor: colour("warn"), borderWidth: rem / 8 },
        data: corrected.map((c) => [c.minute, pixels(state.minutes[c.day]?.get(c.minute)?.cents ?? 0n)]),
      },
    ],
  });
  place.setAttribute("aria-label", words().chartLabel(state.day, state.minutes[state.day]?.size ?? 0));
}

/**
 * Top and bottom of the axis, yuan. A minute that is many times the others would press all of them flat; it is cut off,
 * marked at the edge, and told above the chart.
 */
function axis() {
  const of = (day) => [...(state.minutes[day] ?? [])].map(([n, minute]) => [n, pixels(minute.cents)]);
  const all = [...of(state.day), ...of(state.before)].map(([, value]) => value).sort((one, other) => one - other);
  if (all.length === 0) return { top: null, bottom: 0 };
  const usual = nice((all[Math.floor(all.length * 0.9)] ?? 0) * 2.5);
  const cutTop = usual > 0 && all.at(-1) > 2 * usual;
  const top = cutTop ? usual : nice(Math.max(all.at(-1), 1));
  return { top, bottom: all[0] < 0 ? -Math.min(nice(-all[0]), top / 4) : 0 };
}

/** Say which minutes of today lie outside of the axis. */
function tellOutside(outside, top) {
  const note = document.getElementById("above");
  if (outside.length === 0) {
    note.textContent = "";
    return;
  }
  const [n] = outside.reduce((far, one) => (Math.abs(one[1]) > Math.abs(far[1]) ? one : far));
  const han = chinese();
  note.textContent = words().outside(outside.length, brief(BigInt(Math.round(top * 100)), han), brief(state.minutes[state.day].get(n).cents, han), label(n));
}

/** The next of 1, 2, 4, 6, 8, 10 times a power of ten. */
function nice(value) {
  if (value <= 0) return 0;
  const unit = 10 ** Math.floor(Math.log10(value));
  return unit * [1, 2, 4, 6, 8, 10].find((step) => step * unit >= value);
}

/** What stands at the pointer: exact figures, out of the state and not off the pixels. */
function tip(at) {
  const n = Math.max(0, Math.min(1439, Math.round(at)));
  const text = words();
  const today = state.minutes[state.day]?.get(n);
  const before = state.minutes[state.before]?.get(n);
  const stateOf = today === undefined ? "" : ` ${today.final ? text.final : text.provisional}`;
  return make("div", { class: "tip figure" },
    make("strong", {}, label(n)),
    make("div", {}, `${today ? yuan(today.cents) : "–"}${stateOf}`),
    make("div", { class: "muted" }, `${text.ghost} ${before ? yuan(before.cents) : known(state.before) ? "0.00" : "–"}`));
}

function drawTable() {
  const text = words();
  const of = (day, from, to) => {
    let orders = 0, sum = 0n, provisional = false;
    for (let n = from; n < to; n += 1) {
      const minute = state.minutes[day]?.get(n);
      if (!minute) continue;
      orders += minute.orders;
      sum += minute.cents;
    }
    return { orders, sum };
  };
  const final = finalMinutes();
  const row = (name, from, to) => {
    const now = of(state.day, from, to);
    const before = known(state.before) ? yuan(of(state.before, from, to).sum) : "–";
    return [name, whole(now.orders), yuan(now.sum), before, to <= final ? text.final : text.provisional];
  };
  const hours = Math.min(24, Math.ceil(Math.max(state.cut, 1) / 60));
  const rows = [];
  for (let hour = hours - 1; hour >= 0; hour -= 1) {
    const open = openHour === hour;
    const button = make("button", {
      type: "button", class: "plain", "aria-expanded": String(open), "aria-label": text.openHour(label(hour * 60)), "data-key": `h${hour}`,
      onclick: () => { openHour = open ? -1 : hour; drawTable(); },
    }, `${open ? "▾" : "▸"} ${label(hour * 60)}`);
    rows.push({ class: "hour", cells: row(button, hour * 60, hour * 60 + 60) });
    if (open)
      for (let n = Math.min(state.cut, hour * 60 + 59); n >= hour * 60; n -= 1) rows.push(row(label(n), n, n + 1));
  }
  const c = text.columns;
  replace("curve-table", [state.day, openHour, rows.map((r) => (r.cells ?? r).slice(1))], () =>
    table(text.curve, [[c.minute], [c.orders, "number"], [c.amount, "number"], [c.before, "number"], [c.state]], rows));
}
