// The messages of a chat in a scroller: boxes of a few messages, drawn when they come near; following the end.

import { patch, remove, ApiError } from "./api.js";
import { count, copyWith, h, icon, say } from "./dom.js";
import { confirmDialog, openDialog } from "./menu.js";
import { MessageView } from "./message.js";
import { outbox, runningIn, startRun, unsentIn } from "./runs.js";
import { changeThread, emit, nextFrame } from "./store.js";

const PER_CHUNK = 8; // messages in one box
const AT_ONCE = 48; // messages that are there at once; older ones follow in slices
const SLICE = 8; // milliseconds of one slice
const NEAR = 3; // pixels from the end that still count as the end

export class ThreadView {
  constructor() {
    this.log = h("div.log", { role: "log", "aria-live": "off", "aria-label": "Messages" });
    this.scroller = h("div.scroller", { tabindex: "-1" }, this.log);
    this.toBottom = h("button.to-bottom", { type: "button", "aria-label": "To the end", title: "To the end", hidden: true, onclick: () => this.follow() }, icon("down"));
    this.views = new Map();
    this.chunks = [];
    this.following = true;
    this.near = new IntersectionObserver((entries) => this.approach(entries), { root: this.scroller, rootMargin: "1400px 0px" });
    this.growth = new ResizeObserver(() => { if (this.following) this.toEnd(); else this.showArrow(); });
    this.growth.observe(this.log);
    this.growth.observe(this.scroller);
    this.waiting = new Set();
    this.drawSome = () => this.drawWaiting();
    this.watchReader();
    this.log.addEventListener("click", (e) => this.click(e));
  }

  // --- scrolling ---

  /** Whatever the reader does upwards ends following; reaching the end by scrolling down starts it. */
  watchReader() {
    const { scroller } = this;
    const leave = () => { if (scroller.scrollHeight > scroller.clientHeight + NEAR) { this.following = false; this.showArrow(); } };
    scroller.addEventListener("wheel", (e) => { if (e.deltaY < 0) leave(); }, { passive: true });
    let touch = 0;
    scroller.addEventListener("touchstart", (e) => { touch = e.touches[0].clientY; }, { passive: true });
    scroller.addEventListener("touchmove", (e) => { if (e.touches[0].clientY > touch + 2) leave(); }, { passive: true });
    scroller.addEventListener("keydown", (e) => { if (["PageUp", "ArrowUp", "Home"].includes(e.key) && !e.target.matches("textarea, input, select")) leave(); });
    scroller.addEventListener("pointerdown", (e) => { if (e.target === scroller && e.offsetX > scroller.clientWidth) leave(); });
    this.lastTop = 0;
    scroller.addEventListener("scroll", () => {
      const top = scroller.scrollTop;
      if (!this.following && top > this.lastTop && this.atEnd()) this.following = true;
      // the browser's own find, or an assistive program, went up; what shrinks leaves the view at the end
      else if (this.following && top < this.lastTop - NEAR && !this.atEnd()) this.following = false;
      this.lastTop = top;
      this.showArrow();
    }, { passive: true });
  }

  atEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.scroller;
    return scrollHeight - clientHeight - scrollTop <= NEAR;
  }

  toEnd() {
    this.scroller.scrollTop = this.scroller.scrollHeight;
    this.lastTop = this.scroller.scrollTop;
    this.toBottom.hidden = true;
  }

  follow() { this.following = true; this.toEnd(); }

  showArrow() {
    const hidden = this.following || this.atEnd();
    if (this.toBottom.hidden !== hidden) this.toBottom.hidden = hidden;
  }

  /** Scroll by keys while the input has the focus. */
  page(key) {
    const { scroller } = this;
    if (key === "PageUp") this.following = false;
    scroller.scrollBy({ top: (key === "PageUp" ? -0.85 : 0.85) * scroller.clientHeight });
  }

  // --- showing ---

  /** Show a chat, at its end or at a message. */
  show(open, messageId = null) {
    this.open = open;
    this.clear();
    if (messageId && open.messages.has(messageId)) {
      if (!open.path().some((m) => m.id === messageId)) this.choose(open.deepest(messageId));
    } else messageId = null;
    this.following = messageId === null;
    this.sync(messageId);
    if (messageId) this.jump(messageId);
    else this.toEnd();
  }

  clear() {
    this.near.disconnect();
    this.log.replaceChildren();
    this.views.clear();
    this.chunks = [];
    this.ids = [];
    this.older = null;
    this.waiting.clear();
  }

  jump(id) {
    const view = this.views.get(id);
    if (!view) return;
    this.following = false;
    for (const v of view.chunk.views) v.draw();
    const { scroller } = this;
    const centre = () => {
      const at = view.element.getBoundingClientRect();
      const box = scroller.getBoundingClientRect();
      scroller.scrollTop += at.top - box.top - Math.max(20, (box.height - at.height) / 3);
    };
    centre();
    nextFrame(() => { centre(); nextFrame(centre); });
    view.element.classList.add("flash");
    view.element.addEventListener("animationend", () => view.element.classList.remove("flash"), { once: true });
  }

  /** Bring the shown messages in line with the path of the chat. `need`: a message that must be there at once. */
  sync(need = null) {
    const { open } = this;
    const path = open.path();
    const unsent = unsentIn(open);
    if (unsent) path.push({ id: "unsent", role: "user", content: unsent.content, files: unsent.files, unsent: unsent.problem ?? true, state: "done" });
    const ids = path.map((m) => m.id);
    let same = 0;
    while (same < ids.length && same < this.ids.length && ids[same] === this.ids[same]) same += 1;
    this.truncate(same);
    for (let i = 0; i < same; i += 1) {
      const view = this.views.get(ids[i]);
      if (view && view.message !== path[i]) view.update(path[i]);
    }
    this.ids = ids;
    this.path = path;
    if (same === 0) this.addFromEnd(need); else for (let i = same; i < ids.length; i += 1) this.append(path[i], i);
    this.markLast();
  }

  truncate(n) {
    for (const id of this.ids.slice(n)) {
      const view = this.views.get(id);
      if (!view) continue;
      view.element.remove();
      view.chunk.views = view.chunk.views.filter((v) => v !== view);
      this.views.delete(id);
    }
    while (this.chunks.length && !this.chunks.at(-1).views.length) {
      const chunk = this.chunks.pop();
      this.near.unobserve(chunk.element);
      chunk.element.remove();
    }
    this.ids.length = Math.min(this.ids.length, n);
    if (n === 0) this.older = null;
  }

  /** The newest messages at once, older ones in slices above them. */
  addFromEnd(need) {
    const { path } = this;
    let from = Math.max(0, path.length - AT_ONCE);
    const needed = need ? path.findIndex((m) => m.id === need) : -1;
    if (needed >= 0) from = Math.min(from, Math.max(0, needed - PER_CHUNK));
    from -= from % PER_CHUNK;
    for (let i = from; i < path.length; i += 1) this.append(path[i], i);
    for (const chunk of this.chunks.slice(-2)) this.drawChunk(chunk);
    if (from > 0) { this.older = from; this.addOlder(path); }
  }

  async addOlder(path) {
    while (this.older && this.path[0] === path[0]) {
      await new Promise((resolve) => { const { port1, port2 } = new MessageChannel(); port1.onmessage = resolve; port2.postMessage(0); });
      if (!this.older || this.path[0] !== path[0]) return;
      const until = performance.now() + SLICE;
      const box = document.createDocumentFragment();
      const added = [];
      do {
        const chunk = this.newChunk();
        for (let i = this.older - PER_CHUNK; i < this.older; i += 1) this.put(chunk, path[i]);
        this.older -= PER_CHUNK;
        added.unshift(chunk);
        box.prepend(chunk.element);
      } while (this.older > 0 && performance.now() < until);
      this.chunks.unshift(...added);
      this.log.prepend(box);
      for (const chunk of added) this.watch(chunk);
    }
    this.older = null;
  }

  newChunk() { return { element: h("div.chunk"), views: [], drawn: false }; }

  watch(chunk) {
    const height = chunk.views.reduce((sum, v) => sum + v.estimate(), 0);
    chunk.element.style.containIntrinsicSize = `auto ${height}px`;
    this.near.observe(chunk.element);
  }

  put(chunk, message) {
    const view = new MessageView(message, this);
    view.chunk = chunk;
    chunk.views.push(view);
    chunk.element.append(view.element);
    this.views.set(message.id, view);
    return view;
  }

  append(message, i) {
    let chunk = this.chunks.at(-1);
    if (!chunk || (i % PER_CHUNK === 0 && chunk.views.length)) {
      chunk = this.newChunk();
      this.chunks.push(chunk);
      this.log.append(chunk.element);
      this.near.observe(chunk.element);
    }
    const view = this.put(chunk, message);
    if (chunk.drawn || i >= this.ids.length - 4) view.draw();
  }

  markLast() {
    for (const view of this.chunks.slice(-2).flatMap((c) => c.views)) {
      const isLast = view.message.id === this.ids.at(-1);
      if (view.isLast !== isLast) { view.setLast(isLast); if (view.drawn && !view.editing) view.update(view.message); }
    }
  }

  approach(entries) {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      const chunk = this.chunks.find((c) => c.element === target);
      if (chunk && !chunk.drawn) this.waiting.add(chunk);
    }
    if (this.waiting.size) nextFrame(this.drawSome);
  }

  /** Draw what has come near, a few milliseconds in each frame. */
  drawWaiting() {
    const until = performance.now() + SLICE / 2;
    for (const chunk of this.waiting) {
      if (performance.now() > until) { nextFrame(this.drawSome); return; }
      this.waiting.delete(chunk);
      this.drawChunk(chunk);
    }
  }

  drawChunk(chunk) {
    chunk.drawn = true;
    for (const view of chunk.views) view.draw();
  }

  /** New text of a running answer. */
  live(message) {
    const view = this.views.get(message.id);
    if (!view) return;
    view.message = message;
    view.live();
  }

  refresh(id) { const view = this.views.get(id); const message = this.open.messages.get(id); if (view && message) view.update(message); }

  click(e) {
    const button = e.target.closest("[data-do]");
    if (!button) return;
    const figure = button.closest(".code");
    if (button.dataset.do === "copy-code") copyWith(button, figure.querySelector("code").textContent.replace(/\n$/, ""));
    else if (button.dataset.do === "wrap") {
      const wrap = !figure.hasAttribute("data-wrap");
      figure.toggleAttribute("data-wrap", wrap);
      button.setAttribute("aria-pressed", String(wrap));
    }
  }

  // --- what messages ask for ---

  versions(message) { return this.open.versions(message); }

  get threadId() { return this.open.thread.id; }

  version(id) {
    const focused = document.activeElement.closest?.(".versions");
    this.choose(this.open.deepest(id));
    this.sync();
    if (focused) this.views.get(id)?.element.querySelector(".versions .icon-button:not(:disabled)")?.focus({ preventScroll: true });
  }

  /** The branch that ends with `leaf` is shown from now on, and the next question goes on from there. */
  choose(leaf) { this.attempt(changeThread(this.threadId, { leaf })); }

  /** Step through the versions of the last message that has several. */
  step(by) {
    for (const message of [...this.path].reverse()) {
      const ids = this.open.messages.has(message.id) ? this.versions(message) : [];
      if (ids.length < 2) continue;
      const to = ids[ids.indexOf(message.id) + by];
      if (to) this.version(to);
      return true;
    }
    return false;
  }

  retry(message) {
    const question = message.role === "user" ? message.id : message.parent;
    this.begin({ question });
  }

  proceed(message) { this.begin({ continue: message.id }); }

  resend() {
    const body = outbox.get(this.threadId);
    outbox.set(this.threadId, null);
    emit("resend", body);
  }

  begin(body) {
    if (runningIn(this.open)) { say("Wait until the answer is finished, or stop it.", true); return; }
    this.following = true;
    emit("run-with", { thread: this.threadId, body });
  }

  async saveEdit(message, text) {
    if (message.role === "user") {
      this.begin({ content: text, parent: message.parent, files: message.files ?? undefined });
      return;
    }
    await this.attempt(patch(`/app/threads/${this.threadId}/messages/${message.id}`, { content: text }).then((saved) => {
      this.open.put(saved);
      this.refresh(message.id);
      say("Saved.");
    }));
  }

  async remove(message) {
    const sure = await confirmDialog("Delete from here on?", "This message and all that follow it in this branch are deleted.", "Delete");
    if (!sure) return;
    await this.attempt(remove(`/app/threads/${this.threadId}/messages/${message.id}`).then(({ deleted, leaf }) => {
      for (const id of deleted) this.open.drop(id);
      this.open.update({ leaf });
      this.sync();
      emit("thread", { id: this.threadId });
    }));
  }

  async attempt(promise) {
    try { await promise; } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem;
      say(problem.message, true);
    }
  }

  showFile(file) {
    openDialog(file.name, () => [h("pre.file-text", { tabindex: "0" }, file.text.slice(0, 200000)), h("span.hint", `${count(file.text.length)} characters`)], { wide: true });
  }

  async details(message) { (await import("./details.js")).showDetails(message); }
}

/** Begin a run, and say what is wrong where it does not begin. */
export async function beginRun(threadId, body, options) {
  try {
    const begun = await startRun(threadId, { ...options, ...body });
    if (body.content !== undefined) outbox.set(threadId, null);
    return begun;
  } catch (problem) {
    if (!(problem instanceof ApiError)) throw problem;
    if (body.content !== undefined) outbox.set(threadId, { ...body, problem: problem.message });
    else say(problem.message, true);
    return null;
  }
}

