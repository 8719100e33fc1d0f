// A conversation with settings of its own.

import { Answer } from "./answer.js";
import { make } from "./dom.js";
import { ask, events } from "./server.js";
import { requestOf, summaryOf } from "./settings.js";
import { Turn } from "./turn.js";

const EMPTY = "Write below. Settings has every parameter of this run.";

export class Column {
  /** `hooks`: changed(), opens(column), closes(column). */
  constructor(number, settings, hooks) {
    this.settings = settings;
    this.hooks = hooks;
    this.turns = []; // {user: text or null, turn}
    this.running = null;
    this.title = make("h2", { class: "model" });
    this.summary = make("span", { class: "summary" });
    this.log = make("div", { class: "log", role: "log", tabindex: "0", "aria-label": `Conversation ${number}`, "data-empty": EMPTY });
    const button = (text, act, label) =>
      make("button", { type: "button", class: "quiet", text, "aria-label": label, on: { click: act } });
    this.opener = button("Settings", () => hooks.opens(this), `Settings of conversation ${number}`);
    this.closer = button("×", () => hooks.closes(this), `Close conversation ${number}`);
    const head = make(
      "header",
      {},
      make("div", { class: "titles" }, this.title, this.summary),
      button("Clear", () => this.clear(), `Clear conversation ${number}`),
      this.opener,
      this.closer,
    );
    this.element = make("section", { class: "column", "aria-label": `Conversation ${number}` }, head, this.log);
    this.follows = true;
    this.log.addEventListener("scroll", () => {
      this.follows = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
    });
    this.describe();
  }

  /** Show what the settings are. */
  describe() {
    this.title.textContent = this.settings.model;
    this.summary.textContent = summaryOf(this.settings);
  }

  clear() {
    this.stop();
    this.turns = [];
    this.log.replaceChildren();
  }

  /** Say something, or go on after the results of calls (null). */
  send(text) {
    if (this.running) return;
    this.follows = true;
    for (const { turn } of this.turns) turn.again.hidden = true;
    const turn = new Turn(() => this.regenerate());
    this.turns.push({ user: text, turn });
    if (text !== null) this.log.append(make("article", { class: "user", "aria-label": "You" }, make("p", { text })));
    this.log.append(turn.element);
    this.run();
  }

  regenerate() {
    if (!this.running && this.turns.length) this.run();
  }

  stop() {
    this.running?.abort();
  }

  /** The messages that lead up to the last turn. */
  messages() {
    const { system } = this.settings;
    const messages = system ? [{ role: "system", content: system }] : [];
    for (const [number, { user, turn }] of this.turns.entries()) {
      if (user !== null) messages.push({ role: "user", content: user });
      if (number < this.turns.length - 1) messages.push(...turn.answer.messages());
    }
    return messages;
  }

  /** Have the last turn answered. */
  async run() {
    const { turn } = this.turns.at(-1);
    const answers = new Map([[0, new Answer()]]);
    turn.add(answers.get(0), true);
    turn.again.hidden = true;
    this.running = new AbortController();
    this.element.classList.add("busy");
    this.hooks.changed();
    this.scroll();
    let usage = null;
    try {
      const body = requestOf(this.settings, this.messages());
      const response = await ask("v1/chat/completions", { body, signal: this.running.signal });
      for await (const event of events(response)) {
        usage = event.usage ?? usage;
        for (const choice of event.choices) this.answer(turn, answers, choice.index).take(choice);
        this.scroll();
      }
    } catch (error) {
      if (error.name === "AbortError") for (const answer of answers.values()) answer.finished ??= "stopped";
      else turn.answer.fail(error.message);
    }
    this.running = null;
    this.element.classList.remove("busy");
    for (const answer of answers.values()) answer.end(answers.size === 1 ? usage?.completion_tokens : undefined);
    turn.show();
    turn.again.hidden = turn !== this.turns.at(-1)?.turn;
    this.offerResults(turn);
    this.hooks.changed();
    this.scroll();
  }

  answer(turn, answers, index) {
    if (!answers.has(index)) {
      answers.set(index, new Answer());
      turn.add(answers.get(index), false);
    }
    return answers.get(index);
  }

  /** Let the conversation go on with what functions return. */
  offerResults(turn) {
    const { answer } = turn;
    if (!answer.calls.length || answer.more.querySelector(".send-results")) return;
    const send = () => this.turns.at(-1)?.turn === turn && this.send(null);
    answer.more.append(
      make("button", { type: "button", class: "send-results", text: "Send results", on: { click: send } }),
    );
  }

  scroll() {
    if (!this.follows) return;
    requestAnimationFrame(() => (this.log.scrollTop = this.log.scrollHeight));
  }
}
