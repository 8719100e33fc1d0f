// Tokens of an answer and their probabilities, shown where the text is.

import { make } from "./dom.js";

/** The tokens of an answer as they come, with their log probabilities, and where they are in what they spell. */
export class Spelling {
  constructor() {
    this.entries = [];
    this.starts = [];
    this.whole = "";
    this.decoder = new TextDecoder();
  }

  /** Add entries as the server has them. */
  push(entries) {
    for (const entry of entries) {
      this.entries.push(entry);
      this.starts.push(this.whole.length);
      // A character may be spread over several tokens: it belongs to the last of them.
      this.whole += entry.bytes ? this.decoder.decode(new Uint8Array(entry.bytes), { stream: true }) : entry.token;
    }
  }

  /** Where each token begins in a text, and their entries; null where the text is no part of what they spell. */
  of(text) {
    const offset = text ? this.whole.lastIndexOf(text) : -1;
    return offset < 0 ? null : { starts: this.starts.map((start) => start - offset), entries: this.entries };
  }
}

/** A leaf for Markdown that puts each token's stretch of a text into an element of its own. */
export function tokenLeaf({ starts, entries }) {
  return (text, at) => {
    const fragment = document.createDocumentFragment();
    const end = at + text.length;
    // A token of a part of a character has no stretch: the next one has it.
    for (let number = tokenAt(starts, at); number < starts.length && starts[number] < end; number += 1) {
      const first = Math.max(starts[number], at);
      const last = Math.min(starts[number + 1] ?? end, end);
      if (first >= last) continue;
      const element = make("span", { class: "token", "data-token": number, text: text.slice(first - at, last - at) });
      element.style.setProperty("--doubt", (1 - Math.exp(entries[number].logprob)).toFixed(3));
      fragment.append(element);
    }
    return fragment;
  };
}

function tokenAt(starts, at) {
  let [low, high] = [0, starts.length - 1];
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= at) low = middle;
    else high = middle - 1;
  }
  return low;
}

let tip = null;

function theTip() {
  tip ??= document.body.appendChild(make("div", { class: "tip", role: "tooltip", id: "tip", hidden: true }));
  return tip;
}

/** Show a token's probabilities beside its element. */
function show(element, entry) {
  const box = theTip();
  const listed = entry.top_logprobs.some((each) => same(each, entry)) ? entry.top_logprobs : [entry, ...entry.top_logprobs];
  box.replaceChildren(make("table", {}, make("tbody", {}, ...listed.map((each) => row(each, same(each, entry))))));
  box.hidden = false;
  const place = element.getBoundingClientRect();
  const left = Math.min(Math.max(8, place.left), window.innerWidth - box.offsetWidth - 8);
  const below = place.bottom + box.offsetHeight + 12 < window.innerHeight;
  box.style.left = `${left}px`;
  box.style.top = `${below ? place.bottom + 6 : place.top - box.offsetHeight - 6}px`;
}

function same(one, other) {
  return one.token === other.token && String(one.bytes) === String(other.bytes);
}

function row({ token, logprob }, chosen) {
  const share = Math.exp(logprob);
  const bar = make("span", { class: "bar" });
  bar.style.width = `${(share * 100).toFixed(1)}%`;
  return make(
    "tr",
    { class: chosen ? "chosen" : undefined },
    make("th", { scope: "row", text: visible(token) }),
    make("td", { class: "share" }, bar),
    make("td", { text: share >= 0.0005 ? `${(share * 100).toFixed(1)} %` : share.toExponential(1) }),
  );
}

function visible(token) {
  return token.replaceAll("\n", "⏎").replaceAll("\t", "⇥").replaceAll(" ", "␣") || "∅";
}

/** Hide what is shown of a token. */
export function hideTip() {
  if (tip) tip.hidden = true;
}

/** Show probabilities under the pointer and, with the arrow keys, at the token that the keyboard is on. */
export function watchTokens(container, entryOf) {
  let current = null;
  const at = (element) => {
    current?.classList.remove("current");
    current = element;
    current?.classList.add("current");
    const entry = element && entryOf(Number(element.dataset.token));
    if (entry) show(element, entry);
    else hideTip();
  };
  container.addEventListener("mouseover", (event) => at(event.target.closest(".token")));
  container.addEventListener("mouseleave", () => at(null));
  container.addEventListener("blur", () => at(null));
  container.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!step || event.target !== container) return;
    const all = [...container.querySelectorAll(".token")];
    const next = all[(all.indexOf(current) + step + all.length) % all.length];
    if (!next) return;
    event.preventDefault();
    next.scrollIntoView({ block: "nearest" });
    at(next);
  });
}
