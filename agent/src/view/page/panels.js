// Services, connections, log patterns, losses and export: each drawn anew from one answer of the agent.

import { ago, bytes, duration, el, empty, number, rate, share, table, trend } from "./dom.js";

const MOST = 200;

const body = (id) => document.querySelector(`#${id} .body`);

/** Replaces a section's content, unless the reader is using a control in it. */
function draw(id, ...nodes) {
  const place = body(id);
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.key : null;
  const opened = new Set([...place.querySelectorAll("details[open]")].map((node) => node.dataset.key));
  place.replaceChildren(...nodes.filter(Boolean));
  for (const node of place.querySelectorAll("details")) if (opened.has(node.dataset.key)) node.open = true;
  if (focused) [...place.querySelectorAll("[data-key]")].find((node) => node.dataset.key === focused)?.focus({ preventScroll: true });
}

function count(id, value, kind = "") {
  const place = document.querySelector(`#${id}`);
  place.textContent = value;
  place.className = `count ${kind}`;
}

const more = (rows) => (rows.length > MOST ? el("p", { class: "quiet" }, `and ${number(rows.length - MOST)} more`) : null);

/** Services; `choose(name)` lists the requests of one. */
export function services({ services: rows }, choose) {
  const names = new Set(rows.map((row) => row.service));
  count("services-count", names.size || "");
  if (rows.length === 0) {
    draw("services", empty("No service has answered or asked anything yet. Everything on this machine is watched; nothing needs to be configured."));
    return;
  }
  const busy = [...rows].sort((a, b) => b.five_minutes.calls - a.five_minutes.calls || a.service.localeCompare(b.service) || (a.part < b.part ? 1 : -1));
  const columns = [
    { title: "Service", class: "name", cell: (row) => el("button", { type: "button", class: "plain", "data-key": `${row.service} ${row.part}`, onclick: () => choose(row.service) }, row.service) },
    { title: "Part", cell: (row) => el("span", { class: `part ${row.part}` }, row.part === "served" ? "answers" : "calls out") },
    { title: "Rate", number: true, cell: (row) => rate(row.minute.rate) },
    { title: "Errors", number: true, cell: (row) => el("span", { class: row.minute.errors ? "bad-text" : "quiet" }, share(row.minute.errors, row.minute.calls)) },
    { title: "p50", number: true, cell: (row) => duration(row.minute.p50_ns) },
    { title: "p95", number: true, cell: (row) => duration(row.minute.p95_ns) },
    { title: "p99", number: true, cell: (row) => duration(row.minute.p99_ns) },
    { title: "Trend", class: "spark", cell: (row) => trend(row.trend, row.trend_errors) },
  ];
  draw("services", table("Services", columns, busy.slice(0, MOST)), more(busy));
}

/** Connections. */
export function connections({ connections: rows, open }, now) {
  count("connections-count", open || "");
  if (rows.length === 0) {
    draw("connections", empty("No connection seen yet."));
    return;
  }
  const arrow = (row) => ({ served: "←", called: "→" })[row.part] ?? "·";
  const side = (service, address) => [el("strong", {}, service ?? ""), service ? " " : null, el("span", { class: "quiet" }, address)];
  const columns = [
    { title: "Ends", class: "name", cell: (row) => [side(row.service, row.local), ` ${arrow(row)} `, side(row.peer_service, row.remote)] },
    { title: "Protocol", cell: (row) => row.protocol ?? el("span", { class: "quiet" }, `${row.transport}, not recognised`) },
    { title: "Sent", number: true, cell: (row) => bytes(row.sent_bytes) },
    { title: "Received", number: true, cell: (row) => bytes(row.received_bytes) },
    { title: "Round trip", number: true, cell: (row) => duration(row.rtt_ns) },
    { title: "Retransmits", number: true, cell: (row) => el("span", { class: row.retransmits ? "bad-text" : "quiet" }, number(row.retransmits)) },
    { title: "Opened", number: true, cell: (row) => ago(row.opened_us, now) },
    { title: "State", cell: (row) => (row.closed_us ? el("span", { class: "quiet" }, `closed ${ago(row.closed_us, now)}`) : "open") },
  ];
  draw("connections", table("Connections", columns, rows.slice(0, MOST)), more(rows));
}

const LEVELS = ["?", "TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
const level = (severity) => LEVELS[severity === 0 ? 0 : Math.ceil(severity / 4)] ?? "?";
const NEW_US = 60e6;

/** Log patterns. */
export function patterns({ patterns: rows }, now) {
  count("patterns-count", rows.length || "");
  if (rows.length === 0) {
    draw("patterns", empty("No log message seen yet. Logs of containers and of systemd units are read without configuration."));
    return;
  }
  const template = (row) => el("details", { "data-key": `${row.service} ${row.id} ${row.severity}` }, el("summary", { "data-key": `summary ${row.service} ${row.id} ${row.severity}` }, marked(row.template), now - row.first_us < NEW_US ? el("span", { class: "fresh" }, "new") : null), el("p", { class: "quiet" }, "Example:"), el("pre", {}, row.example), el("p", { class: "quiet id" }, `pattern ${row.id}`));
  const columns = [
    { title: "Pattern", class: "pattern", cell: template },
    { title: "Level", cell: (row) => el("span", { class: row.severity >= 17 ? "bad-text" : row.severity >= 13 ? "warn-text" : "quiet" }, level(row.severity)) },
    { title: "Service", cell: (row) => row.service },
    { title: "Rate", number: true, cell: (row) => rate(row.rate) },
    { title: "Total", number: true, cell: (row) => number(row.count) },
    { title: "First", number: true, cell: (row) => ago(row.first_us, now) },
    { title: "Last", number: true, cell: (row) => ago(row.last_us, now) },
    { title: "Trend", class: "spark", cell: (row) => trend(row.trend) },
  ];
  draw("patterns", table("Log patterns", columns, rows.slice(0, MOST)), more(rows));
}

/** A template with its placeholders set apart. */
function marked(template) {
  return el("code", {}, template.split("<*>").flatMap((text, index) => (index === 0 ? [text] : [el("mark", {}, "<*>"), text])));
}

/** What was lost, and what this machine does not let the agent see. */
export function losses({ losses: rows }, status) {
  const off = status.capabilities.filter((row) => row.off);
  const lost = rows.reduce((sum, row) => sum + row.count, 0);
  count("losses-count", lost ? number(lost) : "", lost ? "bad-text" : "");
  const columns = [
    { title: "Where", cell: (row) => row.component },
    { title: "Why", class: "name", cell: (row) => row.reason },
    { title: "How many", number: true, cell: (row) => number(row.count) },
    { title: "Last", number: true, cell: (row) => ago(row.last_us, status.now_us) },
  ];
  const abilities = [
    { title: "Cannot see", class: "name", cell: (row) => row.name },
    { title: "Why", class: "name", cell: (row) => row.off },
  ];
  const works = status.capabilities.filter((row) => !row.off).map((row) => row.name);
  draw(
    "losses",
    rows.length ? table("Losses", columns, rows) : empty("Nothing was lost."),
    off.length ? table("Not possible on this machine", abilities, off) : null,
    works.length ? el("p", { class: "quiet" }, `Works on this machine: ${works.join(", ")}.`) : null,
    status.unlisted ? el("p", { class: "quiet" }, `${number(status.unlisted)} of ${number(status.requests)} requests were counted in the services but not listed one by one, because there were too many in a second.`) : null,
    status.forgotten ? el("p", { class: "quiet" }, `${number(status.forgotten)} old entries of this page were forgotten to keep its memory bounded. What is exported is not affected.`) : null,
  );
}

/** Where telemetry goes. */
export function exporters(status) {
  const rows = status.exporters;
  const failing = rows.some((row) => row.health.state === "failing");
  const fine = rows.length > 0 && rows.every((row) => row.health.state === "ok");
  count("export-state", failing ? "failing" : fine ? "ok" : "", failing ? "bad-text" : "");
  const how = [el("code", {}, "OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:4317 remora run"), " sends the same spans, metrics and logs to any OpenTelemetry backend."];
  if (rows.length === 0) {
    draw("export", empty("Nothing is exported. This page works without a backend; ", how));
    return;
  }
  const health = {
    untried: () => el("span", { class: "quiet" }, "nothing sent yet"),
    ok: ({ since_us: since }) => el("span", { class: "good-text" }, `ok since ${ago(since, status.now_us)}`.replace("since now", "now")),
    failing: ({ since_us: since, error }) => el("span", { class: "bad-text" }, `failing (since ${ago(since, status.now_us)}): ${error}`.replace("(since now)", "now")),
  };
  const columns = [
    { title: "Signal", class: "name", cell: (row) => row.signal },
    { title: "To", class: "name", cell: (row) => row.endpoint },
    { title: "State", class: "name", cell: (row) => health[row.health.state](row.health) },
    { title: "Sent", number: true, cell: (row) => number(row.sent) },
    { title: "Waiting", number: true, cell: (row) => number(row.queued) },
    { title: "Dropped", number: true, cell: (row) => el("span", { class: row.dropped ? "bad-text" : "quiet" }, number(row.dropped)) },
  ];
  draw("export", table("Exporters", columns, rows), failing ? el("p", { class: "quiet" }, "This page works without a backend. ", how) : null);
}

/** The agent about itself, in the head of the page. */
export function agent(status) {
  const facts = [status.host, `kernel ${status.kernel}`, `version ${status.version}`, `${share(status.cpu_cores, 1)} of a core`, bytes(status.memory_bytes), `${number(status.requests)} requests`];
  document.querySelector("#facts").textContent = facts.join(" · ");
  const notice = document.querySelector("#notice");
  const says = { starting: "Capture is being attached …", failed: `Nothing can be captured: ${status.capture.reason}. Run remora check to see what this machine allows.` };
  notice.textContent = says[status.capture.state] ?? "";
  notice.hidden = !notice.textContent;
}
