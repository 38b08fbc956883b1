// Elements and texts. Data becomes text nodes only: nothing from the wire is ever read as markup.

/** Makes an element: attributes by name, `on…` functions as listeners, children as nodes or text. */
export function el(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

const svg = (tag, attributes, ...children) => fill(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return node;
}

/** A table whose cells carry the heading of their column, so that a narrow window can show rows as cards. */
export function table(caption, columns, rows) {
  const head = columns.map((column) => el("th", { scope: "col", class: column.number ? "number" : null }, column.title));
  const cells = (row) => columns.map((column) => el("td", { "data-title": column.title, class: column.class ?? (column.number ? "number" : null) }, column.cell(row)));
  const body = rows.map((row) => el("tr", {}, cells(row)));
  return el("table", {}, el("caption", { class: "hidden" }, caption), el("thead", {}, el("tr", {}, head)), el("tbody", {}, body));
}

/** A help text for a place that is still empty. */
export const empty = (...children) => el("p", { class: "empty" }, children);

/** Bars of the counts of each 5 s, with failed ones in the error colour. */
export function trend(counts, errors = []) {
  const most = Math.max(1, ...counts);
  const height = (count) => (count === 0 ? 0 : Math.max(1.5, (count / most) * 20));
  const bar = (count, index, kind) => (count === 0 ? null : svg("rect", { x: index * 2, y: 20 - height(count), width: 1.6, height: height(count), class: kind }));
  const total = counts.reduce((sum, count) => sum + count, 0);
  const bars = counts.map((count, index) => [bar(count, index, "bar"), bar(errors[index] ?? 0, index, "bar error")]);
  const name = `${total} in five minutes`;
  return svg("svg", { class: "trend", viewBox: `0 0 ${counts.length * 2} 20`, preserveAspectRatio: "none", role: "img", "aria-label": name }, svg("line", { x1: 0, x2: counts.length * 2, y1: 20, y2: 20, class: "base" }), bars);
}

const significant = (value) => (value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2));

/** Nanoseconds for a reader. */
export function duration(ns) {
  if (ns === null || ns === undefined) return "–";
  if (ns < 1e3) return `${ns} ns`;
  if (ns < 1e6) return `${significant(ns / 1e3)} µs`;
  if (ns < 1e9) return `${significant(ns / 1e6)} ms`;
  return ns < 120e9 ? `${significant(ns / 1e9)} s` : `${(ns / 60e9).toFixed(0)} min`;
}

/** Bytes for a reader. */
export function bytes(count) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  const power = Math.min(units.length - 1, Math.floor(Math.log2(Math.max(1, count)) / 10));
  return power === 0 ? `${count} B` : `${significant(count / 2 ** (10 * power))} ${units[power]}`;
}

/** A rate per second; rates below one a second are given per minute. */
export function rate(perSecond) {
  if (perSecond === 0) return "0/s";
  return perSecond < 1 ? `${significant(perSecond * 60)}/min` : `${significant(perSecond)}/s`;
}

/** A whole number with its thousands apart. */
export const number = (value) => value.toLocaleString("en-US");

/** A share in percent; one that is not zero never reads as zero. */
export function share(part, whole) {
  if (!part) return "0 %";
  const percent = (part / whole) * 100;
  return percent < 0.1 ? "< 0.1 %" : `${percent < 10 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

/** Time of day with milliseconds. */
export function clock(us) {
  const date = new Date(us / 1e3);
  const two = (value) => String(value).padStart(2, "0");
  return `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${String(date.getMilliseconds()).padStart(3, "0")}`;
}

/** How long ago, on the agent's clock. */
export function ago(us, nowUs) {
  const seconds = Math.max(0, (nowUs - us) / 1e6);
  if (seconds < 2) return "now";
  if (seconds < 120) return `${seconds.toFixed(0)} s ago`;
  if (seconds < 7200) return `${(seconds / 60).toFixed(0)} min ago`;
  return seconds < 172800 ? `${(seconds / 3600).toFixed(0)} h ago` : `${(seconds / 86400).toFixed(0)} days ago`;
}
