// Talking to the server: the key that it may want, errors as it says them, streams of events.

import { make } from "./dom.js";

const KEY = "plugtron-key";

/** What the server says instead of an answer. */
export class ServerError extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

/** Ask the server for something; with a body it is posted as JSON. Throws ServerError. */
export async function ask(path, { body, signal } = {}) {
  const headers = {};
  const key = sessionStorage.getItem(KEY);
  if (key) headers.Authorization = `Bearer ${key}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const method = body === undefined ? "GET" : "POST";
  const response = await fetch(path, { method, headers, signal, body: body && JSON.stringify(body) });
  if (response.ok) return response;
  if (response.status === 401) wantKey();
  throw new ServerError(response.status, messageOf(await response.text(), response));
}

function messageOf(text, response) {
  try {
    return JSON.parse(text).error.message ?? text;
  } catch {
    return text || `${response.status} ${response.statusText}`;
  }
}

/** The data of a stream of events, one after the other, until its end. Throws ServerError for an error in the stream. */
export async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const parts = (rest + value).split(/\r?\n\r?\n/);
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (!data.length) continue;
      if (data.join("") === "[DONE]") return;
      const event = JSON.parse(data.join("\n"));
      if (event.error) throw new ServerError(200, event.error.message);
      yield event;
    }
  }
}

/** Show the field for the key. It is kept for this tab alone. */
function wantKey() {
  const place = document.getElementById("key");
  place.hidden = false;
  if (place.firstChild) return;
  const field = make("input", { type: "password", id: "key-field", autocomplete: "off", placeholder: "API key" });
  const form = make(
    "form",
    {
      on: {
        submit: (event) => {
          event.preventDefault();
          sessionStorage.setItem(KEY, field.value);
          place.hidden = true;
          document.dispatchEvent(new CustomEvent("key"));
        },
      },
    },
    make("label", { for: "key-field", text: "This server wants an API key." }),
    field,
    make("button", { type: "submit", text: "Use it" }),
  );
  place.append(form);
}
