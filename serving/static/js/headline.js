// The large figures: amount, orders, average, each against the day before at the same minute.
import { put } from "./dom.js";
import { words } from "./i18n.js";
import { average, percent, signedWhole, signedYuan, whole, yuan } from "./money.js";
import { known, state, total } from "./state.js";
import { label, minute, second } from "./time.js";

const SPOKEN_MS = 60_000;
let spokenAt = 0;
let spokenOf = "";

/** Draw them. */
export function drawHeadline() {
  const now = total(state.day);
  const amount = yuan(now.cents);
  const mean = average(now.cents, now.orders);
  put("amount", amount);
  document.getElementById("amount").style.setProperty("--characters", Math.max(9, amount.length));
  put("orders", whole(now.orders));
  put("average", mean === null ? "–" : yuan(mean));
  const against = compared();
  put("amount-against", against.amount);
  put("amount-before", known(state.before) ? words().whole(yuan(total(state.before).cents)) : "");
  put("orders-against", against.orders);
  put("average-against", against.average);
  speak(amount, now.orders);
}

/** The three comparisons, both sides up to the last minute that has ended. */
function compared() {
  const text = words();
  if (!known(state.before)) return { amount: text.nothingBefore, orders: "", average: "" };
  const today = total(state.day, state.cut);
  const before = total(state.before, state.cut);
  const means = [average(today.cents, today.orders), average(before.cents, before.orders)];
  if (state.cut === 0) return { amount: text.notAgainst, orders: "", average: "" };
  const until = label(state.cut);
  const short = (delta, share) => (share ? `${delta} (${share})` : delta);
  return {
    amount: text.against(signedYuan(today.cents - before.cents), percent(today.cents, before.cents), until),
    orders: short(signedWhole(today.orders - before.orders), percent(today.orders, before.orders)),
    average: means.includes(null) ? "" : short(signedYuan(means[0] - means[1]), percent(means[0], means[1])),
  };
}

/** For a screen reader: the headline, at most once a minute. */
function speak(amount, orders) {
  const of = `${state.run} ${state.day}`;
  if (of === spokenOf && performance.now() - spokenAt < SPOKEN_MS) return;
  spokenOf = of;
  spokenAt = performance.now();
  put("spoken", words().spoken(amount, whole(orders), state.now === null ? second(Date.now()) : minute(state.now)));
}
