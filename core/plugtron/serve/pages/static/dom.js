// Elements are made here, and texts are texts: nothing of the pages writes HTML.

/** Make an element: `class`, `text`, `on: {event: function}`, `value` and `checked` are properties, the rest attributes. */
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, act] of Object.entries(value)) element.addEventListener(event, act);
    else if (name === "value" || name === "checked") element[name] = value;
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an element of SVG with attributes. */
export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

/** A button with a text that copies something to the clipboard. */
export function copyButton(label, text) {
  const button = make("button", { type: "button", class: "quiet", text: label });
  button.addEventListener("click", async () => {
    const done = await copy(text());
    button.textContent = done ? "Copied" : "Not allowed";
    setTimeout(() => (button.textContent = label), 1500);
  });
  return button;
}

/** Copy a text; false where the browser does not allow it. */
export async function copy(text) {
  if (!navigator.clipboard) return false; // a page without TLS that is not of this machine
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
