// A text that grows, as Markdown: only what has changed since the last time is made anew.

import { blocks } from "./markdown.js";
import { tokenLeaf } from "./tokens.js";

const plainLeaf = (text) => document.createTextNode(text);

export class TextView {
  constructor(container) {
    this.container = container;
    this.shown = [];
    this.pending = null;
  }

  /** Show a text, at the next frame; `spelling` has the tokens that spell it, where they are known. */
  update(text, spelling) {
    if (!this.pending) requestAnimationFrame(() => this.flush());
    this.pending = { text, spelling };
  }

  /** Show now what is to be shown. */
  flush() {
    if (!this.pending) return;
    const { text, spelling } = this.pending;
    this.pending = null;
    const tokens = spelling.of(text);
    const leaf = tokens ? tokenLeaf(tokens) : plainLeaf;
    const found = blocks(text);
    const keys = found.map(({ start, end }) => `${Boolean(tokens)}${start}:${text.slice(start, end)}`);
    let same = 0;
    // The last block may go on: what is a paragraph may become a table.
    while (same < this.shown.length - 1 && this.shown[same] === keys[same]) same += 1;
    while (this.container.childNodes.length > same) this.container.lastChild.remove();
    this.container.append(...found.slice(same).map(({ node }) => node(leaf)));
    this.shown = keys;
  }
}
