// The start of the page: the flow from the disk and back to it, the bar at the top, actions.

import { ApiError, get, post, remove } from "/web/js/api.js";
import { h, icon, iconButton, polite, preferences, say } from "/web/js/dom.js";
import { askText, openDialog, openMenu } from "/web/js/menu.js";
import { buildCanvas, draw, fitView, middle, reveal, toWorld, zoomBy } from "./canvas.js";
import { addFlow, canRedo, canUndo, commit, connect, emit, fits, graph, load, makeNode, newId, on, redo, removeEdge, removeSelected, select, toJSON, undo } from "./graph.js";
import { flowIcon } from "./icons.js";
import { showKeys, watchKeys } from "./keys.js";
import { kinds, nameOf, server, typeWords } from "./kinds.js";
import { buildPalette, pickKind } from "./palette.js";
import { buildPanel, enterPanel } from "./panel.js";
import { pick } from "./pick.js";
import { checkSoon, isRunning, run, stop } from "./running.js";
import { heightOf, WIDTH } from "./node.js";
import { tidy } from "./tidy.js";

const place = document.getElementById("view");
let saving = 0;
let isSaved = true;
let isLoaded = false;
let saved, zoom, runButton, undoButton, redoButton;

// The disk

function saveSoon() {
  isSaved = false;
  saved.textContent = "";
  clearTimeout(saving);
  saving = setTimeout(save, 500);
}

async function save() {
  clearTimeout(saving);
  if (isSaved || !isLoaded) return;
  isSaved = true;
  try {
    await post("/flow/file", toJSON());
    saved.textContent = "Saved";
    document.getElementById("banner").replaceChildren();
  } catch (problem) {
    isSaved = false;
    const text = problem.status ? `The flow is not saved: ${problem.message}` : "The server does not answer. The flow is kept on this page, and saved once the server is back.";
    document.getElementById("banner").replaceChildren(h("div.banner.error", { role: "alert" }, text));
    saving = setTimeout(save, 3000);
  }
}

addEventListener("visibilitychange", () => { if (document.hidden) save(); });
addEventListener("pagehide", save);

// Actions

/** Add a node of a kind, where `at` says or in the middle; it is selected. */
export function addNode(type, at = null, enters = false) {
  const id = newId(type.replace(/[^A-Za-z0-9]/g, ""));
  const node = makeNode({ id, type });
  const point = at ?? free(middle());
  [node.x, node.y] = at ? [snap(point.x), snap(point.y)] : [snap(point.x - WIDTH / 2), snap(point.y - 60)];
  graph.nodes.set(id, node);
  select([id]);
  commit();
  reveal(node);
  requestAnimationFrame(() => (enters ? enterNode(node) : node.view?.element.focus({ preventScroll: true })));
  polite(`${nameOf(node)} added`);
  return node;
}

const snap = (x) => Math.round(x / 10) * 10;

/** A place near a point where no node is yet. */
function free(point) {
  const taken = (p) => [...graph.nodes.values()].some((n) => Math.abs(n.x + WIDTH / 2 - p.x) < WIDTH + 30 && p.y - 60 < n.y + heightOf(n) + 20 && p.y + 90 > n.y);
  const selected = graph.nodes.get([...graph.selected][0]);
  const from = selected ? { x: selected.x + WIDTH * 1.5 + 70, y: selected.y + 60 } : point;
  for (let i = 0; i < 400; i += 1) {
    const p = { x: from.x + Math.floor(i / 12) * (WIDTH + 70), y: from.y + (i % 12) * 40 };
    if (!taken(p)) return p;
  }
  return from;
}

/** Put the focus into a node: its first field, or the panel. */
export function enterNode(node) {
  const field = node.view?.element.querySelector(".node-body .input");
  if (field) { field.focus(); field.select?.(); } else enterPanel();
}

/** Pick a kind and add it; joined to the selected node where that fits. */
export async function askNode(at = null, from = null) {
  const found = await pickKind(from);
  if (!found) return;
  const node = addNode(found.kind.name, at && from?.side === "in" ? { x: at.x - WIDTH, y: at.y - 50 } : at && from ? { x: at.x, y: at.y - 50 } : at, !at);
  if (!from) return;
  if (from.side === "out") connect(from.node.id, from.name, node.id, found.port.name);
  else connect(node.id, found.port.name, from.node.id, from.name);
}

/** Join the selected node to others, or take its wires away, from a list. */
export async function askWire(node) {
  const items = [];
  const rest = [...graph.nodes.values()].filter((n) => n !== node);
  const near = (n) => Math.hypot(n.x - node.x, n.y - node.y);
  rest.sort((a, b) => near(a) - near(b));
  const free_ = (n, p) => !graph.edges.some((e) => e.target === n.id && e.targetHandle === p.name);
  for (const out of node.ports.outputs) {
    for (const n of rest) for (const p of n.ports.inputs) {
      if (fits(out.type, p.type)) items.push({ group: `From ${out.name} (${typeWords(out.type)})`, label: `${nameOf(n)} · ${p.name}`, hint: free_(n, p) ? typeWords(p.type) : "has a wire, which is replaced", run: () => connect(node.id, out.name, n.id, p.name) });
    }
  }
  for (const p of node.ports.inputs) {
    for (const n of rest) for (const out of n.ports.outputs) {
      if (fits(out.type, p.type)) items.push({ group: `To ${p.name} (${typeWords(p.type)})`, label: `${nameOf(n)} · ${out.name}`, hint: typeWords(out.type), run: () => connect(n.id, out.name, node.id, p.name) });
    }
  }
  for (const e of graph.edges.filter((x) => x.source === node.id || x.target === node.id)) {
    const [a, b] = [graph.nodes.get(e.source), graph.nodes.get(e.target)];
    items.push({ group: "Wires that are there", label: `Remove: ${nameOf(a)} · ${e.sourceHandle} → ${nameOf(b)} · ${e.targetHandle}`, words: "delete", run: () => removeEdge(e) });
  }
  if (!items.length) { say(`There is nothing yet that ${nameOf(node)} can be joined to.`); return; }
  const found = await pick(`Wires of ${nameOf(node)}`, items);
  if (!found) return;
  found.run();
  polite(found.label);
}

export async function rename(node) {
  const title = await askText("Rename the node", "Name", node.title || nameOf(node));
  if (title === null || title === undefined) return;
  node.title = title.slice(0, 200);
  commit();
  emit("select");
}

export function duplicate() {
  if (graph.selected.size) addFlow(toJSON(new Set(graph.selected)));
}

function nodeMenu(node, button) {
  if (!graph.selected.has(node.id)) select([node.id]);
  openMenu(button, [
    { icon: "play", label: "Run to here", run: () => run({ targets: [node.id] }) },
    { icon: "retry", label: "Run again", run: () => run({ targets: [node.id], fresh: [node.id] }) },
    node.type === "chat" && { icon: "trash", label: "Forget the conversation", run: () => forget(node) },
    null,
    { icon: "edit", label: "Rename", run: () => rename(node) },
    { icon: "branch", label: "Wires", run: () => askWire(node) },
    { icon: "copy", label: "Duplicate", run: duplicate },
    null,
    { icon: "trash", label: "Delete", danger: true, run: () => removeSelected() },
  ]);
}

async function forget(node) {
  await remove(`/flow/memory/${encodeURIComponent(node.id)}`);
  node.run = null;
  emit("run", node);
  say("The conversation is forgotten.");
}

/** Read a flow of JSON that came from outside; the server says whether it is one. */
export async function checkedFlow(text) {
  let data = null;
  try { data = JSON.parse(text); } catch { throw new ApiError(400, { message: "This is no JSON." }); }
  const { flow } = await post("/flow/read", data);
  return flow;
}

async function importFile(file) {
  try {
    if (file.size > 16e6) throw new ApiError(400, { message: "it is larger than 16 MB" });
    const flow = await checkedFlow(await file.text());
    graph.selected.clear();
    replaceWith(flow);
    fitSoon();
    say(`${file.name}: ${flow.nodes.length} nodes`, false, () => { undo(); fitSoon(); });
  } catch (problem) { say(`${file.name} was not imported: ${problem.message}`, true, null, 12000); }
}

export function importFlow() {
  document.getElementById("import")?.remove();
  const input = h("input", { id: "import", type: "file", accept: ".json,application/json", hidden: true, onchange: () => { if (input.files[0]) importFile(input.files[0]); input.remove(); } });
  document.body.append(input); // one that is nowhere may be collected before the chooser opens
  input.click();
}

export function exportFlow() {
  const url = URL.createObjectURL(new Blob([`${JSON.stringify(toJSON(), null, 1)}\n`], { type: "application/json" }));
  Object.assign(document.createElement("a"), { href: url, download: "flow.json" }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

async function openExample(name) {
  const flow = await get(`/flow/examples/${encodeURIComponent(name)}`);
  graph.selected.clear();
  replaceWith(flow);
  fitSoon();
}

/** Take another flow in place of this one; undo brings this one back. */
function replaceWith(flow) {
  for (const node of graph.nodes.values()) node.view?.remove();
  graph.nodes = new Map(flow.nodes.map((n) => [n.id, makeNode(n)]));
  graph.edges = flow.edges.map((e) => ({ ...e, problem: null }));
  commit();
  emit("select");
}

async function chooseExample() {
  const found = await pick("Examples", server.examples.map((e) => ({ label: e.title, hint: e.about, name: e.name })));
  if (found) openExample(found.name);
}

function fitSoon() { draw(); requestAnimationFrame(() => requestAnimationFrame(() => fitView())); }

export function tidyUp() { tidy(); commit(); fitSoon(); }

export function leave() {
  const id = [...graph.selected][0];
  select([], { focus: false });
  const node = graph.nodes.get(id ?? graph.focused);
  (node?.view?.element ?? document.getElementById("canvas")).focus({ preventScroll: true });
}

function setTheme(theme) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  preferences.set("theme", theme);
}

function mainMenu(button) {
  openMenu(button, [
    { icon: "plus", label: "New flow", run: () => { graph.selected.clear(); replaceWith({ nodes: [], edges: [] }); } },
    { icon: "cube", label: "Examples", run: chooseExample },
    null,
    { icon: "upload", label: "Import a file", run: importFlow },
    { icon: "download", label: "Export as JSON", run: exportFlow },
    null,
    { icon: "sun", label: "Light", run: () => setTheme("light") },
    { icon: "sun", label: "Dark", run: () => setTheme("dark") },
    { icon: "sun", label: "As the system", run: () => setTheme("system") },
    null,
    { icon: "keyboard", label: "Keys", run: showKeys },
  ], { align: "end" });
}

// The page

function buildTop() {
  const button = (name, label, onclick) => {
    const made = iconButton("plus", label, onclick);
    made.replaceChildren(flowIcon(name));
    return made;
  };
  saved = h("span.saved", { role: "status" });
  undoButton = button("undo", "Undo (Ctrl Z)", undo);
  redoButton = button("redo", "Redo (Ctrl Shift Z)", redo);
  zoom = h("button.zoom", { type: "button", title: "All that is there (0)", "aria-label": "Show all nodes", onclick: () => fitView() }, "100 %");
  runButton = h("button.button.primary.run", { type: "button", onclick: () => (isRunning() ? stop() : run()) });
  document.getElementById("top").replaceChildren(
    iconButton("sidebar", "Show or hide the kinds of nodes ([)", toggleSidebar), h("h1.file-name", { title: server.file }, server.file.split(/[\\/]/).at(-1)), saved, h("span.grow"),
    undoButton, redoButton, button("tidy", "Tidy up (L)", tidyUp),
    h("span.zooms", button("minus", "Zoom out (-)", () => zoomBy(1 / 1.25)), zoom, iconButton("plus", "Zoom in (+)", () => zoomBy(1.25))),
    iconButton("more", "More", (e) => mainMenu(e.currentTarget)), runButton);
  drawTop();
}

function drawTop() {
  undoButton.disabled = !canUndo();
  redoButton.disabled = !canRedo();
  const runs = isRunning();
  if (runButton.dataset.runs !== String(runs)) {
    runButton.dataset.runs = String(runs);
    runButton.replaceChildren(icon(runs ? "stop" : "play"), runs ? "Stop" : "Run");
    runButton.title = runs ? "Stop (Esc)" : "Run (Ctrl Enter)";
  }
}

const narrow = matchMedia("(max-width: 859px)"); // there the kinds of nodes would cover the canvas

export function toggleSidebar() {
  const hidden = document.body.classList.toggle("no-sidebar");
  if (!narrow.matches) preferences.set("flow.no-sidebar", hidden);
}

function drawEmpty() {
  let hint = place.querySelector(".empty");
  if (graph.nodes.size || !isLoaded) { hint?.remove(); return; }
  if (hint) return;
  hint = h("div.empty",
    h("h1", "Join models, texts and tools"),
    h("p", "Drag a kind of node from the left, or press ", h("kbd", "A"), ". Drag from port to port to join nodes. ", h("kbd", "Ctrl"), " ", h("kbd", "Enter"), " runs the flow."),
    h("div.examples", server.examples.map((e) => h("button.example", { type: "button", onclick: () => openExample(e.name) }, h("b", e.title), h("span", e.about)))));
  place.append(hint);
}

function modelBanner() {
  if (server.default) return;
  document.getElementById("banner").replaceChildren(h("div.banner", { role: "note" }, "No model is installed: run ", h("code", "llmpy pull smollm2"), " in a terminal, or start llmpy flow with -m MODEL."));
}

async function askKey() {
  const key = await openDialog("This server needs a key", (done, form) => {
    const input = h("input.input", { type: "password", "aria-label": "Key", autofocus: true, autocomplete: "off" });
    form.addEventListener("submit", () => done(input.value.trim()));
    return [h("p", "It is one of the keys with which llmpy flow was started."), input, h("div.dialog-foot", h("button.button.primary", { type: "submit" }, "Continue"))];
  });
  if (!key) return;
  preferences.set("key", key);
  start();
}

async function start() {
  let flow = null;
  try {
    const found = await get("/flow/state");
    Object.assign(server, found);
    for (const kind of found.kinds) {
      for (const port of [...kind.inputs, ...kind.outputs]) port.type = port.type.replace(/\bT\b/, "any"); // until a wire says what it is
      kinds.set(kind.name, kind);
    }
    flow = await get("/flow/file");
  } catch (problem) {
    if (problem.status === 401) { askKey(); return; }
    document.getElementById("banner").replaceChildren(h("div.banner.error", { role: "alert" }, problem.message));
    return;
  }
  const settle = () => document.body.classList.toggle("no-sidebar", narrow.matches || preferences.get("flow.no-sidebar", false));
  narrow.addEventListener("change", settle);
  settle();
  buildTop();
  buildPalette(addNode, toWorld);
  buildCanvas(place, { menu: nodeMenu, add: (at) => askNode(at), drop: (at, from) => askNode(at, from), zoomed: (k) => { zoom.textContent = `${Math.round(k * 100)} %`; } });
  buildPanel({ leave, off: (needs) => server.off[needs] });
  watchKeys();
  on("change", ({ loaded }) => { if (!loaded) saveSoon(); drawTop(); checkSoon(); drawEmpty(); });
  on("run", drawTop);
  isLoaded = true;
  load(flow);
  modelBanner();
  fitSoon();
  document.body.dataset.ready = "1";
}

place.addEventListener("dragover", (e) => { if (e.dataTransfer.types.includes("Files")) e.preventDefault(); });
place.addEventListener("drop", (e) => { if (e.dataTransfer.files[0]) { e.preventDefault(); importFile(e.dataTransfer.files[0]); } });
document.querySelector(".skip").addEventListener("click", (e) => { e.preventDefault(); document.getElementById("canvas")?.focus(); });
setTheme(preferences.get("theme", "system"));
start();
