// Puts the page together: what the stream brings is drawn when the browser draws, and no more often than can be read.
import { drawCurve, redrawCurve, view } from "./curve.js";
import { calm, pause, wireControls } from "./controls.js";
import { put } from "./dom.js";
import { drawHeadline } from "./headline.js";
import { chinese, words } from "./i18n.js";
import { drawNotices } from "./notices.js";
import { drawAges, drawPanels } from "./panels.js";
import { drawProvinces } from "./provinces.js";
import { state } from "./state.js";
import { follow } from "./stream.js";
import { dayStart, version, weekday } from "./time.js";

const FULL_MS = 200;
const CALM_MS = 1000;
let drawnAt = 0;
let due = 0;

/** Draw soon. */
function draw() {
  if (due) return;
  const wait = Math.max(0, (calm() ? CALM_MS : FULL_MS) - (performance.now() - drawnAt));
  due = setTimeout(() => requestAnimationFrame(drawNow), wait);
}

function drawNow() {
  due = 0;
  drawnAt = performance.now();
  drawNotices(pause.on ? behind() : null);
  if (pause.on) return;
  drawPanels();
  if (!state.ready) return;
  drawDay();
  drawHeadline();
  drawProvinces();
  drawCurve();
}

function drawDay() {
  // A replay whose last day was closed by heartbeats stays on that day.
  const end = dayStart(state.day) + 86_400_000;
  put("day", state.day);
  document.getElementById("day").dateTime = state.day;
  put("weekday", weekday(state.day, chinese() ? "zh-CN" : "en"));
  put("clock", state.now === null ? "" : version(state.now > end ? end : state.now, state.day));
  put("zone", state.zone);
}

/** How far the paused page is behind what it knows. */
const behind = () => ({
  at: pause.at,
  behind: pause.now === null ? 0 : (state.now - pause.now) / 1000,
  updates: state.updates - pause.updates,
});

function redraw() {
  drawNow();
  if (!pause.on) redrawCurve();
}

wireControls(redraw);
const asTable = document.getElementById("curve-as-table");
const nameToggle = () => {
  asTable.textContent = view.asTable ? words().chart : words().table;
  asTable.setAttribute("aria-pressed", String(view.asTable));
};
asTable.addEventListener("click", () => {
  view.asTable = !view.asTable;
  nameToggle();
  drawCurve(true);
});
document.getElementById("language").addEventListener("click", nameToggle);
document.getElementById("cities-close").addEventListener("click", () => document.getElementById("cities").close());
nameToggle();
let resized = 0;
addEventListener("resize", () => {
  clearTimeout(resized);
  resized = setTimeout(redrawCurve, 150); // its letters follow the window
});
setInterval(() => {
  drawAges();
  draw(); // ages in the notices grow too
}, 1000);
// Deferred scripts run in order, so the chart library is there already.
follow(draw);
draw();
