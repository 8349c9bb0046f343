// The canvas: panning and zooming, nodes that are in sight, wires, and all that is done with a pointer.
//
// Places of ports are computed from the nodes' own numbers, so that nothing is measured while the view moves, and
// only nodes in sight have elements.

import { h, svg } from "/web/js/dom.js";
import { commit, connect, fits, graph, on, removeEdge, select, selectWire } from "./graph.js";
import { typeClass } from "./kinds.js";
import { heightOf, NodeView, portAt, WIDTH } from "./node.js";

export const view = { x: 60, y: 60, k: 1 };
const SNAP = 10;
const MARGIN = 240; // pixels around the window in which nodes are drawn
const KEPT = 900; // pixels around it beyond which they are taken away
const BUDGET = 6; // milliseconds of a frame for making nodes
const LEAST = 0.12;
const MOST = 2;
const FARTHEST = 0.25; // the zoom below which nodes are boxes

const size = { width: 1200, height: 800 }; // of the window, asked only when it changes
let canvas, world, wires, problems, band, ghost;
let hooks = {};
let waiting = false;
let isMoved = true;
let lastK = 0;

/** Build the canvas in a place. `menu(node, at)`, `drop(point, from)` and `add(point)` are called for what they say. */
export function buildCanvas(place, given) {
  hooks = given;
  wires = svg("svg", { class: "wires", "aria-hidden": "true" });
  ghost = svg("path", { class: "wire-line ghost" });
  problems = h("div.wire-problems");
  world = h("div.world", problems);
  world.prepend(wires);
  band = h("div.band", { hidden: true });
  canvas = h("div", { id: "canvas", tabindex: "0", role: "application", "aria-label": "Canvas. Press A to add a node, ? for all keys.", "aria-describedby": "canvas-hint" }, world, band);
  place.append(canvas, h("p.offscreen", { id: "canvas-hint" }, "Arrow keys go from node to node, Enter edits, C joins nodes."));
  canvas.addEventListener("wheel", onWheel, { passive: false });
  canvas.addEventListener("pointerdown", onDown);
  canvas.addEventListener("dblclick", (e) => { if (e.target === canvas || e.target === world) hooks.add(toWorld(e)); });
  canvas.addEventListener("contextmenu", onContext);
  canvas.addEventListener("scroll", () => canvas.scrollTo(0, 0)); // browsers scroll what has the focus into view
  new ResizeObserver(() => { Object.assign(size, { width: canvas.clientWidth, height: canvas.clientHeight }); moved(); }).observe(canvas);
  on("change", () => { for (const n of graph.nodes.values()) n.view?.syncFields(); draw(); });
  on("check", draw);
  on("select", draw);
  on("run", draw);
  return canvas;
}

/** Draw at the next frame. */
export function draw() {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => { waiting = false; drawNow(); });
}

function moved() { isMoved = true; draw(); }

function drawNow() {
  if (isMoved) {
    isMoved = false;
    world.style.transform = `translate(${view.x}px, ${view.y}px) scale(${view.k})`;
    if (view.k !== lastK) {
      lastK = view.k;
      canvas.style.setProperty("--dot", `${24 * view.k}px`);
      canvas.style.setProperty("--k", String(view.k));
    }
    canvas.style.backgroundPosition = `${view.x}px ${view.y}px`;
    canvas.classList.toggle("far", view.k < 0.45);
    canvas.classList.toggle("farthest", view.k < FARTHEST);
    hooks.zoomed?.(view.k);
  }
  const sight = windowNow(MARGIN);
  const shown = inSight(sight);
  const kept = inSight(windowNow(KEPT)); // so that moving to and fro makes nothing anew
  const end = performance.now() + BUDGET;
  for (const node of graph.nodes.values()) {
    const there = node.view?.element.isConnected;
    if (shown.has(node) || node.view?.element.contains(document.activeElement) || graph.focused === node.id) {
      // the rest in the next frame, but for the one that gets the focus now
      if (there || graph.focused === node.id || performance.now() < end) mount(node); else draw();
    } else if (there && kept.has(node)) mount(node);
    else if (there) node.view.element.remove();
  }
  drawWires(sight);
}

/** What part of the plane is in the window, and a margin around it. */
const windowNow = (margin) => ({
  left: (-view.x - margin) / view.k, top: (-view.y - margin) / view.k,
  right: (size.width - view.x + margin) / view.k, bottom: (size.height - view.y + margin) / view.k,
});

function inSight({ left, top, right, bottom }) {
  const found = new Set();
  for (const node of graph.nodes.values()) {
    if (node.x + WIDTH > left && node.x < right && node.y + heightOf(node) > top && node.y < bottom) found.add(node);
  }
  return found;
}

const sizes = new ResizeObserver((entries) => {
  for (const { target, borderBoxSize } of entries) {
    const node = graph.nodes.get(target.dataset.id);
    if (node?.view && view.k >= FARTHEST) setHeight(node, borderBoxSize[0].blockSize);
  }
});

function setHeight(node, height) {
  node.view.height = height;
  node.view.element.style.setProperty("--height", `${height}px`);
}

function mount(node) {
  if (!node.view) {
    const height = heightOf(node);
    node.view = new NodeView(node, hooks.menu);
    setHeight(node, height);
    sizes.observe(node.view.element);
  }
  const seen = node.view;
  if (!seen.element.isConnected) world.append(seen.element);
  if (seen.x !== node.x || seen.y !== node.y) { [seen.x, seen.y] = [node.x, node.y]; seen.place(); }
  const key = [node.title, node.problem, node.complained, node.ports, node.run, node.run?.version, node.run?.stale, graph.selected.has(node.id), graph.focused === node.id, graph.edges, graph.edges.length];
  if (!seen.key || key.some((part, i) => part !== seen.key[i])) {
    seen.key = key;
    seen.drawPorts();
    seen.update();
  }
}

// Wires

function curve(a, b) {
  const bend = Math.max(40, Math.min(180, Math.abs(b.x - a.x) / 2 + Math.max(0, a.x - b.x) / 4));
  return `M${a.x} ${a.y}C${a.x + bend} ${a.y} ${b.x - bend} ${b.y} ${b.x} ${b.y}`;
}

const drawn = new Map(); // elements by edge

function drawWires({ left, top, right, bottom }) {
  const there = new Set(graph.edges);
  for (const [edge, parts] of drawn) {
    if (!there.has(edge)) { parts.group.remove(); parts.label?.remove(); drawn.delete(edge); }
  }
  for (const edge of graph.edges) {
    const [from, to] = [graph.nodes.get(edge.source), graph.nodes.get(edge.target)];
    if (!from || !to) continue;
    let parts = drawn.get(edge);
    if (!parts) {
      parts = { line: svg("path", { class: "wire-line" }), touch: svg("path", { class: "wire-touch" }), at: "", look: "", isOut: false };
      parts.group = svg("g", {}, parts.touch, parts.line);
      parts.touch.addEventListener("pointerdown", (e) => { e.stopPropagation(); e.preventDefault(); selectWire(edge); canvas.focus({ preventScroll: true }); });
      wires.append(parts.group);
      drawn.set(edge, parts);
    }
    const [a, b] = [portAt(from, "out", edge.sourceHandle), portAt(to, "in", edge.targetHandle)];
    const isOut = Math.max(a.x, b.x) + 180 < left || Math.min(a.x, b.x) - 180 > right || Math.max(a.y, b.y) < top || Math.min(a.y, b.y) > bottom;
    if (isOut !== parts.isOut) { parts.isOut = isOut; parts.group.style.display = isOut ? "none" : ""; }
    const at = `${a.x} ${a.y} ${b.x} ${b.y}`;
    if (at !== parts.at) {
      parts.at = at;
      const path = curve(a, b);
      parts.line.setAttribute("d", path);
      parts.touch.setAttribute("d", path);
    }
    const type = from.ports.outputs.find((p) => p.name === edge.sourceHandle)?.type ?? "any";
    const runs = from.run && ["done", "cached"].includes(from.run.state) && !from.run.stale;
    const look = `wire ${typeClass(type)}${edge.problem ? " bad" : ""}${graph.wire === edge ? " selected" : ""}${runs ? " flowed" : ""}${to.run?.state === "running" ? " flowing" : ""}`;
    if (look !== parts.look) { parts.look = look; parts.group.setAttribute("class", look); }
    drawProblem(edge, parts, a, b);
  }
}

function drawProblem(edge, parts, a, b) {
  if (!edge.problem) { parts.label?.remove(); parts.label = null; return; }
  if (!parts.label) {
    parts.label = h("div.wire-problem", { role: "note" });
    problems.append(parts.label);
  }
  if (parts.label.textContent !== edge.problem) parts.label.textContent = edge.problem;
  parts.label.style.transform = `translate(${(a.x + b.x) / 2}px, ${(a.y + b.y) / 2}px) translate(-50%, -50%)`;
}

// The view

export const toWorld = (e) => {
  const at = canvas.getBoundingClientRect();
  return { x: (e.clientX - at.left - view.x) / view.k, y: (e.clientY - at.top - view.y) / view.k };
};

/** The middle of what is in sight. */
export const middle = () => ({ x: (canvas.clientWidth / 2 - view.x) / view.k, y: (canvas.clientHeight / 2 - view.y) / view.k });

export function panBy(dx, dy) { view.x += dx; view.y += dy; moved(); }

/** Zoom by a factor about a point of the window, by default its middle. */
export function zoomBy(factor, at = null) {
  const rect = canvas.getBoundingClientRect();
  const [px, py] = at ? [at.clientX - rect.left, at.clientY - rect.top] : [rect.width / 2, rect.height / 2];
  const k = Math.max(LEAST, Math.min(MOST, view.k * factor));
  view.x = px - ((px - view.x) * k) / view.k;
  view.y = py - ((py - view.y) * k) / view.k;
  view.k = k;
  moved();
}

/** Show all nodes, or these. */
export function fitView(ids = null) {
  const nodes = [...graph.nodes.values()].filter((n) => !ids || ids.has(n.id));
  if (!nodes.length) { Object.assign(view, { x: 60, y: 60, k: 1 }); moved(); return; }
  const left = Math.min(...nodes.map((n) => n.x));
  const top = Math.min(...nodes.map((n) => n.y));
  const right = Math.max(...nodes.map((n) => n.x + WIDTH));
  const bottom = Math.max(...nodes.map((n) => n.y + heightOf(n)));
  const [w, t] = [canvas.clientWidth, canvas.clientHeight];
  view.k = Math.max(LEAST, Math.min(1, (w - 100) / (right - left), (t - 100) / (bottom - top)));
  view.x = (w - (left + right) * view.k) / 2;
  view.y = (t - (top + bottom) * view.k) / 2;
  moved();
}

/** Move the view so that a node can be seen. */
export function reveal(node) {
  const [left, top] = [node.x * view.k + view.x, node.y * view.k + view.y];
  const [right, bottom] = [left + WIDTH * view.k, top + heightOf(node) * view.k];
  const dx = left < 20 ? 20 - left : right > canvas.clientWidth - 20 ? canvas.clientWidth - 20 - right : 0;
  const dy = top < 20 ? 20 - top : bottom > canvas.clientHeight - 20 ? Math.max(20 - top, canvas.clientHeight - 20 - bottom) : 0;
  if (dx || dy) panBy(dx, dy); else draw();
}

function onWheel(e) {
  const box = e.target.closest("textarea, .result");
  if (box && !e.ctrlKey && !e.metaKey && box.scrollHeight > box.clientHeight + 1 && (box === document.activeElement || box.matches(".result"))) return;
  e.preventDefault();
  const unit = e.deltaMode === 1 ? 16 : 1;
  if (e.ctrlKey || e.metaKey) zoomBy(Math.exp(-e.deltaY * unit * 0.0022 * (Math.abs(e.deltaY) < 30 ? 4 : 1)), e);
  else if (e.shiftKey && !e.deltaX) panBy(-e.deltaY * unit, 0);
  else panBy(-e.deltaX * unit, -e.deltaY * unit);
}

// The pointer

/** Follow a pointer until it is let go; Escape calls `end(event, true)`. */
function follow(e, move, end) {
  const id = e.pointerId;
  canvas.setPointerCapture(id);
  const onMove = (m) => { if (m.pointerId === id) move(m); };
  const finish = (m, cancelled) => {
    canvas.removeEventListener("pointermove", onMove);
    canvas.removeEventListener("pointerup", onUp);
    canvas.removeEventListener("pointercancel", onCancel);
    document.removeEventListener("keydown", onKey, true);
    end(m, cancelled);
  };
  const onUp = (m) => { if (m.pointerId === id) finish(m, false); };
  const onCancel = (m) => { if (m.pointerId === id) finish(m, true); };
  const onKey = (k) => { if (k.key === "Escape") { k.stopPropagation(); finish(e, true); } };
  canvas.addEventListener("pointermove", onMove);
  canvas.addEventListener("pointerup", onUp);
  canvas.addEventListener("pointercancel", onCancel);
  document.addEventListener("keydown", onKey, true);
}

const fingers = new Map();

function onDown(e) {
  if (e.pointerType === "touch" && pinch(e)) return;
  const port = e.target.closest(".port");
  const node = graph.nodes.get(e.target.closest(".node")?.dataset.id);
  if (e.button === 1) { startPan(e); return; }
  if (e.button !== 0) return;
  if (port && node) { e.preventDefault(); startWire(e, node, port); return; }
  if (node) {
    if (e.target.closest("textarea, input, select, button, .result")) {
      if (!graph.selected.has(node.id) || graph.selected.size > 1) select([node.id]);
      return;
    }
    e.preventDefault();
    startMove(e, node);
    return;
  }
  if (e.target !== canvas && e.target !== world && e.target !== wires) return;
  e.preventDefault();
  canvas.focus({ preventScroll: true });
  if (e.shiftKey) startBand(e); else startPan(e, true);
}

function pinch(e) {
  fingers.set(e.pointerId, e);
  const forget = (m) => { if (m.pointerId === e.pointerId) { fingers.delete(e.pointerId); canvas.removeEventListener("pointerup", forget); canvas.removeEventListener("pointercancel", forget); canvas.removeEventListener("pointermove", move); } };
  const move = (m) => {
    if (m.pointerId !== e.pointerId) return;
    const other = [...fingers.values()].find((f) => f.pointerId !== m.pointerId);
    const before = fingers.get(m.pointerId);
    fingers.set(m.pointerId, m);
    if (!other) return;
    const far = (a, b) => Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
    zoomBy(far(m, other) / Math.max(1, far(before, other)), { clientX: (m.clientX + other.clientX) / 2, clientY: (m.clientY + other.clientY) / 2 });
  };
  canvas.addEventListener("pointerup", forget);
  canvas.addEventListener("pointercancel", forget);
  canvas.addEventListener("pointermove", move);
  return fingers.size > 1;
}

function startPan(e, clears = false) {
  let [x, y, far] = [e.clientX, e.clientY, 0];
  canvas.classList.add("panning");
  follow(e, (m) => {
    far += Math.abs(m.clientX - x) + Math.abs(m.clientY - y);
    if (fingers.size < 2) panBy(m.clientX - x, m.clientY - y);
    [x, y] = [m.clientX, m.clientY];
  }, () => {
    canvas.classList.remove("panning");
    if (clears && far < 4) select([], { focus: false });
  });
}

function startBand(e) {
  const from = toWorld(e);
  const before = new Set(graph.selected);
  const rect = canvas.getBoundingClientRect();
  band.hidden = false;
  follow(e, (m) => {
    const to = toWorld(m);
    const [l, r] = [Math.min(from.x, to.x), Math.max(from.x, to.x)];
    const [t, b] = [Math.min(from.y, to.y), Math.max(from.y, to.y)];
    Object.assign(band.style, {
      left: `${Math.min(e.clientX, m.clientX) - rect.left}px`, top: `${Math.min(e.clientY, m.clientY) - rect.top}px`,
      width: `${Math.abs(m.clientX - e.clientX)}px`, height: `${Math.abs(m.clientY - e.clientY)}px`,
    });
    const inside = [...graph.nodes.values()].filter((n) => n.x < r && n.x + WIDTH > l && n.y < b && n.y + heightOf(n) > t).map((n) => n.id);
    select([...before, ...inside]);
  }, () => { band.hidden = true; });
}

function startMove(e, node) {
  const isIn = graph.selected.has(node.id);
  if (e.shiftKey || e.ctrlKey || e.metaKey) {
    if (isIn) { graph.selected.delete(node.id); select([...graph.selected]); return; }
    select([node.id], { add: true });
  } else if (!isIn) select([node.id]);
  else { graph.focused = node.id; draw(); }
  node.view.element.focus({ preventScroll: true });
  const start = toWorld(e);
  const places = [...graph.selected].map((id) => graph.nodes.get(id)).map((n) => [n, n.x, n.y]);
  let far = 0;
  follow(e, (m) => {
    const to = toWorld(m);
    far = Math.max(far, Math.hypot(m.clientX - e.clientX, m.clientY - e.clientY));
    if (far < 4) return;
    canvas.classList.add("dragging");
    for (const [n, x, y] of places) {
      n.x = Math.round((x + to.x - start.x) / SNAP) * SNAP;
      n.y = Math.round((y + to.y - start.y) / SNAP) * SNAP;
    }
    draw();
  }, (_, cancelled) => {
    canvas.classList.remove("dragging");
    if (cancelled) for (const [n, x, y] of places) [n.x, n.y] = [x, y];
    draw();
    commit();
    if (!cancelled && far < 4 && isIn && graph.selected.size > 1 && !e.shiftKey) select([node.id]);
  });
}

/** The port under the pointer. */
function portUnder(m) {
  const found = document.elementFromPoint(m.clientX, m.clientY)?.closest(".port, .node");
  if (!found) return null;
  const node = graph.nodes.get(found.closest(".node").dataset.id);
  return { node, port: found.matches(".port") ? found : null };
}

function startWire(e, node, port) {
  let name = port.dataset.port;
  let side = port.dataset.side;
  const old = side === "in" ? graph.edges.find((x) => x.target === node.id && x.targetHandle === name) : null;
  if (old) { // the end of a wire is taken off its input
    node = graph.nodes.get(old.source);
    [name, side] = [old.sourceHandle, "out"];
    drawn.get(old)?.group.setAttribute("class", "wire lifted");
    if (drawn.get(old)) drawn.get(old).look = "lifted";
  }
  const from = portAt(node, side, name);
  const type = node.ports[side === "out" ? "outputs" : "inputs"].find((p) => p.name === name)?.type ?? "any";
  const other = side === "out" ? "inputs" : "outputs";
  const good = (p) => (side === "out" ? fits(type, p.type) : fits(p.type, type));
  canvas.classList.add("wiring", `from-${side}`);
  wires.append(ghost);
  for (const n of graph.nodes.values()) {
    if (!n.view) continue;
    for (const p of n.view.element.querySelectorAll(`.port.${side === "out" ? "in" : "out"}`)) {
      const found = n.ports[other].find((q) => q.name === p.dataset.port);
      p.classList.toggle("fits", Boolean(n !== node && found && good(found)));
    }
  }
  let moves = 0;
  ghost.setAttribute("class", `wire-line ghost ${typeClass(type)}`);
  follow(e, (m) => {
    moves += 1;
    const to = toWorld(m);
    ghost.setAttribute("d", side === "out" ? curve(from, to) : curve(to, from));
  }, (m, cancelled) => {
    canvas.classList.remove("wiring", `from-${side}`);
    ghost.remove();
    ghost.removeAttribute("d");
    if (old && drawn.get(old)) drawn.get(old).look = "";
    draw();
    if (cancelled || !moves) return;
    const under = portUnder(m);
    if (under?.node === node && !old) return;
    let target = under?.port && under.port.dataset.side !== side ? under.port.dataset.port : null;
    if (under && !target) target = under.node.ports[other].find((p) => good(p) && (side === "in" || !graph.edges.some((x) => x.target === under.node.id && x.targetHandle === p.name)))?.name ?? under.node.ports[other].find(good)?.name;
    if (old && (under?.node.id !== old.target || target !== old.targetHandle)) removeEdge(old);
    if (under && target && under.node !== node) {
      if (side === "out") connect(node.id, name, under.node.id, target); else connect(under.node.id, target, node.id, name);
    } else if (!under && !old) hooks.drop(toWorld(m), { node, name, side, type }, m);
  });
}

function onContext(e) {
  const node = graph.nodes.get(e.target.closest(".node")?.dataset.id);
  if (e.target.closest("textarea, input, .result")) return;
  e.preventDefault();
  if (node) { if (!graph.selected.has(node.id)) select([node.id]); hooks.menu(node, node.view.element.querySelector(".node-more")); }
  else if (e.target === canvas || e.target === world) hooks.add(toWorld(e));
}
