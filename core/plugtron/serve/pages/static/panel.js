// The panel with the settings of one conversation.

import { make } from "./dom.js";
import { parameterForm } from "./parameters.js";

export class Panel {
  /** `changed` is called with the column whose settings have changed. */
  constructor(element, models, schema, changed) {
    this.element = element;
    this.models = models;
    this.schema = schema;
    this.changed = changed;
    this.column = null;
    element.addEventListener("keydown", (event) => {
      if (event.key !== "Escape") return;
      event.stopPropagation();
      this.close();
    });
  }

  /** Show the settings of a column; close when they are shown already. */
  toggle(column) {
    if (this.column === column) this.close();
    else this.open(column);
  }

  open(column) {
    this.column?.opener.setAttribute("aria-expanded", "false");
    this.column = column;
    column.opener.setAttribute("aria-expanded", "true");
    this.element.hidden = false;
    this.fill();
    this.element.querySelector("select").focus();
  }

  close() {
    const { column } = this;
    this.column = null;
    this.element.hidden = true;
    column?.opener.setAttribute("aria-expanded", "false");
    column?.opener.focus();
  }

  fill() {
    const { settings } = this.column;
    const changed = () => this.changed(this.column);
    const models = this.models.map((name) => make("option", { value: name, text: name }));
    const select = make("select", { id: "model" }, ...models);
    select.value = settings.model;
    select.addEventListener("change", () => {
      settings.model = select.value;
      changed();
    });
    const close = make("button", { type: "button", class: "quiet", text: "Close", on: { click: () => this.close() } });
    this.element.replaceChildren(
      make("header", {}, make("h2", { text: this.column.element.getAttribute("aria-label") }), close),
      make("div", { class: "field" }, make("label", { for: "model", text: "Model" }), select),
      this.text("system", "System prompt", "", 3),
      parameterForm(this.schema, settings.parameters, changed),
      make(
        "details",
        { class: "group", open: Boolean(settings.tools || settings.template) },
        make("summary", { text: "Tools and template" }),
        this.text("tools", "Tools", 'JSON: [{"type": "function", "function": {"name": …, "parameters": …}}]', 4),
        this.text("template", "Template variables", 'JSON: {"enable_thinking": false}', 1),
        this.text("parser", "Parser", "auto: by the template; none; or a parser's name", 1),
      ),
    );
  }

  text(name, label, hint, rows) {
    const { settings } = this.column;
    const field = make("textarea", { id: `setting-${name}`, rows, placeholder: hint, value: settings[name] });
    field.addEventListener("input", () => {
      settings[name] = field.value;
      this.changed(this.column);
    });
    return make("div", { class: "field" }, make("label", { for: field.id, text: label }), field);
  }
}
