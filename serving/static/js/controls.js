// The reader's own choices: language, theme and motion (kept in this browser), and pause.
import { chinese, translate, words } from "./i18n.js";
import { state } from "./state.js";

export const pause = { on: false, at: 0, now: null, updates: 0 };
const THEMES = ["auto", "light", "dark"];
const MOTIONS = ["auto", "less", "full"];
const root = document.documentElement;

/** Less motion: figures change once a second, nothing fades. */
export const calm = () => root.dataset.motion === "less" ||
  (root.dataset.motion !== "full" && matchMedia("(prefers-reduced-motion: reduce)").matches);

/** Wire the buttons; `changed` is called when all must be drawn anew. */
export function wireControls(changed) {
  const next = (name, values) => () => {
    const value = values[(values.indexOf(root.dataset[name] ?? "auto") + 1) % values.length];
    root.dataset[name] = value;
    localStorage.setItem(`samewater.${name}`, value);
    drawControls();
    changed();
  };
  on("theme", next("theme", THEMES));
  on("motion", next("motion", MOTIONS));
  on("language", () => {
    root.lang = chinese() ? "en" : "zh-CN";
    localStorage.setItem("samewater.language", root.lang);
    translate();
    drawControls();
    changed();
  });
  on("pause", () => {
    Object.assign(pause, { on: !pause.on, at: Date.now(), now: state.now, updates: state.updates });
    drawControls();
    changed();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", changed);
  translate();
  drawControls();
}

function drawControls() {
  const text = words();
  const button = (id) => document.getElementById(id);
  button("pause").textContent = pause.on ? text.resume : text.pause;
  button("pause").setAttribute("aria-pressed", String(pause.on));
  button("language").textContent = text.language;
  button("language").lang = chinese() ? "en" : "zh";
  button("theme").textContent = text.theme[root.dataset.theme ?? "auto"];
  button("motion").textContent = text.motion[root.dataset.motion ?? "auto"];
}

function on(id, action) {
  document.getElementById(id).addEventListener("click", action);
}
