// The page of the server: what it is put together of, and what it does now.

import { Charts } from "./charts.js";
import { copyButton, make } from "./dom.js";
import { showRequests } from "./requests.js";
import { ask } from "./server.js";

const place = (id) => document.getElementById(id);
const EVERY_MS = 1000;

const charts = new Charts(place("charts"));
let assembled = false;

/** Show what does not change. */
async function showAssembled() {
  const run = await (await ask("plugtron/assembled")).json();
  const { machine } = run;
  document.title = `${run.models[0]} – plugtron`;
  place("model").textContent = run.models.join(", ");
  const { all, tensor, pipeline, data } = machine.ranks;
  const facts = [
    ["Device", machine.device],
    ["Dtype", machine.dtype],
    ["Ranks", all === 1 ? "1" : `${all}: tensor ${tensor}, pipeline ${pipeline}, data ${data}`],
    ["Replicas", String(run.replicas)],
    ["Threads", `${machine.threads} of ${machine.cores} cores`],
    ["Longest sequence", run.max_sequence_length === null ? "–" : `${run.max_sequence_length} tokens`],
    ["Software", `plugtron ${run.version}, torch ${machine.torch}, Python ${machine.python}`],
    ["System", machine.system],
  ];
  place("facts").replaceChildren(...facts.map(([name, text]) => make("div", {}, make("dt", { text: name }), make("dd", { text }))));
  fill("components", run.components, ({ kind, name, distribution, version, summary }) => [kind, name, `${distribution} ${version}`, summary]);
  fill("plugins", run.plugins, ({ name, distribution, version, state, error }) => [name, `${distribution} ${version}`, error ? `${state}: ${error}` : state]);
  place("spec").textContent = run.spec;
  place("copy-spec").replaceChildren(copyButton("Copy", () => run.spec));
  assembled = true;
}

function fill(id, records, columns) {
  place(id).replaceChildren(...records.map((record) => make("tr", {}, ...columns(record).map((text) => make("td", { text })))));
}

async function look() {
  try {
    if (!assembled) await showAssembled();
    const state = await (await ask("plugtron/state")).json();
    charts.add(state);
    showRequests(place("requests"), state.requests);
    place("open").textContent = state.requests.length ? `${state.open} open` : "none yet";
    place("trouble").hidden = true;
    return true;
  } catch (error) {
    place("trouble").textContent = error.message;
    place("trouble").hidden = false;
    return error.status !== 401;
  }
}

/** Look again and again, while somebody sees it. */
async function watch() {
  const goesOn = document.hidden || (await look());
  if (goesOn) setTimeout(watch, EVERY_MS);
}

document.addEventListener("key", watch);
watch();
