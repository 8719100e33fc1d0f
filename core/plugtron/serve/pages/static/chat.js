// The page of chats: conversations beside each other, and one place to write.

import { Column } from "./column.js";
import { copy, make } from "./dom.js";
import { Panel } from "./panel.js";
import { ask } from "./server.js";
import { fromHash, newSettings, toHash } from "./settings.js";
import { hideTip } from "./tokens.js";

const MOST = 4;
const place = (id) => document.getElementById(id);
const [columns, input, send, stop, add, link, notice] = [
  "columns", "input", "send", "stop", "add", "link", "notice",
].map(place);

let shown = [];
let numbered = 0;
let panel = null;
let linking = null;

/** Say something about the page itself. */
function say(text) {
  notice.textContent = text;
  notice.hidden = !text;
}

function addColumn(settings) {
  numbered += 1;
  const column = new Column(numbered, settings, {
    changed: update,
    opens: (each) => panel.toggle(each),
    closes: removeColumn,
  });
  shown.push(column);
  columns.append(column.element);
  update();
}

function removeColumn(column) {
  column.stop();
  if (panel.column === column) panel.close();
  shown = shown.filter((each) => each !== column);
  column.element.remove();
  update();
  input.focus();
}

/** Bring what depends on the conversations up to date. */
function update() {
  const busy = shown.some((column) => column.running);
  send.hidden = busy;
  stop.hidden = !busy;
  add.disabled = shown.length >= MOST;
  columns.dataset.count = shown.length;
  for (const column of shown) column.closer.hidden = shown.length < 2;
  clearTimeout(linking); // browsers count how often an address changes
  linking = setTimeout(writeLink, 150);
}

/** Have the address hold the settings. */
function writeLink() {
  history.replaceState(null, "", toHash(shown.map(({ settings }) => settings)));
}

function sendAll() {
  const text = input.value;
  if (!text.trim() || shown.some((column) => column.running)) return;
  input.value = "";
  grow();
  for (const column of shown) column.send(text);
}

function stopAll() {
  for (const column of shown) column.stop();
  input.focus();
}

/** As high as what is written, up to a limit of the style. */
function grow() {
  input.style.height = "auto";
  input.style.height = `${input.scrollHeight + 2}px`;
}

function listen() {
  send.addEventListener("click", sendAll);
  stop.addEventListener("click", stopAll);
  add.addEventListener("click", () => addColumn(structuredClone(shown.at(-1).settings)));
  link.addEventListener("click", async () => {
    writeLink();
    const done = await copy(location.href);
    say(done ? "The link is copied. It holds the settings, not the conversation." : "The link is in the address bar.");
    setTimeout(() => say(""), 4000);
  });
  input.addEventListener("input", grow);
  input.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    sendAll();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    hideTip();
    stopAll();
  });
  window.addEventListener("hashchange", () => restore(shown[0].settings.model));
}

/** Begin with the settings of the link, or with none. */
function restore(model) {
  for (const column of shown) column.stop();
  if (panel.column) panel.close();
  let all = null;
  say("");
  try {
    all = fromHash(location.hash, model);
  } catch (error) {
    say(`The settings of this link cannot be read: ${error.message}`);
  }
  shown = [];
  columns.replaceChildren();
  for (const settings of (all ?? [newSettings(model)]).slice(0, MOST)) addColumn(settings);
}

async function start() {
  try {
    const [models, schema] = await Promise.all(
      ["v1/models", "plugtron/parameters"].map(async (path) => (await ask(path)).json()),
    );
    const names = models.data.map(({ id }) => id);
    panel = new Panel(place("panel"), names, schema, (column) => {
      column.describe();
      update();
    });
    restore(names[0]);
    for (const each of [input, send, add, link]) each.disabled = false;
    input.focus();
  } catch (error) {
    columns.replaceChildren(make("p", { class: "error", role: "alert", text: error.message }));
  }
}

listen();
document.addEventListener("key", () => shown.length || start());
start();
