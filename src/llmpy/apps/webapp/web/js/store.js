// What the page knows: the state of the server, the list of chats, the chats that were opened, what runs.

import { get, patch, post, readEvents, remove, ApiError } from "./api.js";
import { preferences } from "./dom.js";

const listeners = new Map();

/** Call `listener` when `what` changes: "ready", "state", "threads", "thread", "run", "route", "connection", "log", "draft". */
export function on(what, listener) {
  if (!listeners.has(what)) listeners.set(what, new Set());
  listeners.get(what).add(listener);
  return () => listeners.get(what).delete(listener);
}

export function emit(what, detail) {
  for (const listener of [...(listeners.get(what) ?? [])]) listener(detail);
}

const queued = new Set();
let frame = 0;

/** Run `task` once in the next frame, however often it is asked for. */
export function nextFrame(task) {
  queued.add(task);
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    const tasks = [...queued];
    queued.clear();
    for (const one of tasks) one();
  });
}

export const store = {
  state: null, // answer of /app/state
  threads: new Map(), // id -> Thread without messages
  opened: new Map(), // id -> OpenThread
  connected: false,
};

const said = new Map(); // id -> the chat as the server said it last
const unanswered = new Map(); // id -> changes that the server has not answered yet, in their order

/** A chat as it is shown: with what was asked of the server, so that a late answer shows nothing older. */
const withAsked = (thread) => Object.assign({ ...thread }, ...(unanswered.get(thread.id) ?? []));

/** A chat with its messages. They are a tree; what is shown is the path to `leaf`. */
export class OpenThread {
  constructor(thread) {
    this.messages = new Map();
    this.children = new Map();
    this.chosen = new Map(); // parent -> the child that was seen last
    this.update(thread);
    for (const message of thread.messages ?? []) this.put(message);
  }

  update(thread) {
    const { messages, runs, ...rest } = thread;
    this.thread = { ...this.thread, ...rest };
  }

  put(message) {
    const have = this.messages.get(message.id);
    if (have) {
      const { content, thinking } = have;
      Object.assign(have, message);
      // a change told while text arrives may be older than the text that is here
      if (have.live && message.state === "running") Object.assign(have, { content, thinking });
      return have;
    }
    this.messages.set(message.id, message);
    const siblings = this.children.get(message.parent) ?? [];
    siblings.push(message.id);
    siblings.sort((a, b) => this.messages.get(a).created - this.messages.get(b).created);
    this.children.set(message.parent, siblings);
    return message;
  }

  drop(id) {
    const message = this.messages.get(id);
    if (!message) return;
    this.messages.delete(id);
    this.children.set(message.parent, (this.children.get(message.parent) ?? []).filter((x) => x !== id));
  }

  /** Messages from the first to the leaf. */
  path() {
    const found = [];
    const seen = new Set();
    let id = this.thread.leaf;
    if (!this.messages.has(id)) id = this.deepest(null);
    while (id && this.messages.has(id) && !seen.has(id)) {
      seen.add(id);
      const message = this.messages.get(id);
      this.chosen.set(message.parent, id);
      found.push(message);
      id = message.parent;
    }
    return found.reverse();
  }

  /** Versions of a message: those with its parent and role. */
  versions(message) {
    return (this.children.get(message.parent) ?? []).filter((id) => this.messages.get(id).role === message.role);
  }

  /** The leaf below a message, along what was seen last. */
  deepest(id) {
    for (;;) {
      const children = this.children.get(id) ?? [];
      if (!children.length) return id;
      id = children.includes(this.chosen.get(id)) ? this.chosen.get(id) : children.at(-1);
    }
  }
}

// --- reading ---

let heard = null; // resolves `listened`
/** Resolves once changes are listened to (or there is no server): what is read afterwards misses none of them. */
const listened = new Promise((resolve) => { heard = resolve; });
let held = null; // changes told while everything is read: they come after it
let asked = 0; // how often reading everything was asked for

/** Read everything: at the start, and whenever changes may have been missed. */
async function readAll() {
  asked += 1;
  if (held) return; // it goes round once more
  held = [];
  try {
    for (let n = 0; n !== asked;) { n = asked; await readOnce(); }
  } finally {
    const rest = held;
    held = null;
    for (const [kind, data] of rest) take(kind, data);
  }
}

async function readOnce() {
  const isFirst = !store.state;
  const [state] = await Promise.all([get("/app/state"), readThreads()]);
  store.state = state;
  emit("state");
  if (isFirst) { emit("ready"); return; }
  for (const id of [...store.opened.keys()]) if (id !== store.shown) store.opened.delete(id);
  if (!store.opened.has(store.shown)) return;
  await openThread(store.shown, true).then(() => emit("thread", { id: store.shown, reread: true }), () => {});
}

export async function readThreads() {
  const { threads } = await get("/app/threads");
  said.clear();
  for (const thread of threads) said.set(thread.id, thread);
  store.threads = new Map(threads.map((thread) => [thread.id, withAsked(thread)]));
  emit("threads");
}

const opening = new Map(); // id -> {answer, told}: chats that are being read, and what changed meanwhile

/** Open a chat: from memory at once where it was open before, else from the server, once for all who ask. */
export async function openThread(id, fresh = false) {
  const have = store.opened.get(id);
  if (have && !fresh) return have;
  if (!opening.has(id) || fresh) opening.set(id, { told: [], answer: listened.then(() => get(`/app/threads/${id}`)) });
  const mine = opening.get(id);
  mine.thread ??= mine.answer.then((thread) => opened(id, thread, mine), (problem) => {
    if (opening.get(id) === mine) opening.delete(id);
    throw problem;
  });
  return mine.thread;
}

function opened(id, thread, mine) {
  if (opening.get(id) !== mine) return openThread(id); // it was asked for anew
  opening.delete(id);
  const have = store.opened.get(id);
  keepSaid(thread);
  const open = new OpenThread(withAsked(thread));
  if (have) { open.chosen = have.chosen; open.follower = have.follower; }
  store.opened.set(id, open);
  for (const [kind, data] of mine.told) take(kind, data);
  return open;
}

export function defaultModel() {
  const { state } = store;
  const last = preferences.get("model");
  if (last && state.models.some((m) => m.name === last && m.good_for !== "embeddings")) return last;
  return state.model ?? state.models.find((m) => m.good_for !== "embeddings")?.name ?? null;
}

export const findModel = (name) => store.state?.models.find((m) => m.name === name);

// --- changing ---

export async function createThread(fields) {
  const thread = await post("/app/threads", fields);
  store.opened.set(thread.id, new OpenThread(thread));
  takeThread(thread);
  return thread;
}

export async function changeThread(id, fields) {
  unanswered.set(id, [...(unanswered.get(id) ?? []), fields]);
  showThread(id, {});
  let thread;
  try {
    thread = await patch(`/app/threads/${id}`, fields);
    if (said.has(id)) keepSaid(thread); // else it was deleted meanwhile
  } finally {
    unanswered.set(id, unanswered.get(id).filter((one) => one !== fields));
    showThread(id, thread);
  }
}

/** Take a chat, or some of its fields, as the server has it. */
export function takeThread(thread) {
  keepSaid(thread);
  showThread(thread.id, thread);
}

function keepSaid({ messages, runs, ...thread }) {
  said.set(thread.id, { ...said.get(thread.id), ...thread });
}

/** Show a chat after `fields` of it were told: no others, for a list that was read may be older than its messages. */
function showThread(id, fields = said.get(id)) {
  if (said.has(id)) store.threads.set(id, withAsked({ ...said.get(id), id }));
  store.opened.get(id)?.update(withAsked({ ...fields, id }));
  emit("threads");
  emit("thread", { id });
}

function forgetThread(id) {
  said.delete(id);
  store.threads.delete(id);
}

export async function deleteThreads(ids, pinned = false) {
  const { deleted } = ids.length === 1 && pinned
    ? await remove(`/app/threads/${ids[0]}`) : await post("/app/threads/delete", { ids, pinned });
  deleted.forEach(forgetThread);
  emit("threads");
  return deleted;
}

export async function restoreThreads(ids) {
  for (const id of ids) takeThread(await post(`/app/threads/${id}/restore`));
}

// --- what other tabs and the server change ---

function take(kind, data) {
  if (held) { held.push([kind, data]); return; }
  if (kind === "reset") readAll().catch(() => {});
  else if (kind === "thread") {
    if (data.change === "deleted") {
      forgetThread(data.id);
      emit("threads");
      emit("thread", { id: data.id, deleted: true });
    } else if (data.thread) {
      opening.get(data.id)?.told.push([kind, data]);
      takeThread(data.thread);
    }
  } else if (kind === "message" || kind === "removed") takeMessages(kind, data);
  else if (kind === "run") {
    if (store.threads.has(data.thread)) takeThread({ id: data.thread, running: data.state === "running" ? data.run : null });
    emit("run", data);
  } else if (kind === "models") {
    Object.assign(store.state, { models: data.models, model: data.model, catalogue: data.catalogue ?? store.state.catalogue });
    emit("state");
  } else if (kind === "pull") upsert("pulls", data);
  else if (kind === "job") upsert("jobs", data);
  else if (kind === "settings") { store.state.settings = data; emit("state"); }
  else if (kind === "log") emit("log", data.lines);
}

function takeMessages(kind, data) {
  opening.get(data.thread)?.told.push([kind, data]);
  const open = store.opened.get(data.thread);
  if (!open) return;
  if (kind === "message") {
    open.put(data.message);
    emit("thread", { id: data.thread, message: data.message.id });
  } else {
    for (const id of data.messages) open.drop(id);
    emit("thread", { id: data.thread });
  }
}

function upsert(list, item) {
  const items = store.state[list];
  const i = items.findIndex((x) => x.id === item.id);
  if (i < 0) items.push(item); else items[i] = item;
  if (item.state === "cancelled") store.state[list] = items.filter((x) => x.id !== item.id);
  nextFrame(emitProgress);
}
const emitProgress = () => emit("progress");

let turn = 0; // of `listen`: a later one ends the earlier one
let stream = null;

/** Listen to changes and then read everything, again and again after the server was away. With `logs` lines of the log come too. */
export async function listen(logs = false) {
  turn += 1;
  const mine = turn;
  stream?.abort();
  let wait = 250;
  for (;;) {
    const one = new AbortController();
    let problem = null;
    stream = one;
    const onOpen = () => {
      heard();
      wait = 250;
      setConnected(true);
      readAll().catch((found) => { problem = found; one.abort(); }); // and then it is tried again
    };
    try {
      await readEvents(`/app/events${logs ? "?logs=1" : ""}`, take, { signal: one.signal, onOpen });
    } catch (found) {
      problem ??= found;
    }
    if (turn !== mine) return;
    heard();
    if (problem instanceof ApiError && problem.status === 401) { emit("key"); return; }
    setConnected(false);
    await new Promise((resolve) => { setTimeout(resolve, wait); });
    if (turn !== mine) return;
    wait = Math.min(wait * 1.6, 4000);
  }
}

function setConnected(connected) {
  store.connected = connected;
  store.lost = !connected;
  emit("connection");
}
