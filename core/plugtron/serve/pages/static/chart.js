// Lines over time, as SVG.

import { draw, make } from "./dom.js";

const [WIDTH, HEIGHT, TOP, BOTTOM] = [320, 96, 6, 4];

/** A chart of one or two lines over the last `size` values. */
export class Chart {
  /** `lines`: names; `format`: a value as a text; `most`: the top of the scale, where it is fixed. */
  constructor(title, lines, { size = 120, format = String, most = null } = {}) {
    this.size = size;
    this.format = format;
    this.most = most;
    this.series = lines.map((name, number) => ({
      values: [],
      path: draw("path", { class: `line line-${number}` }),
      area: draw("path", { class: `area area-${number}` }),
      now: make("strong", { text: "–" }),
      name,
    }));
    this.top = make("span", { class: "scale" });
    this.mark = draw("line", { class: "mark", y1: TOP, y2: HEIGHT - BOTTOM, visibility: "hidden" });
    const parts = this.series.flatMap(({ area, path }) => [area, path]);
    this.svg = draw("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" }, ...parts, this.mark);
    this.svg.setAttribute("aria-label", title);
    const legend = this.series.map(({ name, now }, number) =>
      make("span", { class: `legend legend-${number}` }, now, name ? ` ${name}` : ""),
    );
    this.element = make(
      "figure",
      { class: "chart" },
      make("figcaption", {}, make("span", { class: "title", text: title }), this.top, make("span", { class: "legends" }, ...legend)),
      this.svg,
    );
    this.svg.addEventListener("pointermove", (event) => this.point(event));
    this.svg.addEventListener("pointerleave", () => this.point(null));
    this.at = null;
  }

  /** Add a value to each line; null: there is none. */
  add(...values) {
    for (const [number, series] of this.series.entries()) {
      series.values.push(values[number] ?? null);
      if (series.values.length > this.size) series.values.shift();
    }
    this.paint();
  }

  paint() {
    const all = this.series.flatMap(({ values }) => values).filter((value) => value !== null);
    const most = this.most ?? roundUp(Math.max(0, ...all));
    this.top.textContent = this.format(most);
    for (const { values, path, area } of this.series) {
      const runs = runsOf(values, (index, value) => [
        WIDTH - ((values.length - 1 - index) * WIDTH) / (this.size - 1),
        HEIGHT - BOTTOM - (Math.min(value, most) / most) * (HEIGHT - TOP - BOTTOM),
      ]);
      // One value alone is a dot: a line of no length, with round ends.
      const line = runs.map((run) => `M${run.map(([x, y]) => `${x.toFixed(1)} ${y.toFixed(1)}`).join("L")}h0.01`);
      path.setAttribute("d", line.join(""));
      const floor = HEIGHT - BOTTOM;
      area.setAttribute("d", runs.map((run, number) => `${line[number]}V${floor}H${run[0][0].toFixed(1)}Z`).join(""));
    }
    this.say();
  }

  /** Show the values at the pointer, or the last ones. */
  point(event) {
    const box = this.svg.getBoundingClientRect();
    this.at = event && Math.round(((box.right - event.clientX) / box.width) * (this.size - 1));
    this.mark.setAttribute("visibility", event ? "visible" : "hidden");
    if (event) {
      const x = WIDTH - (this.at * WIDTH) / (this.size - 1);
      this.mark.setAttribute("x1", x);
      this.mark.setAttribute("x2", x);
    }
    this.say();
  }

  say() {
    for (const { values, now } of this.series) {
      const value = values.at(-1 - (this.at ?? 0));
      now.textContent = value === undefined || value === null ? "–" : this.format(value);
    }
  }
}

/** Stretches of values that are there, as points. */
function runsOf(values, point) {
  const runs = [];
  let run = null;
  for (const [index, value] of values.entries()) {
    if (value === null) run = null;
    else {
      if (!run) runs.push((run = []));
      run.push(point(index, value));
    }
  }
  return runs;
}

function roundUp(value) {
  if (value <= 0) return 1;
  const unit = 10 ** Math.floor(Math.log10(value));
  return [1, 2, 5, 10].map((factor) => factor * unit).find((step) => step >= value * 0.999);
}
