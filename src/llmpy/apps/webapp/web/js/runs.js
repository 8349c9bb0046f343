// Runs: sending a question, following its answer from the first character, stopping it.

import { patched, post, readEvents, ApiError } from "./api.js";
import { emit, nextFrame, openThread, store, takeThread } from "./store.js";
import { polite, preferences } from "./dom.js";

const followers = new Map(); // run -> Follower

/** Reads the events of a run into its message, over lost connections too. */
class Follower {
  constructor(threadId, message) {
    this.threadId = threadId;
    this.message = message;
    this.run = message.run;
    this.from = message.n_events ?? 0;
    this.stage = null;
    this.changed = () => emit("live", { thread: threadId, message: this.message });
    message.live = this;
    this.follow();
  }

  async follow() {
    for (let wait = 200; ; wait = Math.min(wait * 1.6, 3000)) {
      try {
        const path = `/app/runs/${this.run}/events${this.from ? `?from=${this.from}` : ""}`;
        await readEvents(path, (kind, data, id) => this.take(kind, data, id));
        if (this.over) return;
      } catch (problem) {
        if (problem instanceof ApiError && problem.status === 404) { await this.readThread(); return; }
        if (this.over) return;
      }
      await new Promise((resolve) => { setTimeout(resolve, wait); });
    }
  }

  take(kind, data, id) {
    if (id !== null) { if (id <= this.from) return; this.from = id; }
    const { message } = this;
    if (kind === "text") message.content += data.text;
    else if (kind === "thinking") message.thinking = (message.thinking ?? "") + data.text;
    else if (kind === "stage") this.stage = data;
    else if (kind === "stats") message.stats = { ...message.stats, ...data };
    else if (kind === "tool") {
      message.tool_calls ??= [];
      const i = message.tool_calls.findIndex((c) => c.id === data.id);
      if (i < 0) message.tool_calls.push(data); else message.tool_calls[i] = { ...message.tool_calls[i], ...data };
    } else if (kind === "done") { this.end(data); return; }
    nextFrame(this.changed);
  }

  end(data) {
    this.over = true;
    followers.delete(this.run);
    this.message.live = null;
    Object.assign(this.message, data);
    if (store.threads.get(this.threadId)?.running === this.run) takeThread({ id: this.threadId, running: null });
    polite(data.state === "error" ? "The answer failed." : data.state === "stopped" ? "Answer stopped." : "Answer finished.");
    nextFrame(this.changed);
    emit("thread", { id: this.threadId, ended: this.message.id });
  }

  /** The run is unknown to the server (it was started anew): what was kept is in the thread. */
  async readThread() {
    this.over = true;
    followers.delete(this.run);
    this.message.live = null;
    this.message.state = "stopped";
    try { await openThread(this.threadId, true); } catch { /* shown as it is */ }
    emit("thread", { id: this.threadId, reread: true });
  }
}

/** Follow the running answers of an open chat. */
export function followRunning(open) {
  for (const message of open.messages.values()) {
    if (message.state === "running" && message.run && !message.live && !followers.has(message.run)) {
      followers.set(message.run, new Follower(open.thread.id, message));
    } else if (message.state === "running" && followers.has(message.run) && !message.live) {
      const follower = followers.get(message.run); // the chat was read again: go on in the new object
      const { content, thinking, tool_calls, stats } = follower.message;
      if ((message.n_events ?? 0) > follower.from) follower.from = message.n_events;
      else Object.assign(message, { content, thinking, tool_calls, stats });
      follower.message = message;
      message.live = follower;
    }
  }
}

/** Start a run; the ids are known and everything is on the disk when this resolves. */
export async function startRun(threadId, body) {
  await patched();
  const answer = await post(`/app/threads/${threadId}/runs`, body);
  const open = await openThread(threadId);
  if (answer.question) open.put(answer.question);
  const message = open.put(answer.answer);
  if (!message.live) Object.assign(message, answer.answer, { run: answer.run });
  message.run ??= answer.run;
  takeThread(answer.thread);
  followRunning(open);
  emit("thread", { id: threadId, sent: message.id });
  polite("Answer started.");
  return answer;
}

/** The answer that runs in a chat, or null. */
export function runningIn(open) {
  if (!open) return null;
  for (const message of open.messages.values()) if (message.state === "running") return message;
  return null;
}

/** Stop an answer; resolves once nothing more is computed. */
export async function stopRun(message) {
  if (!message?.run) return;
  message.stopping = true;
  try {
    await post(`/app/runs/${message.run}/stop`);
  } catch (problem) {
    if (problem.status !== 404) throw problem;
  } finally {
    message.stopping = false;
  }
}

/** Chats whose run was asked for and has not begun -> whether it was stopped meanwhile; null is the new chat. */
export const starting = new Map();

// Questions are kept in this browser from before they are sent until the server has them.
export const outbox = {
  get: (threadId) => preferences.get(`outbox.${threadId ?? "new"}`),
  set: (threadId, body) => preferences.set(`outbox.${threadId ?? "new"}`, body),
};

/** The question of a chat that is being sent, or could not be: {content, files, problem}; null where the server has it. */
export function unsentIn(open) {
  const { id } = open.thread;
  const body = outbox.get(id);
  if (!body || runningIn(open)) return null;
  if (starting.has(id)) return body.parent === undefined ? body : null; // an edit shows where it is
  if (body.problem) return body;
  if (open.path().some((m) => m.role === "user" && m.content === body.content && m.created >= body.at)) {
    outbox.set(id, null); // the page was closed before it heard of it
    return null;
  }
  return { ...body, problem: "The page was closed while this was sent." };
}
