// Picking one of many with the keyboard or the mouse: nodes to add, ports to join, examples.

import { composes, h } from "/web/js/dom.js";
import { openDialog } from "/web/js/menu.js";

/** Show items {label, hint, icon, group, words}; resolves to the one that was chosen, or null. */
export function pick(title, items, { placeholder = "Type to search" } = {}) {
  return openDialog(title, (done, form) => {
    let shown = items;
    let at = 0;
    const list = h("div.pick-list", { role: "listbox", id: "pick-list", "aria-label": title });
    const input = h("input.input", { type: "search", placeholder, autofocus: true, autocomplete: "off", role: "combobox", "aria-expanded": "true", "aria-controls": "pick-list", "aria-label": title });
    const draw = () => {
      let group = null;
      list.replaceChildren(...shown.flatMap((item, i) => {
        const head = item.group && item.group !== group ? [h("div.pick-group", { role: "presentation" }, item.group)] : [];
        group = item.group;
        return [...head, h("div.pick-item", { role: "option", id: `pick-${i}`, "aria-selected": String(i === at), onclick: () => done(item), onpointermove: () => { if (at !== i) { at = i; mark(); } } },
          item.icon ?? null, h("span.pick-label", item.label), item.hint && h("span.pick-hint", item.hint))];
      }));
      if (!shown.length) list.append(h("div.pick-none", "nothing fits"));
      mark();
    };
    const mark = () => {
      for (const option of list.querySelectorAll(".pick-item")) option.setAttribute("aria-selected", String(option.id === `pick-${at}`));
      const found = list.querySelector(`#pick-${at}`);
      found?.scrollIntoView({ block: "nearest" });
      input.setAttribute("aria-activedescendant", found ? found.id : "");
    };
    input.addEventListener("input", () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      shown = items.filter((item) => words.every((w) => `${item.label} ${item.hint ?? ""} ${item.group ?? ""} ${item.words ?? ""}`.toLowerCase().includes(w)));
      const first = input.value.trim().toLowerCase();
      if (first) shown = [...shown].sort((a, b) => Number(b.label.toLowerCase().startsWith(first)) - Number(a.label.toLowerCase().startsWith(first)));
      at = 0;
      draw();
    });
    input.addEventListener("keydown", (e) => {
      if (composes(e)) return;
      const n = shown.length;
      const to = { ArrowDown: (at + 1) % n, ArrowUp: (at - 1 + n) % n, PageDown: Math.min(n - 1, at + 8), PageUp: Math.max(0, at - 8) }[e.key];
      if (to !== undefined && n) { e.preventDefault(); at = to; mark(); }
      if (e.key === "Enter") { e.preventDefault(); if (shown[at]) done(shown[at]); }
    });
    form.classList.add("pick");
    draw();
    return [input, list];
  });
}
