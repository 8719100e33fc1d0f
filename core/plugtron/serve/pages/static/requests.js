// The last requests: what each waited for and took, as a bar.

import { make } from "./dom.js";
import { seconds } from "./units.js";

const STRETCHES = [["queue", "queued"], ["prefill", "prompt"], ["decode", "answer"]];

/** Show requests in the rows of a table. */
export function showRequests(body, requests) {
  const longest = Math.max(0.001, ...requests.map(total));
  body.replaceChildren(...requests.map((request) => row(request, longest)));
}

function total({ queue, prefill, decode }) {
  return queue + (prefill ?? 0) + (decode ?? 0);
}

function row(request, longest) {
  const cell = (text, name = "number") => make("td", { class: name, text });
  const { id, open, prompt_tokens: prompt, cached_tokens: cached, answer_tokens: answer, preemptions, error } = request;
  const state = open ? (request.decode === null ? (request.prefill === null ? "waits" : "prompt") : "answers") : request.finish_reason ?? "left";
  const times = request.answers > 1 ? ` × ${request.answers}` : "";
  const told = [request.prompt, request.text].filter(Boolean).join(" → ");
  return make(
    "tr",
    { class: open ? "open" : undefined, title: told || undefined },
    cell(id === null ? "–" : String(id)),
    cell(state, error ? "state error-state" : "state"),
    make("td", { class: "timeline" }, bar(request, longest)),
    cell(seconds(total(request))),
    cell(`${prompt}${times}${cached ? ` (${cached} cached)` : ""}`),
    cell(request.answers > 1 ? `${answer} in ${request.answers}` : String(answer)),
    cell(request.inter_token ? `${(1 / request.inter_token).toFixed(1)}` : "–"),
    cell(preemptions ? String(preemptions) : "–"),
  );
}

function bar(request, longest) {
  const known = STRETCHES.filter(([name]) => request[name] !== null);
  const text = known.map(([name, word]) => `${word} ${seconds(request[name])}`).join(", ");
  const element = make("div", { class: "bar", role: "img", "aria-label": text, title: text });
  for (const [name] of known) {
    const stretch = make("span", { class: name });
    stretch.style.width = `${((request[name] / longest) * 100).toFixed(2)}%`;
    element.append(stretch);
  }
  return element;
}
