// The smaller panels: how fresh, what did not count, corrected minutes, the closed report.
import { make, put, replace, table } from "./dom.js";
import { words } from "./i18n.js";
import { signedWhole, signedYuan, whole, yuan, cents } from "./money.js";
import { compared } from "./notices.js";
import { state } from "./state.js";
import { label, minute, second, time, version } from "./time.js";

const REJECTED = ["malformed", "invalid", "future"];

/** Draw what the events have brought; `drawAges` draws what grows by itself. */
export function drawPanels() {
  drawFresh();
  drawVerdicts();
  drawCorrections();
  drawClosed();
  put("run", state.run === null ? "" : words().run(state.run, state.health?.topic));
}

/** What is counted by this browser's own clock. */
export function drawAges() {
  put("age", state.updated ? words().age(words().span((performance.now() - state.updated) / 1000)) : "");
}

const facts = (rows) => rows.flatMap(([name, value, grave]) => [make("dt", {}, name), make("dd", { "data-grave": grave }, value)]);

/** A time of the log: with its day if that is not the one shown. */
const at = (ms) => (ms === null || ms === undefined ? words().unknown : time(ms).startsWith(state.day) ? minute(ms) : time(ms));

function drawFresh() {
  const text = words();
  const t = text.fresh_;
  const health = state.health;
  const check = compared();
  const equal = check === null ? [t.notYet] :
    [`${check.equal ? t.equal : t.differ} ${t.to(version(check.version, state.day))}`, check.equal ? "good" : "bad"];
  const rows = [
    [t.watermark, at(health?.watermark)],
    [t.lag, health?.lag_s === null || health?.lag_s === undefined ? text.unknown : text.span(health.lag_s)],
    [t.final, at(state.finalUntil)],
    [t.newest, at(state.newest)],
    [t.unread, health?.unread === null || health?.unread === undefined ? text.unknown : whole(health.unread)],
    [t.check, ...equal],
  ];
  const alerts = health?.alerts ?? [];
  if (alerts.length) rows.push([t.alerts, [...new Set(alerts.map((alert) => alert.name))].join(", "), "warn"]);
  replace("fresh", rows, () => facts(rows));
  const c = text.columns;
  const partitions = health?.partitions ?? [];
  replace("partitions", partitions, () => partitions.length === 0 ? [] : table(t.ingest,
    [[c.partition], [c.newest, "number"], [c.watermark, "number"], [c.unread, "number"]],
    partitions.map((p) => ({
      "data-grave": p.stalled ? "warn" : undefined,
      cells: [String(p.partition), p.ingest === null ? text.never : second(p.ingest), p.watermark === null ? "–" : minute(p.watermark),
        p.unread === null ? "–" : whole(p.unread)],
    }))));
}

function drawVerdicts() {
  const text = words();
  const today = state.report?.day === state.day ? state.report?.today : null;
  const nothing = notRead() ?? text.noVersion;
  replace("verdicts", today ?? [state.day, nothing], () => {
    if (!today) return make("p", { class: "small" }, nothing);
    const as = make("p", { class: "small" }, text.asOf(version(today.version, state.day)));
    if (!today.verdicts) return [as, make("p", { class: "small" }, text.noVerdicts)];
    const sum = (counts, names) => (counts ? names.reduce((total, name) => total + counts[name], 0) : null);
    const shown = [["late", ["late"]], ["late_copy", ["late_copy"]], ["duplicate", ["duplicate"]], ["rejected", REJECTED], ["conflicting", ["conflicting"]]];
    const c = text.columns;
    return [as, table(text.verdicts, [[c.verdict], [c.records, "number"], [c.hourly, "number"]], shown.map(([name, of]) => {
      const hour = sum(today.last_hour, of);
      return [text.verdict[name], whole(sum(today.verdicts, of)), hour === null ? "–" : signedWhole(hour)];
    }))];
  });
}

/** Why nothing is known of the report, also not that there is none; null if it was read. */
function notRead() {
  if (state.report?.error) return words().unknown;
  return state.report?.day === state.day ? null : words().loading;
}

function drawCorrections() {
  const text = words();
  const shown = state.corrections;
  let all = 0n;
  for (const correction of shown) all += correction.cents;
  put("corrections-sum", shown.length === 0 ? text.noCorrections :
    text.correctionsSum(whole(shown.length), signedYuan(all), second(shown.at(-1).at)));
  const c = text.columns;
  replace("corrections", shown.map((one) => one.id), () => shown.length === 0 ? [] : table(text.corrections,
    [[c.minute], [c.change, "number"], [c.orders, "number"], [c.kind], [c.when, "number"]],
    shown.slice(0, 50).map((one) => ({
      "data-key": one.id,
      cells: [one.day === state.day ? label(one.minute) : `${one.day.slice(5)} ${label(one.minute)}`, signedYuan(one.cents),
        signedWhole(one.orders), text.kinds[one.kind], second(one.at)],
    }))));
}

function drawClosed() {
  const text = words();
  const t = text.closed_;
  const days = state.report?.closed ?? [];
  replace("closed", [days, notRead()], () => {
    if (days.length === 0 && notRead() !== null) return make("p", { class: "small" }, notRead());
    // The day shown comes first once its own report is there; before that, what became of the day before.
    const shown = days.filter((one, n) => one.published || n > 0 || days.length === 1);
    return shown.slice(0, 1).flatMap((one) => {
      if (!one.published) return [make("p", { class: "open" }, t.open(one.day))];
      const verdict = one.reconciled === null ? [t.nobody, "calm"] : one.reconciled.equal ? [t.equal, "good"] : [t.notEqual, "bad"];
      return [
        make("p", { class: "third figure" }, `${one.day} · ${yuan(cents(one.amount))}`),
        make("dl", {}, facts([
          [text.columns.orders, whole(one.orders)],
          [t.users, whole(one.users)],
          [t.version, one.whole ? t.whole : t.part(version(one.version, one.day))],
          [t.verdict, ...verdict],
          [t.published, one.at.slice(0, 16).replace("T", " ")],
        ])),
        make("p", { class: "small" }, `${one.run}${one.previous.length ? ` (${t.before(one.previous.length)})` : ""}`),
        one.reconciled ? make("p", { class: "small" }, one.reconciled.says) : null,
        ...(one.lacks ?? []).map((lack) => make("p", { class: "small", "data-grave": "bad" }, lack)),
        one.differs ? make("p", { class: "small", "data-grave": "bad" }, one.differs) : null,
      ].filter(Boolean);
    });
  });
}
