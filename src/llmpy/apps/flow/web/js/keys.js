// The keyboard: from node to node, edit, join, copy, run; the sheet that lists the keys.

import { composes, h, say } from "/web/js/dom.js";
import { openDialog } from "/web/js/menu.js";
import { draw, fitView, middle, reveal, zoomBy } from "./canvas.js";
import { addFlow, commit, emit, graph, makeNode, newId, redo, removeSelected, select, toJSON, undo } from "./graph.js";
import { askNode, askWire, checkedFlow, duplicate, enterNode, exportFlow, importFlow, leave, rename, tidyUp, toggleSidebar } from "./main.js";
import { WIDTH } from "./node.js";
import { enterPanel } from "./panel.js";
import { isRunning, run, stop } from "./running.js";

const LISTED = [
  ["A", "Add a node"], ["Enter", "Edit the node"], ["Esc", "Back to the node; stop the run"], ["C", "Join the node to others; remove its wires"],
  ["← ↑ → ↓", "Go to the next node"], ["Shift ← ↑ → ↓", "Move the node"], ["Tab", "Next node, in the order of the wires"], ["Space", "Select also this node"],
  ["S", "Settings of the node"], ["F2", "Rename"], ["Delete", "Delete what is selected"], ["D", "Duplicate"], ["Ctrl C X V", "Copy, cut, paste"], ["Ctrl A", "Select all"],
  ["Ctrl Z", "Undo"], ["Ctrl Shift Z", "Redo"], ["Ctrl Enter", "Run, or stop"], ["Shift Enter", "Run to this node"], ["L", "Tidy up"], ["0", "Show all"], ["+ −", "Zoom"],
  ["I", "Import a file"], ["E", "Export as JSON"], ["[", "Show or hide the kinds of nodes"], ["?", "This list"],
];

export function showKeys() {
  if (document.querySelector("dialog[open]")) return;
  openDialog("Keys", () => [h("dl.keys", LISTED.map(([keys, words]) => h("div.key-row", h("dt", words), h("dd", keys.split(" ").map((k) => h("kbd", k)))))),
    h("p.hint", "Mouse: drag from port to port; the end of a wire off its input removes it; the wheel pans, with Ctrl it zooms; Shift and drag selects.")], { wide: true });
}

const inText = (node) => node?.matches?.("input:not([type=checkbox]), textarea, select");
const focused = () => graph.nodes.get(document.activeElement?.closest?.(".node")?.dataset.id) ?? graph.nodes.get(graph.focused);

/** The nearest node in a direction. */
function towards(from, key) {
  const [dx, dy] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[key];
  let best = null;
  let least = Infinity;
  for (const n of graph.nodes.values()) {
    if (n === from) continue;
    const [x, y] = [n.x - from.x, n.y - from.y];
    const along = x * dx + y * dy;
    const across = Math.abs(x * dy + y * dx);
    if (along < 10 || across > along * 2.5) continue;
    const far = along + across * 2;
    if (far < least) [best, least] = [n, far];
  }
  return best;
}

function goTo(node, add = false) {
  if (!node) return;
  graph.focused = node.id;
  select([node.id], { add });
  reveal(node);
  requestAnimationFrame(() => node.view?.element.focus({ preventScroll: true }));
}

function arrow(e) {
  const from = focused();
  if (!from) { goTo(graph.nodes.values().next().value); return; }
  if (!e.shiftKey) { goTo(towards(from, e.key) ?? from); return; }
  const [dx, dy] = { ArrowLeft: [-20, 0], ArrowRight: [20, 0], ArrowUp: [0, -20], ArrowDown: [0, 20] }[e.key];
  const ids = graph.selected.has(from.id) ? graph.selected : new Set([from.id]);
  for (const id of ids) { const n = graph.nodes.get(id); n.x += dx; n.y += dy; }
  commit(`move ${[...ids].join()}`);
  reveal(from);
}

/** The next node by Tab, column by column; null at the end, where Tab leaves the canvas. */
function nextByTab(back) {
  const order = [...graph.nodes.values()].sort((a, b) => a.x - b.x || a.y - b.y);
  const i = order.indexOf(focused());
  if (i < 0) return back ? order.at(-1) : order[0];
  return order[i + (back ? -1 : 1)] ?? null;
}

const PLAIN = {
  a: () => askNode(),
  c: () => { const n = focused(); if (n) askWire(n); },
  s: () => { const n = focused(); if (n) { select([n.id]); enterPanel(); } },
  d: duplicate,
  l: tidyUp,
  i: importFlow,
  e: exportFlow,
  "[": toggleSidebar,
  "?": showKeys,
  0: () => fitView(),
  "+": () => zoomBy(1.25),
  "=": () => zoomBy(1.25),
  "-": () => zoomBy(1 / 1.25),
  Delete: erase,
  Backspace: erase,
  F2: () => { const n = focused(); if (n) rename(n); },
  Enter: (e) => { const n = focused(); if (n) { select([n.id]); enterNode(n); } else if (e.target.id === "canvas") askNode(); },
  " ": () => { const n = focused(); if (!n) return; if (graph.selected.has(n.id)) { graph.selected.delete(n.id); emit("select"); } else select([n.id], { add: true }); },
};

function erase() {
  const n = removeSelected();
  if (!n) return;
  say(n > 1 ? `${n} nodes deleted` : "Deleted", false, undo);
  const next = graph.nodes.get(graph.focused);
  if (next) requestAnimationFrame(() => next.view?.element.focus({ preventScroll: true }));
  else document.getElementById("canvas").focus({ preventScroll: true });
}

function withControl(e) {
  const key = e.key.toLowerCase();
  if (key === "enter") { e.preventDefault(); if (isRunning()) stop(); else run(); return; }
  if (inText(e.target)) return;
  const found = { z: () => (e.shiftKey ? redo() : undo()), y: redo, a: () => select([...graph.nodes.keys()]) }[key];
  if (found) { e.preventDefault(); found(); }
}

function escape(e) {
  if (inText(e.target) || document.getElementById("panel").contains(e.target)) {
    e.preventDefault();
    const node = graph.nodes.get(e.target.closest(".node")?.dataset.id ?? [...graph.selected][0]);
    if (node?.view) node.view.element.focus({ preventScroll: true }); else leave();
  } else if (isRunning()) stop();
  else if (graph.selected.size || graph.wire) leave();
}

function onKey(e) {
  if (e.defaultPrevented || composes(e)) return;
  if (document.querySelector("dialog[open], .menu")) return;
  if (e.ctrlKey || e.metaKey) { if (!e.altKey) withControl(e); return; }
  if (e.altKey) return;
  if (e.key === "Escape") { escape(e); return; }
  if (inText(e.target)) return;
  const onCanvas = e.target === document.body || e.target.closest("#canvas");
  if (e.key.startsWith("Arrow")) { if (onCanvas) { e.preventDefault(); arrow(e); } return; }
  if (e.key === "Tab") {
    const next = e.target.closest("#canvas") && graph.nodes.size ? nextByTab(e.shiftKey) : null;
    if (next && (e.target.matches(".node") || (e.target.id === "canvas" && !e.shiftKey))) { e.preventDefault(); goTo(next); }
    return;
  }
  if (e.target.matches("button, summary, a") && (e.key === "Enter" || e.key === " ")) return;
  if (e.key === "Enter" && e.shiftKey) { const n = focused(); if (n) { e.preventDefault(); run({ targets: [n.id] }); } return; }
  const found = PLAIN[e.key] ?? PLAIN[e.key.toLowerCase()];
  if (!found || (e.shiftKey && /^[a-z]$/i.test(e.key))) return;
  if (!onCanvas && /^(Delete|Backspace| |Enter)$/.test(e.key)) return;
  e.preventDefault();
  found(e);
}

function onCopy(e) {
  if (inText(document.activeElement) || !graph.selected.size || document.querySelector("dialog[open]") || String(getSelection())) return;
  e.preventDefault();
  e.clipboardData.setData("text/plain", JSON.stringify(toJSON(new Set(graph.selected)), null, 1));
  const n = graph.selected.size;
  if (e.type === "cut") removeSelected();
  say(n > 1 ? `${n} nodes copied` : `${e.type === "cut" ? "Cut" : "Copied"}`, false, null, 2000);
}

async function onPaste(e) {
  if (inText(document.activeElement) || document.querySelector("dialog[open]")) return;
  const text = e.clipboardData.getData("text/plain");
  if (!text.trim()) return;
  e.preventDefault();
  const at = { x: middle().x - WIDTH / 2, y: middle().y - 60 };
  if (/^\s*\{/.test(text) && text.includes('"nodes"')) {
    try {
      const flow = await checkedFlow(text);
      if (flow.nodes.length) addFlow(flow, pasteAt(flow));
    } catch (problem) { say(`It was not pasted: ${problem.message}`, true); }
    return;
  }
  const node = makeNode({ id: newId("text"), type: "text", data: { text }, position: { x: Math.round(at.x / 10) * 10, y: Math.round(at.y / 10) * 10 } });
  graph.nodes.set(node.id, node);
  select([node.id]);
  commit();
}

/** Beside what was copied, if that is still there; else where it was. */
function pasteAt(flow) {
  const [x, y] = [Math.min(...flow.nodes.map((n) => n.position.x)), Math.min(...flow.nodes.map((n) => n.position.y))];
  for (let i = 1; i < 50; i += 1) {
    if (![...graph.nodes.values()].some((n) => n.x === x + i * 30 && n.y === y + i * 30)) return { x: x + i * 30, y: y + i * 30 };
  }
  return null;
}

export function watchKeys() {
  document.addEventListener("keydown", onKey);
  document.addEventListener("copy", onCopy);
  document.addEventListener("cut", onCopy);
  document.addEventListener("paste", onPaste);
  document.addEventListener("focusin", (e) => {
    const node = graph.nodes.get(e.target.closest?.(".node")?.dataset.id);
    if (node && graph.focused !== node.id) { graph.focused = node.id; draw(); }
  });
}

