// A form for the parameters that the server declares.

import { make } from "./dom.js";

/** What most requests are about; everything else is by the part that uses it. */
const COMMON = [
  "temperature", "max_tokens", "top_p", "top_k", "min_p", "seed", "n", "stop",
  "repetition_penalty", "presence_penalty", "frequency_penalty", "logprobs",
];

/** The form: fields for all properties of a schema; `values` is changed, and `changed` called. */
export function parameterForm(schema, values, changed) {
  const { properties } = schema;
  const groups = new Map([["Common", COMMON.filter((name) => name in properties)]]);
  for (const [name, { by }] of Object.entries(properties)) {
    if (COMMON.includes(name)) continue;
    const title = by.kind === "sampler" ? by.name : `${by.kind} ${by.name}`;
    groups.set(title, [...(groups.get(title) ?? []), name]);
  }
  const rows = [];
  const sections = [...groups].map(([title, names]) => {
    const own = names.map((name) => row(name, properties[name], values, changed));
    rows.push(...own);
    const open = title === "Common" || names.some((name) => name in values);
    return make("details", { class: "group", open }, make("summary", { text: title }), ...own.map(({ element }) => element));
  });
  const filter = make("input", { type: "search", placeholder: "Find a parameter", "aria-label": "Find a parameter" });
  filter.addEventListener("input", () => find(filter.value.toLowerCase(), rows, sections));
  return make("div", { class: "parameters" }, filter, ...sections);
}

function find(words, rows, sections) {
  for (const { element, text } of rows) element.hidden = !text.includes(words);
  for (const section of sections) {
    section.hidden = !section.querySelector(".parameter:not([hidden])");
    if (words && !section.hidden) section.open = true;
  }
}

function row(name, schema, values, changed) {
  const id = `parameter-${name}`;
  const control = controlOf(schema, values[name]);
  control.id = id;
  control.setAttribute("aria-describedby", `${id}-help`);
  control.addEventListener("input", () => {
    try {
      const value = read(control.value, schema);
      if (value === undefined) delete values[name];
      else values[name] = value;
      control.removeAttribute("aria-invalid");
      control.title = "";
      changed();
    } catch (error) {
      control.setAttribute("aria-invalid", "true");
      control.title = error.message;
    }
  });
  const bounds = [rangeOf(schema), defaultOf(schema), schema.needs ? `needs ${schema.needs}` : ""].filter(Boolean).join("; ");
  const help = make("p", { id: `${id}-help` }, schema.description ?? "", make("span", { class: "bounds", text: bounds }));
  const element = make("div", { class: "parameter" }, make("label", { for: id, text: name }), control, help);
  return { element, text: `${name} ${schema.description ?? ""}`.toLowerCase() };
}

function controlOf(schema, value) {
  const written = value === undefined ? "" : typeof value === "string" && !needsJson(schema) ? value : JSON.stringify(value);
  const hint = schema.default ?? schema.unset;
  const placeholder = hint === undefined || hint === null ? "" : String(typeof hint === "object" ? JSON.stringify(hint) : hint);
  const choices = schema.type === "boolean" ? [true, false] : schema.enum;
  if (choices) {
    const options = choices.map((each) => make("option", { value: JSON.stringify(each), text: String(each) }));
    const select = make("select", {}, make("option", { value: "", text: placeholder ? `default: ${placeholder}` : "default" }), ...options);
    select.value = value === undefined ? "" : JSON.stringify(value);
    return select;
  }
  if (schema.type === "integer" || schema.type === "number") {
    const step = schema.type === "integer" ? "1" : "any";
    const bounds = { min: schema.minimum ?? schema.exclusiveMinimum, max: schema.maximum };
    return make("input", { type: "number", inputmode: "decimal", step, ...bounds, placeholder, value: written });
  }
  const lines = schema.type === "array" && schema.items?.type === "string";
  return make("textarea", { rows: "1", spellcheck: "false", placeholder: placeholder || (lines ? "one a line, or JSON" : ""), value: written });
}

function needsJson(schema) {
  return !allows(schema, "string");
}

function allows(schema, type) {
  return schema.type === type || (schema.anyOf ?? []).some((form) => form.type === type);
}

/** The value of what has been written; undefined: nothing. Throws where it cannot be read. */
function read(text, schema) {
  if (!text.trim()) return undefined;
  if (schema.type === "string" && !schema.enum) return text;
  if (schema.type === "array" && schema.items?.type === "string" && !text.trim().startsWith("["))
    return text.split("\n").filter((line) => line !== "");
  if (schema.type === "integer" || schema.type === "number") {
    const number = Number(text);
    if (Number.isNaN(number)) throw new Error("not a number");
    return number;
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    if (allows(schema, "string")) return text;
    throw error;
  }
}

function rangeOf(schema) {
  const found = [];
  if (schema.minimum !== undefined) found.push(`≥ ${bound(schema.minimum)}`);
  if (schema.exclusiveMinimum !== undefined) found.push(`> ${bound(schema.exclusiveMinimum)}`);
  if (schema.maximum !== undefined) found.push(`≤ ${bound(schema.maximum)}`);
  if (schema.exclusiveMaximum !== undefined) found.push(`< ${bound(schema.exclusiveMaximum)}`);
  return found.join(", ");
}

function bound(number) {
  return number >= 2 ** 31 ? `2^${Math.round(Math.log2(number))}` : String(number);
}

function defaultOf(schema) {
  const value = schema.default ?? schema.unset;
  return value === undefined || value === null ? "" : `default ${JSON.stringify(value)}`;
}
