// The charts of the server's page, fed with one look at the server after the other.

import { Chart } from "./chart.js";
import { Shares } from "./shares.js";
import { count, percent, seconds } from "./units.js";

export class Charts {
  constructor(container) {
    this.sequences = new Chart("Sequences", ["running", "waiting"], { format: count });
    this.speed = new Chart("Tokens per second", ["of answers", "computed"], { format: count });
    this.blocks = new Chart("KV blocks", ["used", "kept for prefixes"], { format: count });
    this.hits = new Chart("Prefix cache hits", ["of prompt tokens"], { format: percent, most: 1 });
    this.first = new Chart("Time to first token", ["of requests begun"], { format: seconds });
    this.between = new Chart("Time between tokens", ["mean"], { format: seconds });
    this.steps = new Chart("Steps per second", ["steps"], { format: count });
    this.batch = new Chart("Tokens per step", ["tokens"], { format: count });
    this.before = null;
    this.known = new Set(); // requests whose first token has been counted
    const all = [this.sequences, this.speed, this.blocks, this.hits, this.first, this.between, this.steps, this.batch];
    container.append(...all.map(({ element }) => element));
    this.shares = new Shares(container);
  }

  /** Take what /plugtron/state says. */
  add(state) {
    const { before } = this;
    this.before = state;
    this.addRequests(state);
    if (!state.stats) return;
    const { stats } = state;
    this.sequences.add(stats.running, stats.waiting);
    this.shares.add(state);
    this.blocks.add(stats.blocks_used, stats.cached_blocks);
    // The counts of a server that has been started anew begin anew.
    if (!before?.stats || stats.steps < before.stats.steps) return;
    const time = state.time - before.time;
    const grown = (name) => stats[name] - before.stats[name];
    this.speed.add(Math.max(state.answer_tokens - before.answer_tokens, 0) / time, grown("tokens") / time);
    this.hits.add(grown("prompt_tokens") ? grown("cached_tokens") / grown("prompt_tokens") : null);
    this.steps.add(grown("steps") / time);
    this.batch.add(grown("steps") ? grown("tokens") / grown("steps") : null);
  }

  addRequests({ requests }) {
    const begun = requests.filter(({ id, decode }) => decode !== null && !this.known.has(id));
    for (const { id } of begun) this.known.add(id);
    this.first.add(mean(begun.map(({ queue, prefill }) => queue + prefill)));
    const going = requests.filter(({ open, age, queue, prefill, decode, inter_token: gap }) =>
      gap !== null && (open || age - queue - prefill - decode < 1.5));
    this.between.add(mean(going.map(({ inter_token: gap }) => gap)));
  }
}

function mean(values) {
  return values.length ? values.reduce((sum, value) => sum + value, 0) / values.length : null;
}
