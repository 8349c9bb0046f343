// Controls for the settings of nodes.

import { h } from "/web/js/dom.js";
import { commit, touch } from "./graph.js";
import { choiceWords, kinds, label, server } from "./kinds.js";
import { schemaEditor } from "./schema.js";

let count = 0;

/** A control with its label for a field; `data` holds its value, `changed` is told of a change. */
export function fieldRow(field, data, changed) {
  const id = `field${count += 1}`;
  const control = fieldControl(field, data, changed, id);
  if (field.type === "boolean" && !field.choices.length) return h("label.switch", control, label(field.name));
  const about = hint(field);
  return h("div.field", { "data-field": field.name }, h("label", { for: id }, label(field.name)), control, about && h("span.hint", about));
}

function hint(field) {
  if (field.widget === "file" || field.widget === "folder") return `Below ${server.files}`;
  if (field.name === "template") return "{{name}} makes an input";
  if (field.name === "temperature") return "0: the most likely words; empty: the model's own";
  return "";
}

/** A control for a field. */
export function fieldControl(field, data, changed, id) {
  const value = data[field.name] === undefined ? field.default : data[field.name];
  const set = (found) => { data[field.name] = found; changed(field); };
  if (field.widget === "schema") return schemaEditor(id, value, set);
  if (field.widget === "kind") return eachEditor(data, value, set);
  if (field.widget === "model" || field.widget === "embedder") return modelPicker(field, value, set, id);
  if (field.choices.length) {
    return h("select.input", { id, onchange: (e) => set(e.target.value) },
      field.choices.map((c) => h("option", { value: c, selected: c === value }, choiceWords(c))));
  }
  if (field.type === "boolean") return h("input", { id, type: "checkbox", checked: value, onchange: (e) => set(e.target.checked) });
  if (field.type === "number" || field.type === "whole") return numberInput(field, value, set, id);
  const many = field.widget === "lines" || field.widget === "code";
  const input = h(many ? "textarea.input" : "input.input", {
    id, value: value ?? "", rows: many ? 3 : null, spellcheck: field.widget === "code" ? "false" : null, autocomplete: "off",
    placeholder: { template: "Summarize: {{text}}", system: "You are …", value: "…" }[field.name],
    oninput: (e) => set(e.target.value),
  });
  if (field.widget === "code") { input.classList.add("code-input"); input.addEventListener("keydown", indent); }
  return input;
}

/** Tab indents code, unless Escape was pressed before it. */
function indent(e) {
  if (e.key === "Escape") e.target.dataset.leave = "1";
  else if (e.key === "Tab" && !e.shiftKey && !e.target.dataset.leave) {
    e.preventDefault();
    e.target.setRangeText("    ", e.target.selectionStart, e.target.selectionEnd, "end");
    e.target.dispatchEvent(new Event("input", { bubbles: true }));
  } else delete e.target.dataset.leave;
}

function numberInput(field, value, set, id) {
  const input = h("input.input", {
    id, type: "number", value: value ?? "", step: field.type === "whole" ? "1" : "any", min: field.least, max: field.most,
    placeholder: field.optional ? "default" : null,
    oninput: () => {
      const found = input.value.trim() === "" ? (field.optional ? null : undefined) : Number(input.value);
      const wrong = found === undefined || Number.isNaN(found) || !input.validity.valid;
      input.setAttribute("aria-invalid", String(wrong));
      if (!wrong) set(found);
    },
  });
  return input;
}

function modelPicker(field, value, set, id) {
  const embeds = field.widget === "embedder";
  const names = embeds ? server.embedders : server.models;
  const usual = embeds ? server.embedder : server.default;
  const all = names.includes(value) || !value ? names : [...names, value];
  return h("select.input", { id, onchange: (e) => set(e.target.value) },
    h("option", { value: "", selected: !value }, usual ? `Default (${usual})` : "Default"),
    all.map((name) => h("option", { value: name, selected: name === value }, name)));
}

/** The settings of the kind that Map gives its items to. */
function eachEditor(data, value, set) {
  const kind = kinds.get(data.then ?? "generate");
  const inner = { ...value };
  if (!kind) return h("span.hint", "none");
  for (const name of Object.keys(inner)) if (!kind.fields.some((f) => f.name === name)) delete inner[name];
  return h("div.each", kind.fields.map((f) => fieldRow(f, inner, () => set({ ...inner }))), !kind.fields.length && h("span.hint", "none"));
}

/** Take note of a change of a setting of a node. */
export function changedIn(node, then) {
  return (field) => {
    touch(node.id);
    commit(`${node.id}.${field.name}`);
    then?.(field);
  };
}

