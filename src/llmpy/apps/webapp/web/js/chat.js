// The page of a chat: header with the model, messages, composer; also the empty chat and the empty machine.

import { ApiError } from "./api.js";
import { h, iconButton, needPagesStyle, preferences, say, svg } from "./dom.js";
import { acceptDrops, Composer } from "./composer.js";
import { pickerButton } from "./picker.js";
import { followRunning, outbox, runningIn, stopRun } from "./runs.js";
import { activeSchema, draftFields } from "./schema.js";
import { rowMenu, titleOf, toggleSidebar } from "./sidebar.js";
import { changeThread, createThread, defaultModel, findModel, nextFrame, on, openThread, store } from "./store.js";
import { beginRun, ThreadView } from "./thread.js";

const EXAMPLES = ["Explain what a KV cache is", "Write a haiku about autumn rain", "Draft a short thank-you note"];

let open = null; // the OpenThread that is shown
let chosen = null; // model of the new chat
let view = null;
let composer = null;
let shownEmpty = null; // "new", "install" or null

export function buildChat() {
  view = new ThreadView();
  composer = new Composer({
    send: (body) => send(body),
    stop: () => stop(),
    step: (by) => Boolean(open) && view.step(by),
    page: (key) => view.page(key),
  });
  composer.dock.prepend(view.toBottom);
  acceptDrops(document.getElementById("main"), composer);
  on("live", ({ thread, message }) => {
    if (open?.thread.id !== thread) return;
    view.live(message);
    showMeter(message);
  });
  on("thread", (change) => { if (open?.thread.id === change.id) nextFrame(() => changed(change)); });
  on("run", (run) => { if (open?.thread.id === run.thread) openThread(run.thread).then(() => { followRunning(open); refresh(); }); });
  on("run-with", ({ thread, body }) => begin(thread, body));
  on("resend", (body) => { const { problem, ...rest } = body; send(rest); });
  on("state", () => { if (store.route?.page === "chat") { drawTop(); refresh(); if (!open) drawEmpty(); } });
  on("progress", () => { if (shownEmpty === "install") drawEmpty(); });
  on("threads", () => { if (open && store.route?.page === "chat") nextFrame(drawTop); });
  on("sidebar", () => { if (store.route) drawTop(); });
}

export const currentComposer = () => composer;
export const hasRunning = () => Boolean(runningIn(open));

/** Show a chat, or the empty one. */
export async function showChat(route) {
  const place = document.getElementById("view");
  if (!route.thread) {
    open = null;
    store.shown = null;
    chosen = null;
    shownEmpty = null;
    composer.open(null);
    drawTop();
    drawEmpty();
    closePanel();
    refresh();
    return;
  }
  let found;
  try {
    found = await openThread(route.thread);
  } catch (problem) {
    if (!(problem instanceof ApiError)) throw problem;
    place.replaceChildren(h("div.empty-page", h("h1", problem.status === 404 ? "This chat does not exist" : "This chat cannot be opened"),
      h("p", problem.status === 404 ? "It may have been deleted." : problem.message), h("a.button.primary", { href: "#/" }, "New chat")));
    return;
  }
  if (store.route !== route) return;
  const same = open === found && place.contains(view.scroller);
  open = found;
  store.shown = route.thread;
  shownEmpty = null;
  if (!place.contains(view.scroller)) place.replaceChildren(view.scroller, composer.dock);
  if (!same || composer.key !== route.thread) composer.open(route.thread);
  drawTop();
  if (!same || route.message) view.show(open, route.message); else view.sync();
  followRunning(open);
  refresh();
  if (!document.getElementById("panel").hidden) openPanel();
  if (matchMedia("(hover: hover)").matches && !route.message) composer.input.focus({ preventScroll: true });
}

function changed(change) {
  if (!open || open.thread.id !== change.id) return;
  if (change.deleted) { if (store.route?.thread === change.id) location.hash = "#/"; return; }
  const fresh = store.opened.get(change.id);
  if (fresh && fresh !== open) open = fresh;
  view.open = open;
  if (change.sent) view.following = true;
  view.sync();
  if (change.message) view.refresh(change.message);
  if (change.ended) { view.refresh(change.ended); showMeter(open.messages.get(change.ended)); }
  if (change.reread) for (const id of view.ids) view.refresh(id);
  if (change.sent) view.toEnd();
  followRunning(open);
  refresh();
  drawTop();
}

const modelName = () => (open ? open.thread.model ?? (store.state && defaultModel()) : chosen ?? (store.state && defaultModel()));

/** The state of the composer: running, blocked, modes, note. */
function refresh() {
  const running = runningIn(open);
  composer.setRunning(Boolean(running));
  const name = modelName();
  const installed = name && findModel(name);
  composer.setBlocked(store.state && !installed ? (name ? `${name} is not installed: choose another model` : "Choose a model first") : null);
  const key = open?.thread.id ?? "new";
  const modes = [];
  if (activeSchema(key)) modes.push({ name: "braces", label: "Form", run: () => openPanel() });
  composer.setModes(modes);
  composer.note.textContent = name && installed ? `${name} can be wrong. Check what matters.` : "";
  if (!running) showMeter(open?.path().findLast((m) => m.stats?.n_ctx));
}

function showMeter(message) {
  const stats = message?.stats;
  const running = message?.state === "running";
  const model = findModel(modelName());
  composer.setMeter({ speed: running ? stats?.tokens_per_second : null, used: stats?.n_used ?? 0, total: stats?.n_ctx ?? (open ? model?.n_ctx : null) });
}

function drawTop() {
  const top = document.getElementById("top");
  const closed = document.body.classList.contains("no-sidebar");
  const menu = iconButton("sidebar", "Show the list of chats", () => toggleSidebar(true));
  const focused = top.contains(document.activeElement) ? document.activeElement.id || document.activeElement.getAttribute("aria-label") : null;
  const picker = pickerButton(modelName(), choose);
  const thread = open && store.threads.get(open.thread.id);
  const shown = `${open?.thread.id} ${closed} ${thread && titleOf(thread)}`;
  document.title = thread ? `${titleOf(thread)} · llmpy` : "llmpy";
  if (picker.isEqualNode(top.querySelector("#picker")) && top.dataset.for === shown) return;
  if (document.querySelector(".picker")) return;
  top.dataset.for = shown;
  top.replaceChildren(...[
    closed && menu, closed && iconButton("plus", "New chat", () => { location.hash = "#/"; }),
    h("h1.offscreen", thread ? titleOf(thread) : "New chat"), picker, h("span.grow"),
    iconButton("sliders", "Settings of this chat", togglePanel),
    thread && iconButton("more", `More for ${titleOf(thread)}`, (e) => rowMenu(e.currentTarget, store.threads.get(thread.id))),
  ].filter(Boolean));
  if (focused) (top.querySelector(`#${CSS.escape(focused)}`) ?? top.querySelector(`[aria-label="${CSS.escape(focused)}"]`))?.focus();
}

async function choose(name) {
  preferences.set("model", name);
  if (open) {
    try { await changeThread(open.thread.id, { model: name }); } catch (problem) { say(problem.message, true); }
  } else chosen = name;
  drawTop();
  refresh();
  if (!open) drawEmpty();
  composer.input.focus();
}

// --- the empty chat ---

function mark() {
  return svg("svg", { viewBox: "0 0 24 24", class: "mark", "aria-hidden": "true" },
    ...[[3, 9, 12], [10, 3, 18], [17, 13, 8]].map(([x, y, height]) => svg("rect", { x, y, width: 4, height, rx: 2 })));
}

function drawEmpty() {
  const place = document.getElementById("view");
  if (!store.state) {
    if (store.error) place.replaceChildren(h("div.empty-page", h("h1", "The server does not answer"), h("p", store.error.message)));
    else if (shownEmpty !== "new") { shownEmpty = "new"; place.replaceChildren(emptyChat(null)); }
    return;
  }
  const chat = store.state.models.filter((m) => m.good_for !== "embeddings");
  if (!chat.length) {
    shownEmpty = "install";
    drawWelcome(place);
    return;
  }
  const had = place.contains(composer.input) && document.activeElement === composer.input;
  shownEmpty = "new";
  place.replaceChildren(emptyChat(modelName()));
  if (had || matchMedia("(hover: hover)").matches) composer.input.focus({ preventScroll: true });
}

async function drawWelcome(place) {
  const [{ installSection }] = await Promise.all([import("./models.js"), needPagesStyle()]);
  if (shownEmpty !== "install") return;
  const focused = place.contains(document.activeElement) ? document.activeElement.dataset.focus : null;
  const source = place.querySelector("#pull-name")?.value ?? "";
  place.replaceChildren(h("div.page.welcome", h("div.greeting", mark(), h("h1", "Welcome. Choose a model to begin."),
    h("p", "It is downloaded once and then runs on this machine. Nothing that you write leaves it.")), installSection(true)));
  place.querySelector("#pull-name").value = source;
  if (focused) place.querySelector(`[data-focus="${CSS.escape(focused)}"]`)?.focus({ preventScroll: true });
}

function emptyChat(name) {
  const words = name ? `${name} answers on this machine. Nothing leaves it.` : "";
  return h("div.empty-chat", h("div.greeting", mark(), h("h2", "What shall we think about?"), h("p", words || "\u00a0")),
    composer.dock,
    h("div.examples", EXAMPLES.map((text) => h("button", { type: "button", onclick: () => { composer.set(text); composer.input.focus(); } }, text))));
}

// --- sending and stopping ---

async function send(body) {
  let id = open?.thread.id;
  if (!id) {
    try {
      const thread = await createThread({ ...draftFields, model: modelName() });
      id = thread.id;
      for (const key of Object.keys(draftFields)) delete draftFields[key];
      const schema = preferences.get("schema.new");
      if (schema) { preferences.set(`schema.${id}`, schema); preferences.set("schema.new", null); }
      location.hash = `#/c/${id}`;
    } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem;
      composer.set(body.content, body.files ?? []);
      say(problem.message, true);
      return;
    }
  }
  await begin(id, body);
}

async function begin(id, body) {
  const schema = activeSchema(id);
  if (open?.thread.id === id) { composer.setRunning(true); outbox.set(id, null); }
  const model = store.threads.get(id)?.model ?? modelName();
  if (model) preferences.set("model", model);
  await beginRun(id, body, { ...(schema ? { schema } : {}), ...(store.threads.get(id)?.model ? {} : { model }) });
  refresh();
}

export async function stop() {
  const message = runningIn(open);
  if (!message || message.stopping) return;
  try { await stopRun(message); } catch (problem) { say(problem.message, true); }
}

// --- the panel ---

async function openPanel() {
  const panel = document.getElementById("panel");
  const [{ drawPanel }] = await Promise.all([import("./panel.js"), needPagesStyle()]);
  panel.hidden = false;
  document.querySelector('[aria-label="Settings of this chat"]')?.setAttribute("aria-pressed", "true");
  drawPanel(panel, open?.thread.id ?? null, { close: () => { closePanel(); document.querySelector('[aria-label="Settings of this chat"]')?.focus(); }, changed: refresh });
}

export function closePanel() {
  document.getElementById("panel").hidden = true;
  document.querySelector('[aria-label="Settings of this chat"]')?.setAttribute("aria-pressed", "false");
}

export function togglePanel() {
  const panel = document.getElementById("panel");
  if (panel.hidden) openPanel().then(() => panel.querySelector("textarea")?.focus()); else closePanel();
}

