// Ties the page together: at each change of the agent's state, at most once a second, every section is brought up to date.

import { listen, read } from "./api.js";
import * as detail from "./detail.js";
import * as panels from "./panels.js";
import * as requests from "./requests.js";

const PAUSE = 1000;

const link = document.querySelector("#link");
const texts = { live: "live", lost: "no answer from the agent" };

function connection(state, why) {
  link.textContent = why ?? texts[state];
  link.className = `badge ${state}`;
}

let running = false;
let again = false;

async function refresh() {
  if (running) {
    again = true;
    return;
  }
  running = true;
  try {
    await all();
    connection("live");
  } catch (error) {
    connection("lost", error instanceof TypeError ? undefined : error.message);
  }
  setTimeout(() => {
    running = false;
    if (again) {
      again = false;
      refresh();
    }
  }, PAUSE);
}

async function all() {
  const [status, services, connections, patterns, losses] = await Promise.all([
    read("status"),
    read("services"),
    read("connections"),
    read("patterns"),
    read("losses"),
    requests.update(),
  ]);
  panels.agent(status);
  panels.services(services, choose);
  requests.services([...new Set(services.services.map((row) => row.service))]);
  panels.connections(connections, status.now_us);
  panels.patterns(patterns, status.now_us);
  panels.losses(losses, status);
  panels.exporters(status);
}

function choose(service) {
  requests.choose(service);
  document.querySelector("#requests").scrollIntoView({ block: "start" });
}

requests.start(detail.show);
detail.start();
refresh();
listen(refresh, connection);
// Rates fall and ages grow while nothing happens.
setInterval(() => document.hidden || refresh(), 5000);
