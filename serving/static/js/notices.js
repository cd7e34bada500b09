// What somebody must know before trusting the figures: the state in one word, and a sentence for each thing that is wrong.
import { make, put, replace } from "./dom.js";
import { words } from "./i18n.js";
import { cents, whole, yuan } from "./money.js";
import { state } from "./state.js";
import { minute, second, time } from "./time.js";

// How grave each kind is: a fault of figures or servers, something to look at, or only to know.
const GRAVE = {
  gone: "bad", redis: "bad", job_down: "bad", lost: "bad", unequal: "bad", spoilt: "bad", differs: "bad", stale: "bad", fault: "bad",
  stalled: "warn", server: "warn", behind: "warn", job_restarting: "warn", no_run: "warn", report: "warn", run_unknown: "warn",
  log_silent: "calm", quiet: "calm", paused: "calm",
};
const REPLAY_MS = 86_400_000;

/** Everything to be said now, the gravest first. */
export function said() {
  const found = [];
  if (state.link === "gone") found.push({ kind: "gone", since: state.heardWall });
  else if (!state.redis.up) found.push({ kind: "redis", ...state.redis });
  for (const [part, says] of Object.entries(state.faults)) found.push({ kind: "fault", part, says });
  if (state.failed) found.push({ kind: "stale", says: state.failed });
  if (state.redis.up && state.link === "open" && !state.ready && state.run === null && state.health) found.push({ kind: "no_run" });
  const conditions = state.link === "gone" ? [] : state.health?.conditions ?? [];
  found.push(...conditions.filter((c) => c.kind !== "server" || c.server !== "hbase" || !state.report?.error), ...state.gaps);
  if (state.report?.error) found.push({ kind: "report", says: state.report.error });
  const check = compared();
  if (check && !check.equal) found.push({ kind: "differs", ...check });
  const rank = ["bad", "warn", "calm"];
  return found.sort((a, b) => rank.indexOf(GRAVE[a.kind]) - rank.indexOf(GRAVE[b.kind]));
}

/** The screen's minutes beside the report of the newest hour; null while one of them does not reach it. */
export function compared() {
  const today = state.report?.day === state.day ? state.report?.today : null;
  if (!today?.screen) return null;
  const equal = today.screen.amount === today.amount && today.screen.orders === today.orders;
  return { equal, version: today.version, screen: today.screen.amount, report: today.amount };
}

const tell = { minute, time, wall: second, whole, span: (s) => words().span(s), money: (text) => (/^-?\d+\.\d\d$/.test(text) ? yuan(cents(text)) : text) };

/** Draw the state and the notices. `paused`: null, or since when and how far behind. */
export function drawNotices(paused) {
  const text = words();
  const notices = said();
  if (paused) notices.unshift({ kind: "paused", ...paused });
  const first = notices.find((notice) => text.states[notice.kind]);
  const replay = state.now !== null && Date.now() - state.now > REPLAY_MS;
  const kind = first?.kind ?? (state.link === "connecting" ? "connecting" : !state.ready ? "waiting" : replay ? "replay" : "live");
  const pill = document.getElementById("state");
  pill.dataset.kind = kind;
  put("state-text", text.states[kind]);
  document.body.dataset.link = state.link;
  document.body.dataset.old = String(state.link === "gone" || !state.redis.up);
  const sentences = notices.map((notice) => [GRAVE[notice.kind], notice.kind, text.notices[notice.kind](notice, tell)]);
  replace("notices", sentences, () => sentences.map(([grave, kind, sentence]) =>
    make("li", { "data-grave": grave, "data-kind": kind }, make("span", { class: "mark", "aria-hidden": "true" }), sentence)));
}
