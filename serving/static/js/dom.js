// Making elements. Text goes in as text, never as HTML: names come from files, and order ids from anywhere.

/** An element: properties that begin with aria- or data- and `class` become attributes, `on…` listeners, others properties. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "class" || name === "scope" || /^(aria|data)-/.test(name)) element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return element;
}

/** A table; a column is [name, class], rows are lists of texts or nodes; the first cell of a row is its header. */
export function table(caption, columns, rows) {
  return make("table", {},
    make("caption", { class: "unseen" }, caption),
    make("thead", {}, make("tr", {}, columns.map(([name, kind]) => make("th", { scope: "col", class: kind }, name)))),
    make("tbody", {}, rows.map((row) => {
      const { cells, ...properties } = Array.isArray(row) ? { cells: row } : row;
      return make("tr", properties, cells.map((cell, n) =>
        make(n === 0 ? "th" : "td", { class: columns[n][1], scope: n === 0 ? "row" : undefined }, cell)));
    })));
}

/** Put a text where it differs: a screen reader and a selection are left alone otherwise. */
export function put(id, text) {
  const element = document.getElementById(id);
  if (element.textContent !== text) element.textContent = text;
}

const shown = new Map();

/** Put elements into a place, if what they are made of (any value that JSON can write) has changed since. */
export function replace(id, of, build) {
  const key = JSON.stringify(of, (_, value) => (typeof value === "bigint" ? String(value) : value)) + document.documentElement.lang;
  if (shown.get(id) === key) return;
  shown.set(id, key);
  const place = document.getElementById(id);
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : undefined;
  const top = place.scrollTop;
  place.replaceChildren(...[build()].flat());
  place.scrollTop = top;
  if (focused) place.querySelector(`[data-key="${CSS.escape(focused)}"]`)?.focus();
}
