// Where the time of the engine goes: a bar with a part for each.

import { make } from "./dom.js";
import { percent, seconds } from "./units.js";

/** Looks that the bar is a mean of. */
const LOOKS = 10;
const PARTS = [
  ["start", "starting steps: the model and the draw; of a GPU, having it begin"],
  ["finish", "finishing steps: from tokens to text; of a GPU, waiting for it"],
  ["rest", "planning steps, and handing out what they have made"],
  ["idle", "doing nothing"],
];
const WORDS = { start: "model and draw", finish: "tokens to text", rest: "planning", idle: "idle" };

export class Shares {
  constructor(container) {
    this.looks = [];
    this.bar = make("div", { class: "bar", role: "img" });
    this.legend = make("p", { class: "key-of-bars" });
    this.step = make("span", { class: "scale" });
    this.element = make(
      "figure",
      { class: "chart shares", hidden: true },
      make("figcaption", {}, make("span", { class: "title", text: "Where the time goes" }), this.step),
      this.bar,
      this.legend,
    );
    container.append(this.element);
  }

  /** Take what /plugtron/state says; nothing is shown of an engine that does not tell the parts of its steps apart. */
  add({ time, stats }) {
    this.looks.push({ time, stats });
    if (this.looks.length > LOOKS) this.looks.shift();
    const [first, last] = [this.looks[0], this.looks.at(-1)];
    if (last.stats.steps < first.stats.steps) this.looks = [last];
    if (!last.stats.start_seconds || last.time <= first.time) return;
    const grown = (name) => last.stats[name] - first.stats[name];
    const [start, finish, step] = [grown("start_seconds"), grown("finish_seconds"), grown("step_seconds")];
    const whole = Math.max(last.time - first.time, step);
    this.show({ start, finish, rest: Math.max(step - start - finish, 0), idle: whole - step }, whole);
    this.step.textContent = grown("steps") ? `${seconds(step / grown("steps"))} a step` : "";
  }

  show(spent, whole) {
    this.element.hidden = false;
    this.bar.replaceChildren(...PARTS.map(([name, text]) => {
      const part = make("span", { class: name, title: text });
      part.style.width = `${(spent[name] / whole) * 100}%`;
      return part;
    }));
    this.legend.replaceChildren(...PARTS.flatMap(([name, text]) => [
      make("span", { class: name }),
      make("em", { title: text, text: ` ${WORDS[name]} ${percent(spent[name] / whole)}` }),
    ]));
    this.bar.setAttribute("aria-label", this.legend.textContent);
  }
}
