// The model picker at the top of a chat: only what is installed; typing filters, arrows and Enter choose.

import { bytes, composes, h, icon } from "./dom.js";
import { openPopup } from "./menu.js";
import { findModel, store } from "./store.js";

/** How a model fits this machine, as a badge. */
export function fitBadge(fits) {
  const kind = { fits: "good", tight: "tight", "too big": "bad" }[fits];
  return kind ? h(`span.badge.${kind}`, fits === "fits" ? "fits" : fits) : null;
}

export function pickerButton(name, onChoose) {
  const model = name && findModel(name);
  const button = h("button.picker-button", { type: "button", "aria-haspopup": "listbox", "aria-expanded": "false", onclick: () => openPicker(button, name, onChoose) },
    model?.loaded && h("span.dot", { title: "Loaded", role: "img", "aria-label": "Loaded" }),
    h("span.name", name ? (model || !store.state ? name : `${name} (not installed)`) : "Choose a model"), icon("chevron"));
  button.classList.toggle("missing", Boolean(name && store.state && !model));
  button.setAttribute("aria-label", `Model: ${name ?? "none"}${name && store.state && !model ? ", not installed" : ""}`);
  button.id = "picker";
  return button;
}

function openPicker(button, current, onChoose) {
  const input = h("input", { type: "search", placeholder: "Filter models", "aria-label": "Filter models", role: "combobox", "aria-expanded": "true", "aria-controls": "model-options", autocomplete: "off" });
  const list = h("div", { role: "listbox", id: "model-options", "aria-label": "Models" });
  const foot = h("div.picker-foot", h("a.side-link", { href: "#/models", onclick: () => close?.(false) }, icon("download"), "Get or manage models"));
  const popup = h("div.menu.picker", h("div.search-box", icon("search"), input), list, foot);
  const close = openPopup(button, popup);
  if (!close) return;
  let active = 0;
  let shown = [];
  const choose = (model) => { close(); onChoose(model.name); };
  const draw = () => {
    const words = input.value.toLowerCase().trim();
    shown = store.state.models.filter((m) => m.good_for !== "embeddings" && m.name.toLowerCase().includes(words));
    active = Math.max(0, Math.min(active, shown.length - 1));
    list.replaceChildren(...shown.map((m, i) => option(m, i, m.name === current, i === active, () => choose(m))));
    if (!shown.length) list.replaceChildren(h("p.list-note", { role: "option", "aria-selected": "false" }, words ? "No model of that name is installed." : "No model is installed yet."));
    input.setAttribute("aria-activedescendant", shown.length ? `option-${active}` : "");
    list.children[active]?.scrollIntoView({ block: "nearest" });
  };
  input.addEventListener("input", () => { active = 0; draw(); });
  input.addEventListener("keydown", (e) => {
    if (composes(e)) return;
    const by = { ArrowDown: 1, ArrowUp: -1 }[e.key];
    if (by && shown.length) { e.preventDefault(); active = (active + by + shown.length) % shown.length; draw(); }
    if (e.key === "Enter" && shown[active]) { e.preventDefault(); choose(shown[active]); }
  });
  active = Math.max(0, store.state.models.filter((m) => m.good_for !== "embeddings").findIndex((m) => m.name === current));
  draw();
  input.focus();
}

function option(model, i, isCurrent, isActive, choose) {
  const facts = [bytes(model.size), model.needed && `needs ${bytes(model.needed)}`].filter(Boolean).join(" · ");
  const node = h("div.option", { role: "option", id: `option-${i}`, "aria-selected": String(isActive), onclick: choose },
    h("div.names", h("b", model.name, model.loaded && h("span.dot", { title: "Loaded", role: "img", "aria-label": "Loaded" })), h("small", facts)),
    fitBadge(model.fits), isCurrent && icon("check"));
  node.addEventListener("pointermove", () => {
    for (const other of node.parentNode.children) other.setAttribute("aria-selected", String(other === node));
  });
  return node;
}
