// The list of chats at the left: new chat, search, pinned, folders, dates; row menus; many at once.

import { get, ApiError } from "./api.js";
import { arrange, composes, h, icon, iconButton, keeper, polite, preferences, say } from "./dom.js";
import { confirmDialog } from "./menu.js";
import { indexOf } from "./message.js";
import { deleteThreads, emit, nextFrame, on, restoreThreads, store } from "./store.js";

const SEARCH_AFTER = 90; // milliseconds after the last key
const UNDO_MS = 10000;

const places = {};
const kept = keeper();
let selected = null; // ids while several are chosen, else null
let last = null; // where a range begins
let query = "";
let hits = null;
let searching = null;

/** Today, yesterday, last 7 days, last 30 days, months. */
export function dateGroup(seconds, now = new Date()) {
  const day = new Date(now.getFullYear(), now.getMonth(), now.getDate());
  const then = new Date(seconds * 1000);
  const days = Math.floor((day - new Date(then.getFullYear(), then.getMonth(), then.getDate())) / 86400000 + 0.5);
  if (days <= 0) return "Today";
  if (days === 1) return "Yesterday";
  if (days <= 7) return "Last 7 days";
  if (days <= 30) return "Last 30 days";
  return then.toLocaleDateString("en", { month: "long", ...(then.getFullYear() === now.getFullYear() ? {} : { year: "numeric" }) });
}

export const titleOf = (thread) => thread.title || "New chat";

export function buildSidebar() {
  for (const id of ["side-tools", "side-actions", "thread-list", "side-foot"]) places[id] = document.getElementById(id);
  places["side-tools"].append(iconButton("sidebar", "Hide the list of chats", () => toggleSidebar(false)));
  const search = h("input", { type: "search", id: "search", placeholder: "Search chats", "aria-label": "Search chats", autocomplete: "off" });
  search.addEventListener("input", () => { clearTimeout(searching); searching = setTimeout(() => runSearch(search.value), SEARCH_AFTER); });
  search.addEventListener("keydown", (e) => {
    if (composes(e)) return;
    if (e.key === "Escape" && search.value) { e.stopPropagation(); search.value = ""; runSearch(""); }
    if (e.key === "ArrowDown") { e.preventDefault(); places["thread-list"].querySelector("a")?.focus(); }
    if (e.key === "Enter" && hits?.length) places["thread-list"].querySelector("a")?.click();
  });
  places.newChat = h("a.side-link", { href: "#/" }, icon("plus"), "New chat");
  places.bar = h("div.select-bar", { hidden: true });
  places["side-actions"].append(places.newChat, h("div.search-box", icon("search"), search), places.bar);
  places.links = [["#/models", "cube", "Models"], ["#/settings", "gear", "Settings"], ["#/logs", "log", "Logs"]].map(([href, name, label]) =>
    h("a.side-link", { href }, icon(name), label));
  places["side-foot"].append(...places.links);
  places["thread-list"].addEventListener("click", clickRow);
  places["thread-list"].addEventListener("keydown", moveInList);
  on("threads", () => nextFrame(draw));
  on("route", (route) => {
    for (const link of [places.newChat, ...places.links]) {
      if (link.getAttribute("href") === location.hash || (link === places.newChat && route.page === "chat" && !route.thread)) link.setAttribute("aria-current", "page");
      else link.removeAttribute("aria-current");
    }
    nextFrame(draw);
    if (innerWidth <= 760) toggleSidebar(false, false);
  });
  document.getElementById("scrim").addEventListener("click", () => toggleSidebar(false));
  const narrow = matchMedia("(max-width: 760px)"); // there it would cover the chat
  const settle = () => toggleSidebar(!narrow.matches && preferences.get("sidebar", true), false);
  narrow.addEventListener("change", settle);
  settle();
}

export function toggleSidebar(open = document.body.classList.contains("no-sidebar"), keep = true) {
  document.body.classList.toggle("no-sidebar", !open);
  document.getElementById("scrim").hidden = !open;
  if (keep && innerWidth > 760) preferences.set("sidebar", open);
  if (open && keep && innerWidth <= 760) places.newChat.focus();
  emit("sidebar", open);
}

export function focusSearch() { toggleSidebar(true, false); document.getElementById("search").focus(); }

async function runSearch(text) {
  query = text.trim();
  if (!query) { hits = null; draw(); return; }
  const asked = query;
  try {
    const answer = await get(`/app/search?q=${encodeURIComponent(query)}`);
    if (asked !== query) return;
    hits = answer.hits;
    polite(`${hits.length} ${hits.length === 1 ? "hit" : "hits"}`);
  } catch (problem) {
    if (!(problem instanceof ApiError)) throw problem;
    hits = [];
    say(problem.message, true);
  }
  draw();
}

/** Groups of the list in their order: [name, threads, icon]. */
function grouped() {
  const all = [...store.threads.values()].sort((a, b) => b.updated - a.updated);
  const pinned = all.filter((t) => t.pinned);
  const folders = new Map();
  const dates = new Map();
  for (const t of all) {
    if (t.pinned) continue;
    const [map, key] = t.folder ? [folders, t.folder] : [dates, dateGroup(t.updated)];
    if (!map.has(key)) map.set(key, []);
    map.get(key).push(t);
  }
  const groups = pinned.length ? [["Pinned", pinned, "pin"]] : [];
  for (const key of [...folders.keys()].sort((a, b) => a.localeCompare(b))) groups.push([key, folders.get(key), "folder"]);
  for (const [key, threads] of dates) groups.push([key, threads, null]);
  return groups;
}

function draw() {
  const list = places["thread-list"];
  const focused = list.contains(document.activeElement) ? document.activeElement.closest("[data-thread]")?.dataset.thread : null;
  const top = list.scrollTop;
  if (hits) arrange(list, hits.length ? hits.map((hit) => (hit.node ??= hitRow(hit))) : [h("p.list-note", `Nothing found for “${query}”.`)]);
  else if (!store.threads.size) arrange(list, [h("p.list-note", "Your chats will be listed here. They stay on this machine.")]);
  else arrange(list, grouped().map(groupOf));
  list.scrollTop = top;
  if (focused) list.querySelector(`[data-thread="${CSS.escape(focused)}"] a`)?.focus({ preventScroll: true });
  drawSelection();
}

function groupOf([name, threads, symbol]) {
  const closed = symbol === "folder" && preferences.get("closed", []).includes(name);
  const group = kept(`group ${symbol} ${name}`, closed, () => makeGroup(name, symbol, closed));
  arrange(group.lastChild, threads.map(row));
  return group;
}

function makeGroup(name, symbol, closed) {
  const list = h("ul");
  const group = h("section.group", { "aria-label": name });
  if (symbol === "folder") {
    group.classList.toggle("closed", closed);
    list.hidden = closed;
    const chevron = icon("chevron");
    chevron.classList.add("chevron");
    group.append(h("button.group-head", { type: "button", "aria-expanded": String(!closed), onclick: () => {
      const names = preferences.get("closed", []).filter((n) => n !== name);
      if (!closed) names.push(name);
      preferences.set("closed", names);
      draw();
    } }, icon("folder"), h("bdi", name), chevron));
  } else group.append(h("h3.group-head", symbol ? icon(symbol) : null, name));
  group.append(list);
  return group;
}

function row(thread) {
  const { id } = thread;
  const facts = [titleOf(thread), thread.running, store.route?.thread === id, selected && selected.has(id)];
  return kept(id, facts, () => makeRow(thread));
}

function makeRow(thread) {
  const isCurrent = store.route?.thread === thread.id;
  const box = selected && h("input", { type: "checkbox", "aria-label": `Select ${titleOf(thread)}`, checked: selected.has(thread.id), "data-select": thread.id });
  const item = h("li.row", { "data-thread": thread.id },
    box,
    h("a", { href: `#/c/${thread.id}`, title: titleOf(thread), "aria-current": isCurrent ? "page" : null },
      h("span.title", titleOf(thread)), thread.running && h("span.running", { title: "An answer is being written", role: "img", "aria-label": "An answer is being written" })),
    iconButton("more", `More for ${titleOf(thread)}`, (e) => rowMenu(e.currentTarget, store.threads.get(thread.id)), ".small"));
  item.classList.toggle("current", isCurrent);
  item.classList.toggle("selected", Boolean(selected?.has(thread.id)));
  return item;
}

function hitRow(hit) {
  const from = indexOf(hit.text, hit.at);
  const to = from + indexOf(hit.text.slice(from), hit.length);
  return h("a.hit", { href: `#/c/${hit.thread}${hit.message ? `/${hit.message}` : ""}` },
    h("strong", hit.title || "New chat"),
    h("span", { dir: "auto" }, hit.text.slice(0, from), h("mark", hit.text.slice(from, to)), hit.text.slice(to)));
}

/** The menu of a chat; it is loaded when it is first asked for. */
export async function rowMenu(button, thread) {
  (await import("./rowmenu.js")).rowMenu(button, thread);
}

/** Begin to choose several chats, with this one. */
export function selectFrom(id) {
  selected = new Set([id]);
  last = id;
  draw();
}

export async function attempt(promise) {
  try { return await promise; } catch (problem) {
    if (!(problem instanceof ApiError)) throw problem;
    say(problem.message, true);
    return null;
  }
}

/** Delete chats; for ten seconds they can be had back. */
export async function removeWithUndo(ids, pinned = false) {
  const deleted = await attempt(deleteThreads(ids, pinned));
  if (!deleted) return;
  selected = null;
  draw();
  if (deleted.includes(store.route?.thread)) location.hash = "#/";
  const kept = ids.length - deleted.length;
  say(`${deleted.length === 1 ? "Chat" : `${deleted.length} chats`} deleted.${kept ? ` ${kept} pinned kept.` : ""}`, false, () => attempt(restoreThreads(deleted)), UNDO_MS);
}

// --- several at once ---

function clickRow(e) {
  const box = e.target.closest("[data-select]");
  const link = e.target.closest(".row a");
  if (!box && !link) return;
  const id = (box ?? link).closest(".row").dataset.thread;
  if (box) { choose(id, e.shiftKey); return; }
  if (!e.shiftKey && !(e.ctrlKey || e.metaKey) && !selected) { last = id; return; }
  if ((e.ctrlKey || e.metaKey) && !selected) return; // the browser opens a new tab
  e.preventDefault();
  if (!selected) selected = new Set(e.shiftKey && !last ? [] : []);
  choose(id, e.shiftKey);
}

function choose(id, range) {
  selected ??= new Set();
  const ids = [...places["thread-list"].querySelectorAll(".row")].map((r) => r.dataset.thread);
  const from = ids.indexOf(last ?? store.route?.thread ?? id);
  const to = ids.indexOf(id);
  if (range && from >= 0) for (const one of ids.slice(Math.min(from, to), Math.max(from, to) + 1)) selected.add(one);
  else if (selected.has(id)) selected.delete(id);
  else selected.add(id);
  last = id;
  draw();
}

function drawSelection() {
  const { bar } = places;
  bar.hidden = !selected;
  if (!selected) { bar.replaceChildren(); return; }
  bar.replaceChildren(h("span", `${selected.size} selected`),
    iconButton("trash", "Delete selected", deleteSelected, ".small"),
    iconButton("close", "Stop selecting", () => { selected = null; draw(); }, ".small"));
}

async function deleteSelected() {
  const ids = [...selected];
  if (!ids.length) return;
  const pinned = ids.filter((id) => store.threads.get(id)?.pinned).length;
  const answer = await confirmDialog(`Delete ${ids.length} ${ids.length === 1 ? "chat" : "chats"}?`,
    pinned ? `${pinned} of them ${pinned === 1 ? "is" : "are"} pinned and will be kept, unless you say otherwise.` : "They can be had back for ten seconds.", "Delete",
    { option: pinned ? "Delete pinned ones too" : null });
  if (answer) removeWithUndo(ids, answer.option);
}

function moveInList(e) {
  if (e.key !== "ArrowDown" && e.key !== "ArrowUp") return;
  const links = [...places["thread-list"].querySelectorAll("a")];
  const i = links.indexOf(document.activeElement);
  if (i < 0) return;
  e.preventDefault();
  if (e.key === "ArrowUp" && i === 0) document.getElementById("search").focus();
  else links[Math.min(links.length - 1, Math.max(0, i + (e.key === "ArrowDown" ? 1 : -1)))].focus();
}
