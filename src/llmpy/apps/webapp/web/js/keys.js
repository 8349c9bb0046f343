// Shortcuts: single keys outside of text boxes, Escape everywhere; the sheet that lists them.

import { composes, h, preferences } from "./dom.js";
import { currentComposer, hasRunning, stop, togglePanel } from "./chat.js";
import { openDialog } from "./menu.js";
import { focusSearch, toggleSidebar } from "./sidebar.js";
import { store } from "./store.js";

const go = (hash) => () => { location.hash = hash; };

const KEYS = [
  ["n", "New chat", go("#/")],
  ["i", "Write a message", () => currentComposer().input.focus()],
  ["/", "Search chats", focusSearch],
  ["j", "Next chat in the list", () => step(1)],
  ["k", "Previous chat in the list", () => step(-1)],
  ["o", "Choose a model", () => document.getElementById("picker")?.click()],
  ["t", "Settings of this chat", () => store.route.page === "chat" && togglePanel()],
  ["[", "Show or hide the list", () => toggleSidebar()],
  ["m", "Models", go("#/models")],
  [",", "Settings", go("#/settings")],
  ["l", "Logs", go("#/logs")],
  ["?", "This list", () => showKeys()],
];

const OTHERS = [
  ["Enter", "Send"], ["Shift Enter", "New line"], ["Esc", "Stop the answer; leave the message box"], ["← →", "Step through versions, in an empty message box"],
  ["PgUp PgDn", "Scroll the messages"], ["Ctrl Enter", "Send or save an edit"],
];

function step(by) {
  const links = [...document.querySelectorAll("#thread-list .row a")];
  const i = links.findIndex((a) => a.getAttribute("aria-current"));
  const to = links[i < 0 ? 0 : i + by];
  if (!to) return;
  store.passing = true; // the next key is another step, not text
  location.hash = to.getAttribute("href");
}

export function showKeys() {
  if (document.querySelector("dialog[open]")) return;
  const row = ([keys, words]) => h("div.key-row", h("dt", words), h("dd", keys.split(" ").map((k) => h("kbd", k))));
  openDialog("Shortcuts", () => [
    h("dl.keys", OTHERS.map(row)),
    h("h3.key-head", preferences.get("single-keys", true) ? "Outside of text boxes" : "Outside of text boxes (switched off in the settings)"),
    h("dl.keys", KEYS.map(row)),
  ]);
}

const inText = (node) => node?.matches?.("input:not([type=checkbox]):not([type=range]), textarea, select, [contenteditable]");

export function watchKeys() {
  document.addEventListener("keydown", (e) => {
    if (e.defaultPrevented || composes(e)) return;
    if (document.querySelector("dialog[open], .menu")) return;
    if (e.key === "Escape") {
      if (store.route?.page === "chat" && hasRunning()) { e.preventDefault(); stop(); }
      else if (innerWidth <= 760 && !document.body.classList.contains("no-sidebar")) toggleSidebar(false);
      else if (inText(document.activeElement)) document.activeElement.blur();
      return;
    }
    if (inText(e.target) || e.ctrlKey || e.metaKey || e.altKey || !preferences.get("single-keys", true)) return;
    const found = KEYS.find(([key]) => key === e.key);
    if (found) { e.preventDefault(); found[2](); }
  });
}
