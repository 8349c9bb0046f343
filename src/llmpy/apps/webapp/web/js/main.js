// The start of the page: what is where, the first requests, the connection.

import { buildChat, closePanel, showChat } from "./chat.js";
import { h, iconButton, needPagesStyle, preferences, say } from "./dom.js";
import { watchKeys } from "./keys.js";
import { openDialog } from "./menu.js";
import { buildSidebar, toggleSidebar } from "./sidebar.js";
import { emit, listen, nextFrame, on, store } from "./store.js";

// each is loaded when it is first shown: [title, its module]
const PAGES = {
  models: ["Models", () => import("./models.js")],
  settings: ["Settings", () => import("./settings.js")],
  logs: ["Logs", () => import("./logs.js")],
};
let leave = null; // what the page that is shown wants done when it goes

/** "#/c/ID/MESSAGE", "#/models", ...; anything else is the new chat. */
export function parseRoute(hash) {
  const [, page, thread, message] = hash.replace(/^#/, "").split("/").map(decodeURIComponent);
  if (page === "c" && thread) return { page: "chat", thread, message: message || null };
  if (page in PAGES) return { page };
  return { page: "chat", thread: null, message: null };
}

function applyTheme(theme = store.state?.settings.theme ?? preferences.get("theme", "system")) {
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
  else delete document.documentElement.dataset.theme;
  preferences.set("theme", theme);
}

async function showPage(route) {
  const place = document.getElementById("view");
  if (!store.state) { place.replaceChildren(); return; }
  const [page] = await Promise.all([PAGES[route.page][1](), needPagesStyle()]);
  if (store.route !== route) return;
  page.draw(place);
  leave = page.leave ?? null;
}

function show() {
  leave?.();
  leave = null;
  const route = parseRoute(location.hash);
  store.route = route;
  emit("route", route);
  if (route.page === "chat") { showChat(route); return; }
  closePanel();
  store.shown = null;
  drawPageTop();
  document.title = `${PAGES[route.page][0]} · llmpy`;
  showPage(route);
}

function drawPageTop() {
  const top = document.getElementById("top");
  top.dataset.for = "";
  const isClosed = document.body.classList.contains("no-sidebar");
  top.replaceChildren(...(isClosed ? [iconButton("sidebar", "Show the list of chats", () => toggleSidebar(true)), iconButton("plus", "New chat", () => { location.hash = "#/"; })] : []));
}

const redrawModels = () => { if (store.route?.page === "models" && store.state) showPage(store.route); };

/** The phone's keyboard must not cover the input where the browser does not resize the page itself. */
function followKeyboard() {
  const viewport = window.visualViewport;
  if (!viewport) return;
  const fit = () => {
    if (viewport.scale > 1.01) return; // pinched: leave it
    document.documentElement.style.setProperty("--app-height", `${viewport.height}px`);
  };
  viewport.addEventListener("resize", () => nextFrame(fit));
}

function drawConnection() {
  const place = document.getElementById("banner");
  const lost = store.lost && !store.connected;
  if (!lost) { if (place.firstChild) { place.replaceChildren(); say("The server is back.", false, null, 2500); } return; }
  if (!place.firstChild) place.replaceChildren(h("div.banner", { role: "alert" }, "The server does not answer. What you wrote is kept here; this page connects again by itself."));
}

async function askKey() {
  const key = await openDialog("This server needs a key", (done, form) => {
    const input = h("input.input", { type: "password", "aria-label": "Key", autofocus: true, autocomplete: "off" });
    form.addEventListener("submit", () => done(input.value.trim()));
    return [h("p", "It is one of the keys with which llmpy was started, or that its settings name."), input,
      h("div.dialog-foot", h("button.button.primary", { type: "submit" }, "Continue"))];
  });
  if (!key) return;
  preferences.set("key", key);
  listen();
}

applyTheme(preferences.get("theme", "system"));
buildSidebar();
buildChat();
watchKeys();
followKeyboard();
addEventListener("hashchange", show);
document.querySelector(".skip").addEventListener("click", (e) => {
  e.preventDefault(); // the address names what is shown
  (document.getElementById("input") ?? document.getElementById("main")).focus();
});
const notBusy = () => document.getElementById("app").removeAttribute("aria-busy");
on("ready", () => {
  notBusy();
  if (store.route.page !== "chat") show();
});
on("connection", () => { nextFrame(drawConnection); if (store.lost) notBusy(); });
on("key", askKey);
on("state", () => { applyTheme(); nextFrame(redrawModels); });
on("progress", () => nextFrame(redrawModels));
on("sidebar", () => { if (store.route && store.route.page !== "chat") drawPageTop(); });
show();
listen();
