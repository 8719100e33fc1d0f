// What the model says at one point of a conversation: one answer, or several of which one counts.

import { copyButton, make } from "./dom.js";

export class Turn {
  constructor(regenerate) {
    this.answers = [];
    this.current = 0;
    this.place = make("div");
    this.number = make("span", { "aria-live": "polite" });
    const step = (label, by, text) =>
      make("button", { type: "button", class: "quiet", "aria-label": label, text, on: { click: () => this.go(by) } });
    this.chooser = make(
      "div",
      { class: "chooser", hidden: true },
      step("Answer before", -1, "‹"),
      this.number,
      step("Next answer", 1, "›"),
    );
    this.copy = copyButton("Copy", () => this.answer.content);
    this.again = make("button", {
      type: "button",
      class: "quiet",
      text: "Regenerate",
      hidden: true,
      on: { click: regenerate },
    });
    this.element = make(
      "article",
      { class: "turn", "aria-label": "Model" },
      this.place,
      make("div", { class: "actions" }, this.copy, this.again, this.chooser),
    );
  }

  /** The answer that counts. */
  get answer() {
    return this.answers[this.current];
  }

  /** Add an answer, and show it if it is the first of its request. */
  add(answer, shows) {
    this.answers.push(answer);
    if (shows) this.current = this.answers.length - 1;
    this.show();
  }

  go(by) {
    this.current = (this.current + by + this.answers.length) % this.answers.length;
    this.show();
  }

  show() {
    this.copy.hidden = !this.answer.finished;
    this.place.replaceChildren(this.answer.element);
    this.number.textContent = `${this.current + 1} of ${this.answers.length}`;
    this.chooser.hidden = this.answers.length < 2;
  }
}
