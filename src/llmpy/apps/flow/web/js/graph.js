// The flow that is edited: nodes, wires, what is selected, and its history.

import { kinds } from "./kinds.js";

/** Nodes by id, wires, and what is selected of them. */
export const graph = { nodes: new Map(), edges: [], selected: new Set(), wire: null, focused: null };

const listeners = {};
/** Call a function when something happens: "change", "select", "check", "run", "loaded". */
export const on = (kind, f) => { (listeners[kind] ??= []).push(f); };
export const emit = (kind, what) => { for (const f of listeners[kind] ?? []) f(what); };

const MOST_HISTORY = 200;
const past = [];
let future = [];
let last = "";
let lastKey = null;
let lastTime = 0;

/** The flow as files have it. */
export function toJSON(ids = null) {
  const among = (id) => !ids || ids.has(id);
  return {
    nodes: [...graph.nodes.values()].filter((n) => among(n.id)).map(({ id, type, title, data, x, y }) => ({
      id, type, title, data, position: { x: Math.round(x), y: Math.round(y) },
    })),
    edges: graph.edges.filter((e) => among(e.source) && among(e.target)).map(({ source, sourceHandle, target, targetHandle }) => ({ source, sourceHandle, target, targetHandle })),
  };
}

/** The node of some JSON. */
export function makeNode({ id, type, title = "", data = {}, position = { x: 0, y: 0 } }) {
  const kind = kinds.get(type);
  return {
    id, type, title, data: structuredClone(data), x: position.x, y: position.y, problem: null, run: null, view: null,
    ports: { inputs: kind?.inputs ?? [], outputs: kind?.outputs ?? [] },
  };
}

/** Take a whole flow in place of the one that is there; results of nodes that stay are kept. */
export function replaceAll(flow) {
  const before = graph.nodes;
  graph.nodes = new Map();
  for (const given of flow.nodes) {
    const node = makeNode(given);
    const old = before.get(node.id);
    if (old && old.type === node.type) Object.assign(node, { run: old.run, ports: old.ports, view: old.view, problem: old.problem });
    if (node.view) { node.view.node = node; before.delete(node.id); }
    graph.nodes.set(node.id, node);
  }
  for (const gone of before.values()) gone.view?.remove();
  graph.edges = flow.edges.map((e) => ({ ...e, problem: null }));
  graph.selected = new Set([...graph.selected].filter((id) => graph.nodes.has(id)));
  if (!graph.nodes.has(graph.focused)) graph.focused = null;
  graph.wire = null;
}

/** Begin with a flow, without a history. */
export function load(flow) {
  replaceAll(flow);
  last = JSON.stringify(toJSON());
  past.length = 0;
  future = [];
  emit("loaded");
  emit("change", { loaded: true });
  emit("select");
}

/** Take note of a change; changes with the same `key` within a second are one step of the history. */
export function commit(key = null) {
  const now = JSON.stringify(toJSON());
  if (now === last) return;
  const time = performance.now();
  if (!key || key !== lastKey || time - lastTime > 1000) {
    past.push(last);
    if (past.length > MOST_HISTORY) past.shift();
  }
  [last, lastKey, lastTime, future] = [now, key, time, []];
  emit("change", {});
}

function step(from, to) {
  if (!from.length) return false;
  to.push(last);
  last = from.pop();
  lastKey = null;
  replaceAll(JSON.parse(last));
  for (const node of graph.nodes.values()) if (node.run) node.run.stale = true;
  emit("change", { stepped: true });
  emit("select");
  return true;
}
export const undo = () => step(past, future);
export const redo = () => step(future, past);
export const canUndo = () => past.length > 0;
export const canRedo = () => future.length > 0;

/** A new id, short and not yet there. */
export function newId(type) {
  for (let n = graph.nodes.size + 1; ; n += 1) if (!graph.nodes.has(`${type}${n}`)) return `${type}${n}`;
}

/** Mark the results of a node, and of all that get values from it, as of an older flow. */
export function touch(id) {
  const seen = new Set([id]);
  for (const one of seen) {
    const node = graph.nodes.get(one);
    if (node?.run) node.run.stale = true;
    for (const e of graph.edges) if (e.source === one) seen.add(e.target);
  }
}

export function select(ids, { add = false, focus = true } = {}) {
  if (!add) graph.selected.clear();
  for (const id of ids) graph.selected.add(id);
  graph.wire = null;
  if (focus) graph.focused = ids.at(-1) ?? graph.focused;
  emit("select");
}

export function selectWire(edge) {
  graph.selected.clear();
  graph.wire = edge;
  emit("select");
}

/** Join two ports, in place of a wire that ends there. */
export function connect(source, sourceHandle, target, targetHandle) {
  graph.edges = graph.edges.filter((e) => e.target !== target || e.targetHandle !== targetHandle);
  graph.edges.push({ source, sourceHandle, target, targetHandle, problem: null });
  touch(target);
  commit();
}

export function removeEdge(edge) {
  graph.edges = graph.edges.filter((e) => e !== edge);
  if (graph.wire === edge) graph.wire = null;
  touch(edge.target);
  commit();
}

export function removeSelected() {
  if (graph.wire) { removeEdge(graph.wire); emit("select"); return 1; }
  const gone = new Set(graph.selected);
  if (!gone.size) return 0;
  for (const id of gone) { touch(id); graph.nodes.get(id)?.view?.remove(); graph.nodes.delete(id); }
  graph.edges = graph.edges.filter((e) => !gone.has(e.source) && !gone.has(e.target));
  graph.selected.clear();
  if (gone.has(graph.focused)) graph.focused = graph.nodes.keys().next().value ?? null;
  commit();
  emit("select");
  return gone.size;
}

/** Add the nodes and wires of a flow beside those that are there, with ids of their own; they are selected. */
export function addFlow(flow, at = null) {
  const ids = new Map();
  const left = Math.min(...flow.nodes.map((n) => n.position.x));
  const top = Math.min(...flow.nodes.map((n) => n.position.y));
  for (const given of flow.nodes) {
    const id = newId(given.type.slice(0, 40));
    ids.set(given.id, id);
    const x = at ? at.x + given.position.x - left : given.position.x + 40;
    const y = at ? at.y + given.position.y - top : given.position.y + 40;
    graph.nodes.set(id, makeNode({ ...given, id, position: { x, y } }));
  }
  for (const e of flow.edges) graph.edges.push({ ...e, source: ids.get(e.source), target: ids.get(e.target), problem: null });
  select([...ids.values()]);
  commit();
}

/** Whether a wire of one type may end at an input of another: as the server says of all wires. */
export function fits(given, wanted) {
  if (given === wanted || given === "any" || wanted === "any") return true;
  const [a, b] = [/^list\[(.*)\]$/.exec(given), /^list\[(.*)\]$/.exec(wanted)];
  return Boolean(a && b && fits(a[1], b[1]));
}
