// The settings of a conversation: what a request is made of, and how a link holds them.

/** Settings without any choice made. */
export function newSettings(model) {
  return { model, system: "", parameters: {}, tools: "", template: "", parser: "" };
}

/** The body of a request. */
export function requestOf(settings, messages) {
  const { logprobs, ...parameters } = settings.parameters;
  const body = { model: settings.model, messages, stream: true, stream_options: { include_usage: true }, ...parameters };
  if (logprobs !== undefined) Object.assign(body, { logprobs: true, top_logprobs: logprobs });
  if (settings.tools.trim()) body.tools = parsed("Tools", settings.tools);
  if (settings.template.trim()) body.chat_template_kwargs = parsed("Template variables", settings.template);
  if (settings.parser) body.parser = settings.parser;
  return body;
}

function parsed(name, text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new Error(`${name}: ${error.message}`);
  }
}

/** The settings in a line. */
export function summaryOf({ system, parameters, tools }) {
  const set = Object.entries(parameters).map(([name, value]) => `${name} ${short(value)}`);
  return [...(system ? ["system prompt"] : []), ...(tools.trim() ? ["tools"] : []), ...set].join(" · ");
}

function short(value) {
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > 24 ? `${text.slice(0, 23)}…` : text;
}

/** The settings of all conversations as the part of a link behind #. */
export function toHash(all) {
  const empty = newSettings("");
  const changed = all.map((settings) =>
    Object.fromEntries(
      Object.entries(settings).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(empty[name])),
    ),
  );
  return `#${encodeURIComponent(JSON.stringify(changed))}`;
}

/** The inverse of `toHash`; null where there is nothing. Throws where it is something else. */
export function fromHash(hash, model) {
  if (hash.length < 2) return null;
  const read = JSON.parse(decodeURIComponent(hash.slice(1)));
  if (!Array.isArray(read) || !read.length) throw new Error("no list of settings");
  return read.map((given) => {
    const settings = newSettings(model);
    for (const [name, value] of Object.entries(given)) {
      if (!Object.hasOwn(settings, name) || typeof value !== typeof settings[name] || Array.isArray(value) || value === null)
        throw new Error(`${name} is none of the settings`);
      settings[name] = value;
    }
    return settings;
  });
}
