// The list of kinds at the left, from which nodes are dragged or added; the same as a list to pick from.

import { h } from "/web/js/dom.js";
import { fits } from "./graph.js";
import { flowIcon } from "./icons.js";
import { kinds, server } from "./kinds.js";
import { pick } from "./pick.js";

/** Draw the list; `add(type, point)` is told which is wanted, and where, or null. */
export function buildPalette(add, toWorld) {
  const groups = Map.groupBy(kinds.values(), (kind) => kind.group);
  const place = document.getElementById("palette");
  place.replaceChildren(...[...groups].map(([group, found]) => h("section", h("h2", group), found.map((kind) => {
    const button = h(`button.kind.g-${group.toLowerCase().replace(/\W/g, "")}`, { type: "button", title: kind.about, "data-kind": kind.name, onclick: (e) => { if (!button.dragged) add(kind.name, null, e.detail === 0); button.dragged = false; } },
      h("span.node-icon", flowIcon(kind.icon)), h("span", kind.title), server.off[kind.needs] ? h("span.badge", { title: server.off[kind.needs] }, "off") : null);
    button.addEventListener("pointerdown", (e) => drag(e, button, (at) => add(kind.name, at)));
    return button;
  }))));

  function drag(e, button, dropped) {
    if (e.button !== 0 || e.pointerType === "touch") return;
    let ghost = null;
    const move = (m) => {
      if (!ghost && Math.hypot(m.clientX - e.clientX, m.clientY - e.clientY) < 6) return;
      if (!ghost) { ghost = button.cloneNode(true); ghost.classList.add("ghost-kind"); document.body.append(ghost); button.dragged = true; }
      ghost.style.transform = `translate(${m.clientX + 8}px, ${m.clientY + 6}px)`;
    };
    const end = (m) => {
      removeEventListener("pointermove", move);
      removeEventListener("pointerup", end);
      removeEventListener("pointercancel", end);
      if (!ghost) return;
      ghost.remove();
      setTimeout(() => { button.dragged = false; });
      if (m.type === "pointerup" && document.elementFromPoint(m.clientX, m.clientY)?.closest("#canvas")) dropped(toWorld(m));
    };
    addEventListener("pointermove", move);
    addEventListener("pointerup", end);
    addEventListener("pointercancel", end);
  }
}

/** Pick a kind; `from` is a port {side, type} that must fit. Resolves to {kind, port} or null. */
export async function pickKind(from = null) {
  const items = [];
  for (const kind of kinds.values()) {
    const ports = from ? (from.side === "out" ? kind.inputs : kind.outputs) : [];
    const port = ports.find((p) => (from.side === "out" ? fits(from.type, p.type) : fits(p.type, from.type)));
    if (from && !port) continue;
    items.push({ label: kind.title, hint: server.off[kind.needs] ? "off" : kind.about, group: kind.group, icon: h(`span.node-icon.g-${kind.group.toLowerCase()}`, flowIcon(kind.icon)), kind, port });
  }
  return pick(from ? "Add a node to this wire" : "Add a node", items);
}
