// The page of a chat: header with the model, messages, composer; also the empty chat and the empty machine.

import { ApiError } from "./api.js";
import { h, iconButton, needPagesStyle, preferences, say, svg } from "./dom.js";
import { acceptDrops, Composer } from "./composer.js";
import { changeNewChat, fieldsOf, hasForm } from "./fields.js";
import { pickerButton } from "./picker.js";
import { followRunning, outbox, runningIn, starting, stopRun } from "./runs.js";
import { rowMenu, titleOf, toggleSidebar } from "./sidebar.js";
import { changeThread, createThread, defaultModel, findModel, nextFrame, on, openThread, store } from "./store.js";
import { beginRun, ThreadView } from "./thread.js";

const EXAMPLES = ["Explain what a KV cache is", "Write a haiku about autumn rain", "Draft a short thank-you note"];

let id = null; // of the chat that is shown, null for the new one
let open = null; // its messages, once they are there
let failed = false; // they could not be read: try again when the server answers
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
  on("resend", ({ problem, at, ...body }) => send(body));
  on("state", () => {
    if (store.route?.page !== "chat") return;
    drawTop();
    refresh();
    if (!id) drawEmpty();
    else if (failed) showChat(store.route);
  });
  on("progress", () => { if (shownEmpty === "install") drawEmpty(); });
  on("threads", () => { if (id && store.route?.page === "chat") nextFrame(drawTop); });
  on("sidebar", () => { if (store.route) drawTop(); });
}

export const currentComposer = () => composer;
export const hasRunning = () => Boolean(runningIn(open)) || starting.has(id);

/** Show a chat, or the empty one. One can write before its messages are there. */
export async function showChat(route) {
  const isOther = id !== route.thread;
  id = route.thread;
  store.shown = id;
  failed = false;
  if (composer.key !== (id ?? "new")) composer.open(id);
  if (isOther) { open = null; view.clear(); }
  shownEmpty = null;
  if (!id) {
    chosen = null;
    takeBack();
    drawTop();
    drawEmpty();
    closePanel();
    refresh();
    return;
  }
  const place = document.getElementById("view");
  const isThere = !isOther && place.contains(view.scroller);
  if (!isThere) place.replaceChildren(view.scroller, composer.dock);
  drawTop();
  refresh();
  if (matchMedia("(hover: hover)").matches && !route.message && !store.passing) composer.input.focus({ preventScroll: true });
  store.passing = false;
  if (!document.getElementById("panel").hidden) openPanel();
  let found;
  try {
    found = await openThread(id);
  } catch (problem) {
    if (!(problem instanceof ApiError)) throw problem;
    if (store.route === route) drawMissing(problem);
    return;
  }
  if (store.route !== route) return;
  const same = isThere && open === found;
  open = found;
  if (!same || route.message) view.show(open, route.message); else view.sync();
  followRunning(open);
  drawTop();
  refresh();
}

/** A question for a new chat that was not made before the page was closed: it is a draft again. */
function takeBack() {
  const left = outbox.get(null);
  if (!left || starting.has(null)) return;
  outbox.set(null, null);
  const { value } = composer.input;
  composer.set(value ? `${left.content}\n\n${value}` : left.content, [...(left.files ?? []), ...composer.files]);
}

function drawMissing(problem) {
  const gone = problem.status === 404;
  failed = !gone;
  document.getElementById("view").replaceChildren(h("div.empty-page", h("h1", gone ? "This chat does not exist" : "This chat cannot be opened"),
    h("p", gone ? "It may have been deleted." : problem.message), h("a.button.primary", { href: "#/" }, "New chat")));
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

const shownThread = () => open?.thread ?? store.threads.get(id) ?? null;
const modelName = () => (id ? shownThread()?.model : chosen) ?? (store.state && (!id || shownThread()) ? defaultModel() : null);

/** The state of the composer: running, blocked, modes, note. */
function refresh() {
  const running = runningIn(open);
  composer.setRunning(Boolean(running) || starting.has(id));
  const name = modelName();
  const installed = name && findModel(name);
  const isKnown = store.state && (!id || shownThread());
  composer.setBlocked(isKnown && !installed ? (name ? `${name} is not installed: choose another model` : "Choose a model first") : null);
  const modes = [];
  if (hasForm(id)) modes.push({ name: "braces", label: "Form", run: () => openPanel() });
  composer.setModes(modes);
  composer.note.textContent = name && installed ? `${name} can be wrong. Check what matters.` : "";
  if (!running) showMeter(open?.path().findLast((m) => m.stats?.n_ctx));
}

function showMeter(message) {
  const running = message?.state === "running";
  const model = findModel(modelName());
  const { n_used = 0, n_ctx = open ? model?.n_ctx : null } = (message?.stats?.n_used ? message : open?.path().findLast((m) => m.stats?.n_used))?.stats ?? {};
  composer.setMeter({ speed: running ? message.stats?.tokens_per_second : null, used: n_used, total: n_ctx });
}

function drawTop() {
  const top = document.getElementById("top");
  const closed = document.body.classList.contains("no-sidebar");
  const menu = iconButton("sidebar", "Show the list of chats", () => toggleSidebar(true));
  const focused = top.contains(document.activeElement) ? document.activeElement.id || document.activeElement.getAttribute("aria-label") : null;
  const picker = pickerButton(modelName(), choose);
  const thread = shownThread();
  const shown = `${id} ${closed} ${thread && titleOf(thread)}`;
  document.title = thread ? `${titleOf(thread)} · llmpy` : "llmpy";
  if (picker.isEqualNode(top.querySelector("#picker")) && top.dataset.for === shown) return;
  if (document.querySelector(".picker")) return;
  top.dataset.for = shown;
  top.replaceChildren(...[
    closed && menu, closed && iconButton("plus", "New chat", () => { location.hash = "#/"; }),
    h("h1.offscreen", thread ? titleOf(thread) : "New chat"), picker, h("span.grow"),
    iconButton("sliders", "Settings of this chat", togglePanel),
    thread && iconButton("more", `More for ${titleOf(thread)}`, (e) => rowMenu(e.currentTarget, shownThread())),
  ].filter(Boolean));
  if (focused) (top.querySelector(`#${CSS.escape(focused)}`) ?? top.querySelector(`[aria-label="${CSS.escape(focused)}"]`))?.focus();
}

async function choose(name) {
  preferences.set("model", name);
  if (id) {
    try { await changeThread(id, { model: name }); } catch (problem) { say(problem.message, true); }
  } else chosen = name;
  drawTop();
  refresh();
  if (!id) drawEmpty();
  composer.input.focus();
}

// --- the empty chat ---

function mark() {
  return svg("svg", { viewBox: "0 0 24 24", class: "mark", "aria-hidden": "true" },
    ...[[3, 9, 12], [10, 3, 18], [17, 13, 8]].map(([x, y, height]) => svg("rect", { x, y, width: 4, height, rx: 2 })));
}

function drawEmpty() {
  const place = document.getElementById("view");
  const chat = store.state?.models.filter((m) => m.good_for !== "embeddings");
  if (chat && !chat.length) {
    shownEmpty = "install";
    drawWelcome(place);
    return;
  }
  shownEmpty = "new";
  const words = place.querySelector(".empty-chat .greeting p");
  if (words) { words.textContent = greeting(modelName()); return; }
  place.replaceChildren(emptyChat(modelName()));
  if ( matchMedia("(hover: hover)").matches) composer.input.focus({ preventScroll: true });
}

async function drawWelcome(place) {
  const [{ installSection }] = await Promise.all([import("./models.js"), needPagesStyle()]);
  if (shownEmpty !== "install") return;
  const section = installSection(true);
  if (place.contains(section)) return; // it was brought up to date
  place.replaceChildren(h("div.page.welcome", h("div.greeting", mark(), h("h1", "Welcome. Choose a model to begin."),
    h("p", "It is downloaded once and then runs on this machine. Nothing that you write leaves it.")), section));
}

const greeting = (name) => (name ? `${name} answers on this machine. Nothing leaves it.` : "\u00a0");

function emptyChat(name) {
  return h("div.empty-chat", h("div.greeting", mark(), h("h2", "What shall we think about?"), h("p", greeting(name))),
    composer.dock,
    h("div.examples", EXAMPLES.map((text) => h("button", { type: "button", onclick: () => { composer.set(text); composer.input.focus(); } }, text))));
}

// --- sending and stopping ---

async function send(body) {
  let target = id;
  keep(target, body);
  if (!target) {
    starting.set(null, false);
    refresh();
    try {
      const thread = await createThread({ ...fieldsOf(null), model: modelName() });
      target = thread.id;
      keep(target, body);
      changeNewChat(null);
      if (composer.key === "new") composer.keepAs(target);
      if (store.route?.page === "chat" && !store.route.thread) location.hash = `#/c/${target}`;
    } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem;
      composer.set(body.content, body.files ?? []);
      say(problem.message, true);
      return;
    } finally {
      outbox.set(null, null);
      starting.delete(null);
      refresh();
    }
  }
  await begin(target, body);
}

function keep(target, body) {
  outbox.set(target, { ...body, at: Date.now() / 1000 - 60 }); // clocks may differ a little
}

async function begin(target, body) {
  if (body.content !== undefined) keep(target, body);
  starting.set(target, false);
  refresh();
  if (open?.thread.id === target) view.sync();
  const own = store.threads.get(target)?.model;
  const model = own ?? modelName();
  if (model) preferences.set("model", model);
  const begun = await beginRun(target, body, own || !model ? {} : { model });
  const isUnwanted = starting.get(target);
  starting.delete(target);
  refresh();
  if (!begun) changed({ id: target });
  if (isUnwanted && begun) await stopAnswer({ run: begun.run });
}

export async function stop() {
  const message = runningIn(open);
  if (message && !message.stopping) await stopAnswer(message);
  else if (starting.has(id)) starting.set(id, true);
}

async function stopAnswer(message) {
  try { await stopRun(message); } catch (problem) { say(problem.message, true); }
}

// --- the panel ---

async function openPanel() {
  const panel = document.getElementById("panel");
  const [{ drawPanel }] = await Promise.all([import("./panel.js"), needPagesStyle()]);
  panel.hidden = false;
  document.querySelector('[aria-label="Settings of this chat"]')?.setAttribute("aria-pressed", "true");
  drawPanel(panel, id, { close: () => { closePanel(); document.querySelector('[aria-label="Settings of this chat"]')?.focus(); }, changed: refresh });
}

export function closePanel() {
  document.getElementById("panel").hidden = true;
  document.querySelector('[aria-label="Settings of this chat"]')?.setAttribute("aria-pressed", "false");
}

export function togglePanel() {
  const panel = document.getElementById("panel");
  if (panel.hidden) openPanel().then(() => panel.querySelector("textarea")?.focus()); else closePanel();
}

