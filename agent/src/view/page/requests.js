// The list of requests: newest first, both ends of one call on one line, at most MOST lines.

import { clock, duration, el, empty, number } from "./dom.js";
import { read } from "./api.js";

const MOST = 300;

const list = document.querySelector("#requests .body");
const note = document.querySelector("#requests-note");
const form = document.querySelector("#filter");
const pause = document.querySelector("#pause");

let calls = [];
let last = 0;
let generation = 0;
let paused = false;
let waiting = 0;
let open = () => {};

/** Starts the list; `show(id)` opens the detail of a request. */
export function start(show) {
  open = show;
  let timer = 0;
  const restart = () => {
    clearTimeout(timer);
    timer = setTimeout(reset, 150);
  };
  form.addEventListener("input", restart);
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    reset();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    waiting = 0;
    pause.setAttribute("aria-pressed", String(paused));
    pause.textContent = paused ? "Resume" : "Pause";
    update();
  });
  list.addEventListener("click", (event) => {
    const line = event.target.closest("button[data-id]");
    if (line) open(Number(line.dataset.id));
  });
  list.addEventListener("keydown", step);
}

/** Up and down move between the lines. */
function step(event) {
  const line = event.target.closest("li");
  const next = { ArrowDown: line?.nextElementSibling, ArrowUp: line?.previousElementSibling }[event.key];
  if (next) {
    event.preventDefault();
    next.querySelector("button").focus();
  }
}

function filter() {
  return Object.fromEntries(new FormData(form));
}

async function reset() {
  generation += 1;
  calls = [];
  last = 0;
  await update();
}

/** Fetches what is new and shows it. */
export async function update() {
  const asked = generation;
  let answer;
  try {
    answer = await read("requests", { ...filter(), after: last, limit: MOST });
  } catch (error) {
    list.replaceChildren(empty(error.message));
    return;
  }
  if (asked !== generation) return;
  // A restarted agent counts from one again.
  if (answer.last < last) return reset();
  if (paused && last > 0) {
    waiting = answer.requests.length + answer.more;
    return label();
  }
  last = answer.last;
  for (const request of answer.requests.reverse()) add(request);
  calls.splice(MOST);
  draw();
}

const asks = (request) => request.kind === "client" || request.kind === "producer";

/** Puts a request into the line of its other end, or into a new one. */
function add(request) {
  const mine = asks(request) ? "client" : "server";
  const span = asks(request) ? request.span_id : request.parent_span_id;
  const call = calls.find((other) => other.trace === request.trace_id && other.span === span && span && !other[mine]);
  if (call) {
    call[mine] = request;
    call.drawn = null;
  } else {
    calls.unshift({ trace: request.trace_id, span, [mine]: request, drawn: null });
  }
}

function draw() {
  label();
  if (calls.length === 0) {
    list.replaceChildren(nothing());
    return;
  }
  const lines = calls.map((call) => (call.drawn ??= line(call)));
  let ordered = list.querySelector("ol");
  if (!ordered) {
    ordered = el("ol", { class: "calls" });
    list.replaceChildren(ordered);
  }
  const focus = document.activeElement;
  sync(ordered, lines);
  if (focus?.isConnected) focus.focus({ preventScroll: true });
}

/** Makes the children of `parent` these nodes and touches only those that differ. */
function sync(parent, nodes) {
  const wanted = new Set(nodes);
  for (const child of [...parent.children]) if (!wanted.has(child)) child.remove();
  nodes.forEach((node, index) => {
    if (parent.children[index] !== node) parent.insertBefore(node, parent.children[index] ?? null);
  });
}

function label() {
  const many = calls.length === MOST ? `the last ${MOST}` : number(calls.length);
  note.textContent = paused ? `paused, ${number(waiting)} new` : `${many} shown`;
}

function nothing() {
  if (Object.values(filter()).some(Boolean)) return empty("No request matches. ", el("button", { type: "button", onclick: clear }, "Clear the filter"));
  return empty("No request seen yet. Send one to any server on this machine: ", el("code", {}, "curl http://localhost:8080/"), " and it appears here within two seconds. Nothing listens? ", el("code", {}, "python3 -m http.server 8080"), " starts a server.");
}

function clear() {
  form.reset();
  reset();
}

function line(call) {
  const request = call.client ?? call.server;
  const end = call.server ?? call.client;
  const from = call.client?.service ?? call.server.peer_service ?? address(call.server) ?? "?";
  const to = call.server?.service ?? call.client.peer_service ?? address(call.client) ?? "?";
  const error = request.error ?? end.error;
  const status = request.status ?? end.status ?? error ?? "";
  const both = call.client && call.server;
  const inside = both ? el("span", { class: "quiet", title: "inside the server" }, ` (${duration(call.server.duration_ns)})`) : null;
  const parts = [
    el("time", {}, clock(request.time_us)),
    el("span", { class: `status ${error ? "bad" : "good"}`, title: error ?? "success" }, status || "ok"),
    el("span", { class: "label" }, request.label),
    el("span", { class: "took" }, duration(request.duration_ns), inside),
    el("span", { class: "ends" }, el("span", { class: call.client ? "seen" : "quiet" }, from), " → ", el("span", { class: call.server ? "seen" : "quiet" }, to), el("span", { class: "quiet" }, ` · ${request.protocol}`), request.incomplete ? el("span", { class: "quiet", title: request.incomplete.join(", ") }, " · incomplete") : null),
  ];
  return el("li", {}, el("button", { type: "button", "data-id": request.id, class: error ? "call bad" : "call" }, parts));
}

const address = (request) => request.peer_address;

/** Offers the services to choose from. */
export function services(names) {
  const select = form.elements.service;
  const known = [...select.options].slice(1).map((option) => option.value);
  if (known.join("\n") === names.join("\n") || document.activeElement === select) return;
  const chosen = select.value;
  const kept = chosen && !names.includes(chosen) ? [chosen, ...names] : names;
  select.replaceChildren(el("option", { value: "" }, "all"), ...kept.map((name) => el("option", { value: name }, name)));
  select.value = chosen;
}

/** Shows the requests of one service. */
export function choose(service) {
  const select = form.elements.service;
  if (![...select.options].some((option) => option.value === service)) select.append(el("option", { value: service }, service));
  select.value = service;
  reset();
}
