// Markdown as models write it, to nodes. Every text that becomes visible goes through `leaf(text, at)`, `at` being its
// place in the source, so that who renders can mark stretches of the source. Nothing is loaded: images become links.

import { copyButton, make } from "./dom.js";
import { inline } from "./inline.js";

const FENCE = /^ {0,3}(`{3,}|~{3,})\s*([^\s`]*)/;
const HEADING = /^ {0,3}(#{1,6})(?:\s+|$)/;
const RULE = /^ {0,3}([-*_])(?:\s*\1){2,}\s*$/;
const QUOTE = /^ {0,3}> ?/;
const ITEM = /^(\s*)([-*+]|\d{1,9}[.)])(\s+|$)/;
const DELIMITERS = /^\s*\|?\s*:?-+:?\s*(\|\s*:?-+:?\s*)*\|?\s*$/;
/** Levels of quotes and lists that are taken apart. */
const DEPTH = 8;

/** Take a text apart into blocks: {start, end, node: function of leaf}. */
export function blocks(source) {
  let at = 0;
  const lines = source.split("\n").map((text) => {
    const line = { text, at };
    at += text.length + 1;
    return line;
  });
  return parse(lines, 0);
}

function parse(lines, depth) {
  const found = [];
  for (let first = 0; first < lines.length; ) {
    if (!lines[first].text.trim()) {
      first += 1;
      continue;
    }
    const { next, node } = block(lines, first, depth);
    const last = lines[next - 1];
    found.push({ start: lines[first].at, end: last.at + last.text.length, node });
    first = next;
  }
  return found;
}

function block(lines, first, depth) {
  const { text } = lines[first];
  if (FENCE.test(text)) return fence(lines, first);
  if (HEADING.test(text)) return heading(lines, first);
  if (RULE.test(text)) return { next: first + 1, node: () => make("hr") };
  if (depth < DEPTH && QUOTE.test(text)) return quote(lines, first, depth);
  if (depth < DEPTH && ITEM.test(text)) return list(lines, first, depth);
  if (isTable(lines, first)) return table(lines, first);
  return paragraph(lines, first);
}

function cut(line, count) {
  return { text: line.text.slice(count), at: line.at + count };
}

function fence(lines, first) {
  const [, mark, language] = FENCE.exec(lines[first].text);
  const indent = lines[first].text.search(/\S/);
  let end = first + 1;
  while (end < lines.length && !closes(lines[end].text, mark)) end += 1;
  const inside = lines.slice(first + 1, end).map((line) => cut(line, Math.min(indent, line.text.search(/\S|$/))));
  return { next: Math.min(end + 1, lines.length), node: (leaf) => code(inside, language, leaf) };
}

function closes(text, mark) {
  const trimmed = text.trim();
  return trimmed.length >= mark.length && trimmed === mark[0].repeat(trimmed.length);
}

function code(lines, language, leaf) {
  const inside = make("code");
  for (const [number, { text, at }] of lines.entries())
    inside.append(leaf(number < lines.length - 1 ? `${text}\n` : text, at));
  const all = () => lines.map(({ text }) => text).join("\n");
  return make(
    "figure",
    { class: "code" },
    make("figcaption", {}, make("span", { text: language || "text" }), copyButton("Copy", all)),
    make("pre", { tabindex: "0", "aria-label": `Code, ${language || "text"}` }, inside),
  );
}

function heading(lines, first) {
  const [whole, marks] = HEADING.exec(lines[first].text);
  const line = cut(lines[first], whole.length);
  line.text = line.text.replace(/\s+#+\s*$/, "");
  // The page has headings of its own above these.
  const tag = `h${Math.min(marks.length + 2, 6)}`;
  return { next: first + 1, node: (leaf) => make(tag, {}, ...inline([line], leaf)) };
}

function quote(lines, first, depth) {
  let next = first;
  while (next < lines.length && QUOTE.test(lines[next].text)) next += 1;
  const inside = lines.slice(first, next).map((line) => cut(line, QUOTE.exec(line.text)[0].length));
  return { next, node: (leaf) => make("blockquote", {}, ...rendered(inside, depth, leaf)) };
}

function rendered(lines, depth, leaf) {
  return parse(lines, depth + 1).map(({ node }) => node(leaf));
}

function list(lines, first, depth) {
  const [, lead, mark] = ITEM.exec(lines[first].text);
  const ordered = /\d/.test(mark);
  const items = [];
  let next = first;
  while (next < lines.length) {
    const begun = ITEM.exec(lines[next].text);
    if (!begun || begun[1].length > lead.length + 1 || /\d/.test(begun[2]) !== ordered || RULE.test(lines[next].text)) break;
    const inside = [cut(lines[next], begun[0].length)];
    next += 1;
    while (next < lines.length && belongs(lines, next, lead.length)) {
      inside.push(cut(lines[next], Math.min(begun[0].length, lines[next].text.search(/\S|$/))));
      next += 1;
    }
    items.push(inside);
    while (next < lines.length && !lines[next].text.trim() && ITEM.test(lines[next + 1]?.text ?? "")) next += 1;
  }
  const start = ordered && Number.parseInt(mark, 10) !== 1 ? Number.parseInt(mark, 10) : undefined;
  return { next, node: (leaf) => make(ordered ? "ol" : "ul", { start }, ...items.map((inside) => item(inside, depth, leaf))) };
}

/** Whether a line belongs to the item of a list that was begun above it. */
function belongs(lines, number, lead) {
  const { text } = lines[number];
  if (text.trim()) return text.search(/\S/) > lead + 1 || (!ITEM.test(text) && !begins(lines, number) && !!lines[number - 1].text.trim());
  const after = lines[number + 1]?.text;
  return after !== undefined && after.trim() !== "" && after.search(/\S/) > lead + 1;
}

function item(lines, depth, leaf) {
  const inside = parse(lines, depth + 1).map(({ node }) => node(leaf));
  // A single paragraph needs no space of its own.
  if (inside[0]?.tagName === "P") inside.splice(0, 1, ...inside[0].childNodes);
  return make("li", {}, ...inside);
}

function isTable(lines, first) {
  const after = lines[first + 1]?.text ?? "";
  return lines[first].text.includes("|") && after.includes("-") && after.includes("|") && DELIMITERS.test(after);
}

function table(lines, first) {
  let next = first + 2;
  while (next < lines.length && lines[next].text.includes("|")) next += 1;
  const row = (line, tag, leaf) => make("tr", {}, ...cells(line).map((cell) => make(tag, {}, ...inline([cell], leaf))));
  return {
    next,
    node: (leaf) =>
      make(
        "div",
        { class: "table", tabindex: "0", role: "region", "aria-label": "Table" },
        make(
          "table",
          {},
          make("thead", {}, row(lines[first], "th", leaf)),
          make("tbody", {}, ...lines.slice(first + 2, next).map((line) => row(line, "td", leaf))),
        ),
      ),
  };
}

function cells({ text, at }) {
  const found = [];
  const border = /(?<!\\)\|/g;
  let from = text.search(/\S/);
  if (text[from] === "|") from += 1;
  for (let mark; from < text.length; from = border.lastIndex) {
    border.lastIndex = from;
    mark = border.exec(text);
    const raw = text.slice(from, mark ? mark.index : text.length);
    if (mark || raw.trim()) found.push({ text: raw.trim(), at: at + from + Math.max(raw.search(/\S/), 0) });
    if (!mark) break;
  }
  return found;
}

function begins(lines, number) {
  const { text } = lines[number];
  return FENCE.test(text) || HEADING.test(text) || RULE.test(text) || QUOTE.test(text);
}

function paragraph(lines, first) {
  let next = first + 1;
  while (next < lines.length && lines[next].text.trim() && !begins(lines, next) && !ITEM.test(lines[next].text)) {
    if (isTable(lines, next)) break;
    next += 1;
  }
  const inside = lines.slice(first, next).map((line) => cut(line, line.text.search(/\S/)));
  return { next, node: (leaf) => make("p", {}, ...inline(inside, leaf)) };
}
