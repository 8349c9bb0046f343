// The panel of the selected node: its name, its settings, what came out, and what can be done with it.

import { copyWith, h, icon, iconButton, seconds } from "/web/js/dom.js";
import { changedIn, fieldRow } from "./fields.js";
import { commit, emit, graph, on, removeEdge } from "./graph.js";
import { flowIcon } from "./icons.js";
import { kinds, nameOf, typeWords } from "./kinds.js";
import { run } from "./running.js";
import { valueText, valueView } from "./values.js";

let shown = null; // the id of the node
let shownKey = "";
let place, results;

export function buildPanel(hooks) {
  place = document.getElementById("panel");
  on("select", () => draw(hooks));
  on("change", ({ stepped, loaded }) => { if (stepped || loaded) shown = null; draw(hooks); });
  on("check", () => draw(hooks));
  on("run", (node) => { if (!node || node.id === shown) resultsSoon(); });
}

let waits = false;
function resultsSoon() {
  if (waits) return;
  waits = true;
  requestAnimationFrame(() => { waits = false; drawResults(); });
}

/** Put the focus on the first control of the panel. */
export function enterPanel() { place.querySelector(".panel-body input, .panel-body textarea, .panel-body select")?.focus(); }

function draw(hooks) {
  if (graph.wire) { drawWire(graph.wire); return; }
  const id = graph.selected.size === 1 ? [...graph.selected][0] : null;
  const node = graph.nodes.get(id);
  place.hidden = !node;
  if (!node) { shown = null; place.replaceChildren(); return; }
  const key = `${id} ${node.data.then ?? ""}`;
  if (shown === id && shownKey === key && (place.contains(document.activeElement) || node.view?.element.contains(document.activeElement))) { sync(node); return; }
  [shown, shownKey] = [id, key];
  const kind = kinds.get(node.type);
  results = h("section.panel-part", { "aria-label": "Result" });
  const title = h("input.input.title-input", { value: node.title, placeholder: kind?.title ?? node.type, "aria-label": "Name of the node", maxlength: "200", autocomplete: "off", oninput: () => { node.title = title.value.trim(); commit(`${id}.title`); } });
  const fields = (kind?.fields ?? []).map((f) => fieldRow(f, node.data, changedIn(node, (field) => {
    node.view?.syncFields();
    if (field.name === "then") { node.data.each = {}; shown = null; draw(hooks); place.querySelector('[data-field="then"] select')?.focus(); }
  })));
  place.replaceChildren(
    h("div.panel-head", h("span.node-icon", { "data-group": kind?.group }, flowIcon(kind?.icon ?? "warn")), h("h2", kind?.title ?? node.type), iconButton("close", "Close", () => hooks.leave(), ".small")),
    h("div.panel-body",
      h("section.panel-part", h("p.hint", kind?.about ?? "There is no kind of node of this name here."), h("div.field", h("span.label", "Name"), title), off(kind, hooks)),
      fields.length ? h("section.panel-part", fields) : null,
      results));
  drawResults();
}

function off(kind, hooks) {
  const why = hooks.off(kind?.needs);
  return why ? h("p.note", icon("warn"), why) : null;
}

/** Values that were changed in the node itself, or by undo. */
function sync(node) {
  for (const field of kinds.get(node.type)?.fields ?? []) {
    const control = place.querySelector(`[data-field="${field.name}"] > .input`);
    const value = String(node.data[field.name] ?? field.default ?? "");
    if (control && control !== document.activeElement && control.value !== value) control.value = value;
  }
  drawResults();
}

function drawResults() {
  const node = graph.nodes.get(shown);
  if (!node || !results) return;
  const found = node.run;
  const parts = [];
  const values = Object.entries(found?.values ?? {});
  for (const [name, value] of values) {
    parts.push(h("div.result-head", h("h3", values.length > 1 || name !== "value" ? name : "Result"), h("span.grow"), iconButton("copy", `Copy ${name}`, (e) => copyWith(e.currentTarget, valueText(value)), ".small")), h("div.panel-value", { tabindex: "0", role: "region", "aria-label": "Value" }, valueView(value)));
  }
  if (!values.length && found?.text) parts.push(h("h3", "Result"), h("div.panel-value", { tabindex: "0", role: "region", "aria-label": "Value" }, valueView(found.text)));
  if (found?.state === "error") parts.push(h("p.note.bad", icon("warn"), found.error));
  if (found?.state === "skipped") parts.push(h("p.hint", `It was skipped: ${found.why}.`));
  const facts = [];
  if (found?.state === "cached") facts.push("from the cache");
  if (found?.seconds && found.state === "done") facts.push(seconds(found.seconds));
  if (found?.stats) facts.push(`${found.stats.n_prompt} + ${found.stats.n_generated} tokens`, found.stats.per_second && `${found.stats.per_second} tokens/s`);
  if (found?.stale && values.length) facts.unshift("of an older flow");
  if (facts.length) parts.push(h("p.hint", facts.filter(Boolean).join(" · ")));
  parts.push(h("div.buttons",
    h("button.button.small", { type: "button", onclick: () => run({ targets: [node.id] }) }, icon("play"), "Run to here"),
    h("button.button.small", { type: "button", onclick: () => run({ targets: [node.id], fresh: [node.id] }) }, icon("retry"), "Again")));
  results.replaceChildren(...parts);
}

function drawWire(edge) {
  shown = null;
  const [from, to] = [graph.nodes.get(edge.source), graph.nodes.get(edge.target)];
  if (!from || !to) return;
  place.hidden = false;
  const given = from.ports.outputs.find((p) => p.name === edge.sourceHandle);
  const wanted = to.ports.inputs.find((p) => p.name === edge.targetHandle);
  const value = from.run?.values?.[edge.sourceHandle];
  place.replaceChildren(
    h("div.panel-head", h("h2", "Wire"), iconButton("close", "Close", () => { graph.wire = null; emit("select"); }, ".small")),
    h("div.panel-body",
      h("section.panel-part",
        h("p", h("b", nameOf(from)), ` · ${edge.sourceHandle} (${given ? typeWords(given.type) : "gone"})`),
        h("p", "to ", h("b", nameOf(to)), ` · ${edge.targetHandle} (${wanted ? typeWords(wanted.type) : "gone"})`),
        edge.problem && h("p.note.bad", icon("warn"), edge.problem),
        h("div.buttons", h("button.button.small.danger", { type: "button", onclick: () => { removeEdge(edge); emit("select"); } }, icon("trash"), "Remove the wire"))),
      value === undefined ? null : h("section.panel-part", h("h3", "What it carried last"), h("div.panel-value", { tabindex: "0", role: "region", "aria-label": "Value" }, valueView(value)))));
}
