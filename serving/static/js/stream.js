// The one stream of this page: opened, resumed from the last id, opened again when it is gone.
import { EVENTS, state, take } from "./state.js";

const SILENT_MS = 16_000; // three beats of the server and a bit
const AGAIN_MS = 2_000;

let source = null;
let lastId = "";
let timer = 0;

/** Follow the stream for ever; `changed(name)` is called after each event and each change of the connection. */
export function follow(changed) {
  open(changed);
  // A connection that died without a word (a sleeping laptop, a cable) ends by no event at all.
  setInterval(() => {
    if (state.link === "open" && performance.now() - state.heard > SILENT_MS) lost(changed);
  }, 1000);
}

function open(changed) {
  source = new EventSource(lastId ? `/stream?after=${encodeURIComponent(lastId)}` : "/stream");
  source.onopen = () => {
    state.link = "open";
    state.heard = performance.now();
    changed("link");
  };
  // Always anew and with our own last id: a browser gives up for good after an answer that is an error.
  source.onerror = () => lost(changed);
  for (const name of EVENTS)
    source.addEventListener(name, (event) => {
      if (event.lastEventId) lastId = event.lastEventId;
      try {
        take(name, JSON.parse(event.data));
        delete state.failed;
      } catch (error) {
        state.failed = String(error); // shown on the page: what could not be read is missing
      }
      changed(name);
    });
}

function lost(changed) {
  source.close();
  if (state.link !== "gone") state.link = "gone";
  clearTimeout(timer);
  timer = setTimeout(() => open(changed), AGAIN_MS);
  changed("link");
}
