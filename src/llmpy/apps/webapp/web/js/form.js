// An answer in JSON as a form that follows its schema, filled while the answer is written.

import { copyWith, h, iconButton } from "./dom.js";

/** The value of JSON that may be cut anywhere: what is open is closed. Undefined where nothing can be read. */
export function partialJson(text) {
  try { return JSON.parse(text); } catch { /* it is cut */ }
  const open = [];
  let inString = false;
  let safe = ""; // the longest beginning after which closing gives valid JSON
  let closing = "";
  for (let i = 0; i < text.length; i += 1) {
    const c = text[i];
    if (inString) {
      if (c === "\\") i += 1;
      else if (c === '"') inString = false;
    } else if (c === '"') inString = true;
    else if (c === "{" || c === "[") open.push(c === "{" ? "}" : "]");
    else if (c === "}" || c === "]") open.pop();
    if (!inString && (c === "," || c === "{" || c === "[" || c === "}" || c === "]")) {
      safe = c === "," ? text.slice(0, i) : text.slice(0, i + 1);
      closing = [...open].reverse().join("");
    }
  }
  for (const attempt of [text + (inString ? '"' : "") + [...open].reverse().join(""), safe + closing]) {
    try { return JSON.parse(attempt); } catch { /* the next */ }
  }
  return undefined;
}

const typeOf = (schema) => (Array.isArray(schema?.type) ? schema.type.find((t) => t !== "null") : schema?.type)
  ?? (schema?.properties ? "object" : schema?.items ? "array" : schema?.enum ? "enum" : "string");

const words = (name) => name.replace(/[_-]+/g, " ").replace(/([a-z])([A-Z])/g, "$1 $2").replace(/^./, (c) => c.toUpperCase());

export class FormView {
  constructor(place, schema, save) {
    Object.assign(this, { schema, save, text: null });
    this.fields = h("div.answer-form");
    this.json = h("pre.form-json", { hidden: true, tabindex: "0" });
    this.saveButton = h("button.button.small.primary", { type: "button", hidden: true, onclick: () => this.store() }, "Save changes");
    const toggle = h("button.button.small.quiet", { type: "button", "aria-pressed": "false", onclick: () => {
      this.json.hidden = !this.json.hidden;
      this.fields.hidden = !this.json.hidden;
      toggle.textContent = this.json.hidden ? "Show JSON" : "Show form";
    } }, "Show JSON");
    place.replaceChildren(h("div.form-card",
      h("div.form-head", h("strong", schema.title ?? "Answer"), h("span.grow"), this.saveButton, toggle,
        iconButton("copy", "Copy JSON", (e) => copyWith(e.currentTarget, this.json.textContent), ".small")),
      this.fields, this.json));
  }

  show(text, running) {
    if (text === this.text && running === this.running) return;
    Object.assign(this, { text, running });
    const value = partialJson(text);
    if (value === undefined) { this.json.textContent = text; return; }
    this.value = value;
    this.json.textContent = JSON.stringify(value, null, 2);
    this.fill(this.fields, this.schema, value, (changed) => { this.value = changed; this.changed(); });
  }

  changed() {
    this.json.textContent = JSON.stringify(this.value, null, 2);
    this.saveButton.hidden = false;
  }

  store() {
    this.saveButton.hidden = true;
    this.save(JSON.stringify(this.value, null, 2));
  }

  /** Fill a place with the fields of a value; fields that are there keep their nodes. */
  fill(place, schema, value, set) {
    const type = typeOf(schema);
    if (type === "object" && value && typeof value === "object" && !Array.isArray(value)) this.fillObject(place, schema, value, set);
    else if (type === "array" && Array.isArray(value)) this.fillArray(place, schema, value, set);
    else this.fillLeaf(place, schema, type, value, set);
  }

  fillObject(place, schema, value, set) {
    const names = [...new Set([...Object.keys(schema.properties ?? {}), ...Object.keys(value)])];
    names.forEach((name, i) => {
      let row = place.children[i];
      if (row?.dataset.name !== name) {
        row = h("div.form-row", { "data-name": name }, h("span.form-label", { title: schema.properties?.[name]?.description }, words(name)), h("div.form-value"));
        if (place.children[i]) place.children[i].replaceWith(row); else place.append(row);
      }
      if (value[name] === undefined) return;
      this.fill(row.lastChild, schema.properties?.[name] ?? {}, value[name], (v) => { value[name] = v; set(value); });
      label(row);
    });
    while (place.children.length > names.length) place.lastChild.remove();
  }

  fillArray(place, schema, value, set) {
    value.forEach((item, i) => {
      const box = place.children[i] ?? place.appendChild(h("div.form-item"));
      this.fill(box, schema.items ?? {}, item, (v) => { value[i] = v; set(value); });
      for (const input of box.querySelectorAll(":scope > .input")) input.setAttribute("aria-label", `Item ${i + 1}`);
    });
    while (place.children.length > value.length) place.lastChild.remove();
    if (!value.length) place.replaceChildren(h("span.hint", "none"));
  }

  fillLeaf(place, schema, type, value, set) {
    const kind = schema?.enum ? "enum" : type;
    let input = place.firstChild;
    if (input?.dataset?.kind !== kind) {
      input = leaf(kind, schema);
      input.dataset.kind = kind;
      place.replaceChildren(input);
    }
    input.oninput = () => set(kind === "boolean" ? input.checked : kind === "number" || kind === "integer" ? Number(input.value) : input.value);
    if (document.activeElement === input) return;
    if (kind === "boolean") input.checked = value === true;
    else {
      const text = typeof value === "string" ? value : JSON.stringify(value);
      if (kind === "enum" && ![...input.options].some((o) => o.value === text)) input.append(h("option", { value: text }, text));
      if (input.value !== text) input.value = text;
    }
  }
}

function leaf(kind, schema) {
  if (kind === "boolean") return h("input", { type: "checkbox" });
  if (kind === "enum") return h("select.input", schema.enum.map((v) => h("option", { value: String(v) }, String(v))));
  if (kind === "number" || kind === "integer") return h("input.input", { type: "number", step: kind === "integer" ? "1" : "any" });
  return h("textarea.input.grow-input", { rows: "1" });
}

function label(row) {
  for (const input of row.querySelectorAll(":scope > .form-value > input, :scope > .form-value > textarea, :scope > .form-value > select")) {
    input.setAttribute("aria-label", row.firstChild.textContent);
  }
}
