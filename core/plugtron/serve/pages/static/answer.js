// One answer: its text as it comes, reasoning and calls folded, and how fast it was.

import { make } from "./dom.js";
import { TextView } from "./text_view.js";
import { Spelling, watchTokens } from "./tokens.js";

export class Answer {
  constructor() {
    this.content = "";
    this.reasoning = "";
    this.calls = [];
    this.spelling = new Spelling();
    this.tokens = 0;
    this.finished = null;
    this.error = null;
    this.sent = performance.now();
    this.first = this.last = null;
    this.body = make("div", { class: "text" });
    this.view = new TextView(this.body);
    this.foot = make("div", { class: "figures" });
    this.more = make("div", { class: "more" });
    this.element = make("div", { class: "answer" }, this.more, this.body, this.foot);
    this.element.classList.add("waiting");
    this.watch(this.body);
  }

  /** Take what one choice of an event adds. */
  take({ delta, logprobs, finish_reason: reason }) {
    const { content, reasoning_content: thought, tool_calls: calls } = delta;
    if (logprobs) this.spelling.push(logprobs.content);
    if (content || thought || calls || logprobs) {
      this.last = performance.now();
      this.first ??= this.last;
      this.tokens += 1;
      this.element.classList.remove("waiting");
    }
    if (content) this.content += content;
    if (thought) this.think(thought);
    for (const call of calls ?? []) this.call(call);
    if (content || logprobs) this.show();
    if (reason) this.finished = reason;
  }

  watch(container) {
    watchTokens(container, (number) => this.spelling.entries[number]);
  }

  show() {
    if (this.spelling.entries.length && !this.body.hasAttribute("tabindex")) {
      this.body.tabIndex = 0;
      this.body.setAttribute("role", "group");
      this.body.setAttribute("aria-label", "Answer; the arrow keys go from token to token");
      this.body.setAttribute("aria-describedby", "tip");
    }
    this.view.update(this.content, this.spelling);
  }

  think(text) {
    if (!this.thoughts) {
      this.thoughts = make("div", { class: "text" });
      this.thoughtView = new TextView(this.thoughts);
      this.watch(this.thoughts);
      this.more.append(make("details", { class: "reasoning" }, make("summary", { text: "Reasoning" }), this.thoughts));
    }
    this.reasoning += text;
    this.thoughtView.update(this.reasoning, this.spelling);
  }

  call({ index, id, function: called }) {
    const call = (this.calls[index] ??= { id, name: "", arguments: "" });
    call.name += called.name ?? "";
    call.arguments += called.arguments ?? "";
    if (!call.element) {
      call.title = make("summary");
      call.shown = make("code");
      call.result = make("textarea", { rows: "2", placeholder: "What the function returns" });
      const label = make("label", {}, make("span", { text: "Result" }), call.result);
      call.element = make("details", { class: "call" }, call.title, make("pre", { tabindex: "0" }, call.shown), label);
      this.more.append(call.element);
    }
    call.title.textContent = `Call: ${call.name}`;
    call.shown.textContent = pretty(call.arguments);
  }

  /** The stream is over; `usage` has the server's count of tokens. */
  end(usage) {
    this.element.classList.remove("waiting");
    this.view.flush();
    this.tokens = usage ?? this.tokens;
    const first = this.first === null ? null : (this.first - this.sent) / 1000;
    const rate = this.tokens > 1 && this.last > this.first ? (this.tokens - 1) / ((this.last - this.first) / 1000) : null;
    const figures = [
      first === null ? null : ["first token", `first token ${first.toFixed(2)} s`],
      rate === null ? null : ["speed", `${rate.toFixed(1)} tokens/s`],
      ["length", `${this.tokens} tokens`],
      this.finished ? ["end", this.finished] : null,
    ];
    for (const figure of figures)
      if (figure) this.foot.append(make("span", { title: figure[0], "data-figure": figure[0], text: figure[1] }));
  }

  /** Show an error as it is. */
  fail(message) {
    this.error = message;
    this.element.append(make("p", { class: "error", role: "alert", text: message }));
  }

  /** The messages that a conversation goes on with: the answer, and the results of its calls. */
  messages() {
    const calls = this.calls.map(({ id, name, arguments: given }) => ({
      id,
      type: "function",
      function: { name, arguments: given },
    }));
    const message = { role: "assistant", content: this.content || (calls.length ? null : "") };
    if (calls.length) message.tool_calls = calls;
    const results = this.calls.map(({ id, result }) => ({ role: "tool", tool_call_id: id, content: result.value }));
    return [message, ...results];
  }
}

function pretty(text) {
  try {
    return JSON.stringify(JSON.parse(text), null, 2);
  } catch {
    return text; // it is still coming
  }
}
