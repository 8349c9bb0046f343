// Menus at a button, and dialogs: with the keyboard, closed by Escape, focus returns.

import { h, icon, iconButton } from "./dom.js";

let close = null;

/** Close the open menu, if any. */
export function closeMenu() { close?.(); }

/** Open a popup at a button. It is closed by Escape, by Tab, by a click elsewhere. */
export function openPopup(button, content, { align = "start" } = {}) {
  if (close) { const same = close.button === button; close(); if (same) return null; }
  (button.closest("main, nav, aside") ?? document.body).append(content);
  button.setAttribute("aria-expanded", "true");
  const holder = button.closest(".row, .actions");
  holder?.classList.add("menu-open");
  placeAt(button, content, align);
  const outside = (e) => { if (!content.contains(e.target) && !button.contains(e.target)) close?.(false); };
  const keys = (e) => {
    if (e.key === "Escape") { e.preventDefault(); e.stopPropagation(); close?.(); }
    if (e.key === "Tab") close?.();
  };
  const resized = () => close?.(false);
  document.addEventListener("pointerdown", outside, true);
  content.addEventListener("keydown", keys);
  addEventListener("resize", resized);
  close = (refocus = true) => {
    close = null;
    document.removeEventListener("pointerdown", outside, true);
    removeEventListener("resize", resized);
    content.remove();
    button.setAttribute("aria-expanded", "false");
    holder?.classList.remove("menu-open");
    if (refocus && button.isConnected) button.focus();
  };
  close.button = button;
  return close;
}

function placeAt(button, content, align) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = content;
  const left = align === "end" ? at.right - width : at.left;
  const below = at.bottom + 5;
  const fitsBelow = below + height <= innerHeight - 8;
  content.style.left = `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`;
  content.style.top = `${fitsBelow ? below : Math.max(8, at.top - height - 5)}px`;
}

/** Open a menu of {icon, label, run, danger} at a button; null is a line. */
export function openMenu(button, items, options) {
  const menu = h("div.menu", { role: "menu" });
  for (const item of items) {
    if (item === null) { menu.append(h("hr")); continue; }
    if (!item) continue;
    menu.append(h(item.danger ? "button.danger" : "button", {
      type: "button", role: "menuitem", tabindex: "-1", onclick: () => { close?.(); item.run(); },
    }, icon(item.icon), item.label));
  }
  button.setAttribute("aria-haspopup", "menu");
  if (!openPopup(button, menu, options)) return;
  const entries = [...menu.querySelectorAll('[role="menuitem"]')];
  entries[0]?.focus();
  menu.addEventListener("keydown", (e) => {
    const i = entries.indexOf(document.activeElement);
    const to = { ArrowDown: (i + 1) % entries.length, ArrowUp: (i - 1 + entries.length) % entries.length, Home: 0, End: entries.length - 1 }[e.key];
    if (to !== undefined) { e.preventDefault(); entries[to].focus(); }
  });
}

/** Show a dialog with a title and parts; resolves to what `done(value)` was called with, null when it was closed. */
export function openDialog(title, build, { wide = false } = {}) {
  return new Promise((resolve) => {
    const dialog = h(wide ? "dialog.wide" : "dialog");
    const focused = document.activeElement;
    let result = null;
    const done = (value = null) => { result = value; dialog.close(); };
    const heading = h("h2", { id: "dialog-title" }, title);
    const body = h("form", { method: "dialog", onsubmit: (e) => e.preventDefault() },
      h("div.dialog-head", heading, iconButton("close", "Close", () => done(), ".small")));
    dialog.setAttribute("aria-labelledby", "dialog-title");
    dialog.append(body);
    body.append(...[build(done, body)].flat().filter(Boolean));
    dialog.addEventListener("close", () => { dialog.remove(); focused?.isConnected && focused.focus(); resolve(result); });
    dialog.addEventListener("pointerdown", (e) => { if (e.target === dialog) dialog.close(); });
    document.body.append(dialog);
    dialog.showModal();
    (body.querySelector("[autofocus]") ?? body.querySelector(".dialog-foot .primary"))?.focus();
  });
}

/** Ask yes or no; an `option` is a checkbox whose state comes along as {option}. */
export function confirmDialog(title, text, label, { danger = true, option = null } = {}) {
  return openDialog(title, (done, form) => {
    const box = option && h("input", { type: "checkbox" });
    form.addEventListener("submit", () => done({ option: box?.checked ?? false }));
    return [
      h("p", text),
      option && h("label.switch", box, option),
      h("div.dialog-foot",
        h("button.button.quiet", { type: "button", onclick: () => done() }, "Cancel"),
        h(`button.button.${danger ? "danger" : "primary"}`, { type: "submit", autofocus: true }, label)),
    ];
  });
}

/** Ask for a line of text. */
export function askText(title, label, value, { button = "Save", suggestions = [], hint = "" } = {}) {
  return openDialog(title, (done, form) => {
    const input = h("input.input", { value: value ?? "", "aria-label": label, autofocus: true, list: suggestions.length ? "suggestions" : null, autocomplete: "off", maxlength: "300" });
    form.addEventListener("submit", () => done(input.value.trim()));
    queueMicrotask(() => input.select());
    return [
      h("div.field", h("span.label", label), input, hint && h("span.hint", hint)),
      suggestions.length && h("datalist", { id: "suggestions" }, suggestions.map((s) => h("option", { value: s }))),
      h("div.dialog-foot",
        h("button.button.quiet", { type: "button", onclick: () => done() }, "Cancel"),
        h("button.button.primary", { type: "submit" }, button)),
    ];
  });
}
