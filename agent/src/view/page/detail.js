// One request: both ends side by side, and its trace as a waterfall.

import { bytes, clock, duration, el, table } from "./dom.js";
import { read } from "./api.js";

const panel = document.querySelector("#detail");
let opener = null;

/** Starts the panel's keys. */
export function start() {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) close();
  });
}

function close() {
  panel.hidden = true;
  panel.replaceChildren();
  document.body.classList.remove("with-detail");
  if (opener?.isConnected) opener.focus();
}

/** Opens a request by its number. */
export async function show(id) {
  if (panel.hidden) opener = document.activeElement;
  let content;
  try {
    content = contents(await read(`requests/${id}`));
  } catch (error) {
    content = [el("p", { class: "empty" }, error.message)];
  }
  const head = el("div", { class: "bar" }, el("h2", {}, "Request"), el("button", { type: "button", onclick: close, "aria-label": "Close" }, "Close"));
  panel.replaceChildren(head, ...content);
  panel.hidden = false;
  panel.scrollTop = 0;
  document.body.classList.add("with-detail");
  panel.focus({ preventScroll: true });
}

function contents({ request, other_end: other, connection, trace }) {
  const [client, server] = ["client", "producer"].includes(request.kind) ? [request, other] : [other, request];
  const error = request.error ?? other?.error;
  const summary = el("p", { class: "summary" }, el("span", { class: `status ${error ? "bad" : "good"}` }, request.status ?? error ?? "ok"), " ", el("strong", {}, request.label));
  const why = error && error !== request.status ? el("p", { class: "bad-text" }, `error.type: ${error}`) : null;
  return [
    summary,
    why,
    timings(client, server),
    el("h3", {}, "Trace"),
    el("p", { class: "quiet id" }, request.trace_id),
    waterfall(trace, request.id),
    client ? end("Client end", client) : unseen("Client", server),
    server ? end("Server end", server) : unseen("Server", client),
    connection ? carried(connection) : null,
  ].filter(Boolean);
}

/** What the two ends say about the time that the call took. */
function timings(client, server) {
  if (!client || !server) return null;
  const between = client.duration_ns - server.duration_ns;
  const rows = [
    ["seen by the client", client.duration_ns],
    ["inside the server", server.duration_ns],
    ["between them", between],
  ];
  return el("dl", { class: "figures" }, rows.map(([name, ns]) => el("div", {}, el("dt", {}, name), el("dd", {}, ns < 0 ? "–" : duration(ns)))));
}

function end(title, request) {
  const facts = [
    ["service", request.service],
    ["instance", request.instance],
    ["span name", request.name],
    ["kind", request.kind],
    ["began", clock(request.time_us)],
    ["took", duration(request.duration_ns)],
    ["peer", [request.peer_service, request.peer_address].filter(Boolean).join(" · ")],
    ["span id", request.span_id],
    ["parent span id", request.parent_span_id],
    ["not seen", request.incomplete?.join(", ")],
    ...request.attributes,
  ];
  return el("section", { class: "end" }, el("h3", {}, title), pairs(facts));
}

const pairs = (facts) => el("dl", { class: "pairs" }, facts.filter(([, value]) => value).map(([name, value]) => [el("dt", {}, name), el("dd", {}, value)]));

function unseen(end, seen) {
  const who = seen.peer_service ?? seen.peer_address ?? "an unknown address";
  return el("section", { class: "end" }, el("h3", {}, `${end} end`), el("p", { class: "quiet" }, `Not seen: ${who} is on another machine, is excluded, or its request is no longer in the list.`));
}

function carried(connection) {
  const facts = [
    ["transport", connection.transport],
    ["local", connection.local],
    ["remote", connection.remote],
    ["sent", bytes(connection.sent_bytes)],
    ["received", bytes(connection.received_bytes)],
    ["round trip", duration(connection.rtt_ns)],
    ["retransmits", String(connection.retransmits)],
    ["state", connection.closed_us ? `closed ${clock(connection.closed_us)}` : "open"],
  ];
  return el("section", { class: "end" }, el("h3", {}, "Connection"), pairs(facts));
}

/** Spans on the trace's own time: each bar begins and ends where its request did. */
function waterfall(trace, current) {
  const start = Math.min(...trace.map((span) => span.time_us));
  const stop = Math.max(...trace.map((span) => span.time_us + span.duration_ns / 1e3));
  const whole = Math.max(1, stop - start);
  const bar = (span) => {
    const node = el("span", { class: `span ${span.error ? "bad" : span.kind}` });
    const left = Math.min(99, ((span.time_us - start) / whole) * 100);
    node.style.left = `${left}%`;
    node.style.width = `${Math.max(0.8, Math.min(100 - left, (span.duration_ns / 1e3 / whole) * 100))}%`;
    return el("span", { class: "track" }, node);
  };
  const name = (span) => {
    const node = el("button", { type: "button", class: span.id === current ? "current" : null, "aria-current": span.id === current ? "true" : null, onclick: () => show(span.id) }, el("strong", {}, span.service), ` ${span.kind} · ${span.name}`);
    node.style.paddingLeft = `${Math.min(span.depth, 8) * 0.8}rem`;
    return node;
  };
  const columns = [
    { title: "Span", class: "who", cell: name },
    { title: "Time", class: "when", cell: bar },
    { title: "Took", number: true, cell: (span) => duration(span.duration_ns) },
  ];
  const shown = table("Spans of the trace", columns, trace.slice(0, 200));
  shown.classList.add("waterfall");
  return shown;
}
