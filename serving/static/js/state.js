// What the page knows, and what each event of the stream does to it. No drawing here.
import { cents } from "./money.js";
import { setOffset } from "./time.js";

const KEPT_CORRECTIONS = 100;

export const state = {
  ready: false, // a snapshot has come
  run: null, day: "", before: "", zone: "", names: {}, codes: [],
  now: null, newest: null, finalUntil: null, cut: 0,
  minutes: {}, // day -> Map of minute -> {final, orders, cents}
  provinces: new Map(), // code -> {orders, cents, until, was}; the last two up to the cut, was: null if unknown
  corrections: [], // newest first
  gaps: [], faults: {}, redis: { up: true }, health: null, report: null,
  link: "connecting", // connecting, open, gone
  heardWall: 0, heard: 0, // performance.now() of the last event of any kind
  updated: 0, // of the last one that brought figures
  updates: 0,
};

const minuteOf = ([, final, orders, amount]) => ({ final: final === 1, orders, cents: cents(amount) });
const placeOf = ([orders, amount, until, was]) =>
  ({ orders, cents: cents(amount), until: cents(until), was: was === null ? null : cents(was) });
const correctionOf = (c) => ({ ...c, cents: cents(c.amount) });

function moved(data) {
  state.now = data.now;
  state.newest = data.newest;
  state.finalUntil = data.final_until;
  state.cut = data.cut;
  state.gaps = data.gaps;
  state.updated = performance.now();
  state.updates += 1;
}

const events = {
  snapshot(data) {
    setOffset(data.offset_ms);
    Object.assign(state, { ready: true, run: data.run, day: data.day, before: data.before, zone: data.zone });
    state.names = data.names;
    state.codes = Object.keys(data.names).sort();
    state.minutes = {};
    for (const [day, rows] of Object.entries(data.minutes))
      state.minutes[day] = new Map(rows.map((row) => [row[0], minuteOf(row)]));
    state.provinces = new Map(Object.entries(data.provinces).map(([code, row]) => [code, placeOf(row)]));
    state.corrections = data.corrections.map(correctionOf).reverse();
    moved(data);
  },
  changes(data) {
    for (const [day, rows] of Object.entries(data.minutes)) {
      const minutes = (state.minutes[day] ??= new Map());
      for (const row of rows) minutes.set(row[0], minuteOf(row));
    }
    for (const [code, row] of Object.entries(data.provinces)) state.provinces.set(code, placeOf(row));
    if (data.corrections.length)
      state.corrections = [...data.corrections.map(correctionOf).reverse(), ...state.corrections].slice(0, KEPT_CORRECTIONS);
    moved(data);
  },
  redis(data) {
    state.redis = data;
  },
  run(data) {
    if (data.run === null) Object.assign(state, { ready: false, run: null });
  },
  health(data) {
    state.health = data;
  },
  report(data) {
    state.report = data;
  },
  faults(data) {
    state.faults = data;
  },
  beat() {},
};

export const EVENTS = Object.keys(events);

/** Take one event. */
export function take(name, data) {
  state.heard = performance.now();
  state.heardWall = Date.now();
  events[name](data);
}

/** A day's orders and cents, to before minute `until` if that is given. */
export function total(day, until = 1440) {
  let orders = 0;
  let sum = 0n;
  for (const [n, minute] of state.minutes[day] ?? []) {
    if (n >= until) continue;
    orders += minute.orders;
    sum += minute.cents;
  }
  return { orders, cents: sum };
}

/** Whether anything is known of a day. */
export const known = (day) => (state.minutes[day]?.size ?? 0) > 0;

/** What a province or city is called. */
export const nameOf = (code, chinese) => state.names[code]?.[chinese ? 0 : 1] ?? code;
