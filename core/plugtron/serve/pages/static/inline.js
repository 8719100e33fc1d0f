// What is inside a line of Markdown: emphasis, code, links.

import { make } from "./dom.js";

const SPECIAL = /[\\`*_~[!<]|https?:\/\//g;
const URL_TEXT = /^https?:\/\/[^\s<>"'`]*[^\s<>"'`.,;:!?)\]}*_~]/;
const LINK = /^(!?)\[((?:[^[\]\\]|\\.)*)\]\(\s*<?([^\s()<>]*(?:\([^\s()<>]*\)[^\s()<>]*)*)>?(?:\s+["'][^"']*["'])?\s*\)/;
/** Where links may lead. */
const SAFE = /^(https?:\/\/|mailto:)/i;
const DEPTH = 8;

/** Render lines, each with its place in the source, as nodes. */
export function inline(lines, leaf) {
  return new Inline(lines, leaf).nodes(0, lines.reduce((size, { text }) => size + text.length + 1, -1), 0);
}

class Inline {
  constructor(lines, leaf) {
    this.lines = lines;
    this.leaf = leaf;
    this.text = lines.map(({ text }) => text).join("\n");
  }

  nodes(from, to, depth) {
    const found = [];
    let plain = from;
    for (let at = from; at < to; ) {
      SPECIAL.lastIndex = at;
      const mark = SPECIAL.exec(this.text);
      if (!mark || mark.index >= to) break;
      at = mark.index;
      const made = depth < DEPTH ? this.special(at, to, depth) : null;
      if (!made) {
        at += 1;
        continue;
      }
      found.push(...this.plain(plain, at), ...made.nodes);
      plain = at = made.next;
    }
    return [...found, ...this.plain(plain, to)];
  }

  /** Text as it is: a leaf for each stretch that is in one piece in the source. */
  plain(from, to) {
    const found = [];
    let start = 0;
    for (const [number, { text, at }] of this.lines.entries()) {
      const end = start + text.length + (number < this.lines.length - 1 ? 1 : 0);
      const [first, last] = [Math.max(from, start), Math.min(to, end)];
      if (first < last) found.push(this.leaf(this.text.slice(first, last), at + first - start));
      start = end;
      if (start >= to) break;
    }
    return found;
  }

  special(at, to, depth) {
    const character = this.text[at];
    if (character === "\\") return this.escaped(at, to);
    if (character === "`") return this.code(at, to);
    if (character === "[" || character === "!") return this.link(at, to, depth);
    if (character === "<") return this.automatic(at, to);
    if (character === "h") return this.bare(at, to);
    return this.emphasis(at, to, depth);
  }

  escaped(at, to) {
    if (at + 1 >= to || !/[!-/:-@[-`{-~]/.test(this.text[at + 1])) return null;
    return { next: at + 2, nodes: this.plain(at + 1, at + 2) };
  }

  code(at, to) {
    const [run] = /^`+/.exec(this.text.slice(at, to));
    let end = this.text.indexOf(run, at + run.length);
    while (end >= 0 && (this.text[end + run.length] === "`" || this.text[end - 1] === "`")) {
      while (this.text[end] === "`") end += 1;
      end = this.text.indexOf(run, end);
    }
    if (end < 0 || end + run.length > to) return { next: at + run.length, nodes: this.plain(at, at + run.length) };
    return { next: end + run.length, nodes: [make("code", {}, ...this.plain(at + run.length, end))] };
  }

  link(at, to, depth) {
    const found = LINK.exec(this.text.slice(at, Math.min(to, at + 4000)));
    if (!found || !SAFE.test(found[3])) return null;
    const [whole, image, label, address] = found;
    const first = at + image.length + 1;
    const inside = label ? this.nodes(first, first + label.length, depth + 1) : [document.createTextNode(address)];
    return { next: at + whole.length, nodes: [anchor(address, inside)] };
  }

  automatic(at, to) {
    const found = /^<(https?:\/\/[^\s<>]+|mailto:[^\s<>]+)>/.exec(this.text.slice(at, to));
    if (!found) return null;
    const next = at + found[0].length;
    return { next, nodes: [anchor(found[1], this.plain(at + 1, next - 1))] };
  }

  bare(at, to) {
    const found = URL_TEXT.exec(this.text.slice(at, to));
    if (!found) return null;
    const next = at + found[0].length;
    return { next, nodes: [anchor(found[0], this.plain(at, next))] };
  }

  emphasis(at, to, depth) {
    const character = this.text[at];
    const double = this.text[at + 1] === character;
    if (character === "~" && !double) return null;
    for (const mark of double ? [character + character, character] : [character]) {
      if (mark === "~") break;
      const end = this.closing(at, to, mark);
      if (end < 0) continue;
      const tag = mark === "~~" ? "del" : mark.length === 2 ? "strong" : "em";
      const inside = this.nodes(at + mark.length, end, depth + 1);
      return { next: end + mark.length, nodes: [make(tag, {}, ...inside)] };
    }
    return null;
  }

  /** Where emphasis that begins at a place ends; -1: nowhere. */
  closing(at, to, mark) {
    const first = at + mark.length;
    if (first >= to || /\s/.test(this.text[first])) return -1;
    if (mark[0] === "_" && at > 0 && /\w/.test(this.text[at - 1])) return -1;
    for (let end = this.text.indexOf(mark, first + 1); end >= 0 && end + mark.length <= to; ) {
      const after = this.text[end + mark.length];
      const single = mark.length === 1 && (after === mark || this.text[end - 1] === mark);
      const inWord = mark[0] === "_" && after !== undefined && /\w/.test(after);
      if (!/\s/.test(this.text[end - 1]) && !single && !inWord) return end + (mark.length === 2 && after === mark[0] ? 1 : 0);
      end = this.text.indexOf(mark, end + mark.length);
    }
    return -1;
  }
}

function anchor(address, inside) {
  return make("a", { href: address, target: "_blank", rel: "noopener noreferrer nofollow" }, ...inside);
}
