// A node on the canvas: its head, ports, the fields that are edited in it, and what came out.

import { h, iconButton } from "/web/js/dom.js";
import { changedIn, fieldControl } from "./fields.js";
import { flowIcon } from "./icons.js";
import { graph } from "./graph.js";
import { kinds, nameOf, typeClass, typeWords } from "./kinds.js";
import { valueView } from "./values.js";

export const WIDTH = 248;
export const HEAD = 40; // pixels, as in the style
export const ROW = 26;

/** Where a port is, without asking the browser. */
export function portAt(node, side, name) {
  const ports = side === "in" ? node.ports.inputs : node.ports.outputs;
  const i = Math.max(0, ports.findIndex((p) => p.name === name));
  return { x: node.x + (side === "in" ? 0 : WIDTH), y: node.y + HEAD + 8 + i * ROW + ROW / 2 };
}

/** The height of a node, about, before it is drawn. */
export const heightOf = (node) => node.view?.height ?? HEAD + 12 + ROW * Math.max(node.ports.inputs.length, node.ports.outputs.length) + 60;

const STATES = { waiting: "waits", running: "runs", done: "done", cached: "from the cache", skipped: "skipped", error: "failed", stopped: "stopped" };
const QUIET = new Set(["text", "number", "list", "folder", "prompt"]); // what they give can be seen without a result

export class NodeView {
  constructor(node, menu) {
    this.node = node;
    this.kind = kinds.get(node.type);
    this.height = 0;
    this.ports = h("div.ports");
    this.body = h("div.node-body");
    this.result = h("div.result", { hidden: true, tabindex: "0", role: "region" });
    this.state = h("span.state");
    this.name = h("span.node-name");
    this.problem = h("p.node-problem", { hidden: true });
    this.element = h(`div.node.g-${(this.kind?.group ?? "none").toLowerCase().replace(/\W/g, "")}`, { "data-id": node.id, tabindex: "-1", role: "group" },
      h("header.node-head", h("span.node-icon", flowIcon(this.kind?.icon ?? "warn")), this.name, this.state,
        iconButton("more", "Actions of the node", (e) => { e.stopPropagation(); menu(this.node, e.currentTarget); }, ".small.node-more")),
      this.ports, this.body, this.problem, this.result);
    this.drawFields();
    this.drawPorts();
    this.update();
  }

  remove() { this.element.remove(); this.observer?.disconnect(); this.node.view = null; }

  place() {
    this.element.style.transform = `translate(${this.node.x}px, ${this.node.y}px)`;
  }

  /** The fields that are edited in the node. */
  drawFields() {
    const inline = (this.kind?.fields ?? []).filter((f) => f.inline);
    this.body.replaceChildren(...inline.map((field) => {
      const control = fieldControl(field, this.node.data, (f) => changedIn(this.node)(f), null);
      control.setAttribute("aria-label", `${field.name} of ${nameOf(this.node)}`);
      return control;
    }));
    this.body.hidden = !inline.length;
  }

  /** Values of fields that were changed elsewhere. */
  syncFields() {
    const inline = (this.kind?.fields ?? []).filter((f) => f.inline);
    inline.forEach((field, i) => {
      const control = this.body.children[i];
      const value = String(this.node.data[field.name] ?? field.default ?? "");
      if (control !== document.activeElement && control.value !== value) control.value = value;
    });
  }

  drawPorts() {
    const { inputs, outputs } = this.node.ports;
    const key = JSON.stringify([inputs, outputs]);
    if (key === this.portsKey) return;
    this.portsKey = key;
    const port = (p, side) => h(`div.port.${side}.${typeClass(p.type).replaceAll(" ", ".")}`, { "data-port": p.name, "data-side": side, title: `${p.name}: ${typeWords(p.type)}${p.required ? "" : ", may be left out"}` },
      h("span.plug"), h("span.port-name", p.name), h("span.offscreen", `, ${side === "in" ? "input" : "output"}, ${typeWords(p.type)}`));
    const rows = Math.max(inputs.length, outputs.length);
    this.ports.replaceChildren(h("div.side", inputs.map((p) => port(p, "in"))), h("div.side.outs", outputs.map((p) => port(p, "out"))));
    this.ports.hidden = !rows;
  }

  /** Show the state, the problem and the result as they are now. */
  update() {
    const { node } = this;
    const run = node.run;
    const name = nameOf(node);
    if (this.name.textContent !== name) this.name.textContent = name;
    this.name.title = name;
    this.result.setAttribute("aria-label", `Result of ${name}`);
    const state = run?.stale && run.state !== "running" && run.state !== "waiting" ? "stale" : run?.state ?? "";
    this.element.dataset.state = state;
    this.element.classList.toggle("selected", graph.selected.has(node.id));
    this.element.classList.toggle("bad", Boolean(node.problem) && (node.complained || isComplete(node)));
    this.element.tabIndex = graph.focused === node.id ? 0 : -1;
    const problem = node.problem ?? (run?.state === "error" ? run.error : null) ?? (this.kind ? null : `There is no kind of node "${node.type}" here`);
    this.element.setAttribute("aria-label", `${name}${this.kind && node.title ? `, ${this.kind.title}` : ""}${state ? `, ${STATES[state] ?? "of an older flow"}` : ""}${problem ? `: ${problem}` : ""}`);
    this.state.textContent = stateWords(run, state);
    const shown = problem && (run?.state === "error" || isComplete(node) || node.complained || !this.kind) ? problem : "";
    if (this.problem.textContent !== shown) this.problem.textContent = shown;
    this.problem.hidden = !shown;
    this.drawResult(run);
  }

  drawResult(run) {
    const writing = run && ["running", "waiting", "stopped", "error"].includes(run.state) && run.text;
    const value = run?.values ? Object.values(run.values)[0] : undefined;
    const shows = run && (writing || (run.values && !QUIET.has(this.node.type)));
    this.result.hidden = !shows;
    if (!shows) { this.shownValue = undefined; return; }
    if (writing) {
      if (this.writer?.parentNode !== this.result) { this.writer = h("div.v-text"); this.result.replaceChildren(this.writer); this.written = ""; }
      if (run.text.startsWith(this.written)) this.writer.append(run.text.slice(this.written.length));
      else this.writer.textContent = run.text;
      this.written = run.text;
      this.writer.normalize();
      this.shownValue = undefined;
      this.result.scrollTop = this.result.scrollHeight;
    } else if (this.shownValue !== run.values) {
      this.shownValue = run.values;
      this.result.replaceChildren(valueView(value));
      this.result.scrollTop = 0;
    }
  }
}

/** Whether all inputs that a node needs have wires. */
const isComplete = (node) => node.ports.inputs.every((p) => !p.required || graph.edges.some((e) => e.target === node.id && e.targetHandle === p.name));

function stateWords(run, state) {
  if (!run) return "";
  if (state === "running") {
    if (run.progress) return `${run.progress[0]}/${run.progress[1]}`;
    return run.stage ?? "";
  }
  if (state === "done") return run.seconds >= 0.1 ? `${run.seconds < 10 ? run.seconds.toFixed(1) : Math.round(run.seconds)} s` : "";
  return { cached: "cached", skipped: "skipped", stopped: "stopped", error: "failed", stale: "" }[state] ?? "";
}
