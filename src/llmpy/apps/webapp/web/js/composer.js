// Where questions are written: growing input, files, stop in place of send, context meter.

import { post } from "./api.js";
import { composes, count, h, icon, iconButton, isTouch, preferences, say, svg } from "./dom.js";
import { openDialog } from "./menu.js";
import { emit, nextFrame } from "./store.js";

const LONG_PASTE = 5000; // characters; a longer paste becomes a file
const LARGEST_FILE = 4_000_000; // bytes
const READ_AHEAD = 350; // milliseconds of rest before the draft is read ahead
const AFTER_COMPOSITION = 60; // milliseconds after the end of a composition

/** Whether an Enter belongs to an input method and must not send; Safari sends it after the end. */
export function isComposing(event, endedAt) {
  return composes(event) || event.timeStamp - endedAt < AFTER_COMPOSITION;
}

export class Composer {
  /** `callbacks`: send({content, files}), stop(), step(by), page(key). */
  constructor(callbacks) {
    this.callbacks = callbacks;
    this.files = [];
    this.key = null;
    this.running = false;
    this.endedAt = -1e9;
    this.build();
    this.watch();
  }

  build() {
    this.input = h("textarea", { id: "input", rows: "1", placeholder: "Write a message", "aria-label": "Message", enterkeyhint: isTouch() ? "enter" : "send", autocomplete: "off" });
    this.chips = h("div.chips", { hidden: true });
    this.picker = h("input.offscreen", { type: "file", multiple: true, tabindex: "-1", "aria-label": "Text files" });
    this.modes = h("span");
    this.meter = h("span.meter", { hidden: true });
    this.speed = h("span");
    this.used = svg("circle", { class: "used", cx: 10, cy: 10, r: 8, "stroke-dasharray": "0 100", pathLength: 100 });
    this.context = h("span");
    this.meter.append(this.speed, svg("svg", { viewBox: "0 0 20 20", class: "ring", "aria-hidden": "true" }, svg("circle", { cx: 10, cy: 10, r: 8 }), this.used), this.context);
    this.button = h("button.send", { type: "button", "aria-label": "Send", title: "Send", disabled: true, onclick: () => (this.running ? this.callbacks.stop() : this.send()) }, icon("send"));
    this.element = h("div.composer", this.chips, this.input, this.picker, h("div.composer-foot",
      iconButton("clip", "Add text files", () => this.picker.click()), this.modes, h("span.grow"), this.meter, this.button));
    this.note = h("div.dock-note");
    this.dock = h("div.dock", this.element, this.note);
  }

  watch() {
    const { input } = this;
    input.addEventListener("compositionend", (e) => { this.endedAt = e.timeStamp; });
    input.addEventListener("input", () => this.changed());
    input.addEventListener("keydown", (e) => this.keydown(e));
    input.addEventListener("paste", (e) => this.paste(e));
    this.picker.addEventListener("change", () => { this.addFiles([...this.picker.files]); this.picker.value = ""; });
    this.element.addEventListener("pointerdown", (e) => { if (e.target === this.element || e.target.classList.contains("composer-foot")) { e.preventDefault(); input.focus(); } });
    if (!CSS.supports("field-sizing", "content")) input.addEventListener("input", () => this.fit());
  }

  /** Where the browser cannot size the input by its content. */
  fit() {
    this.input.style.height = "auto";
    this.input.style.height = `${this.input.scrollHeight}px`;
  }

  keydown(e) {
    const empty = !this.input.value && !this.files.length;
    if (e.key === "Enter" && !e.shiftKey && !e.altKey) {
      if (isComposing(e, this.endedAt)) return;
      if (isTouch() && !e.ctrlKey && !e.metaKey) return;
      e.preventDefault();
      this.send();
    } else if (empty && (e.key === "ArrowLeft" || e.key === "ArrowRight") && !e.ctrlKey && !e.metaKey && !e.altKey && !e.shiftKey) {
      if (this.callbacks.step(e.key === "ArrowLeft" ? -1 : 1)) e.preventDefault();
    } else if (e.key === "PageUp" || e.key === "PageDown") {
      e.preventDefault();
      this.callbacks.page(e.key);
    }
  }

  paste(e) {
    const files = [...(e.clipboardData?.files ?? [])];
    if (files.length) { e.preventDefault(); this.addFiles(files); return; }
    const text = e.clipboardData?.getData("text/plain") ?? "";
    if (text.length > LONG_PASTE) {
      e.preventDefault();
      const n = this.files.filter((f) => f.pasted).length;
      this.files.push({ name: n ? `Pasted text ${n + 1}` : "Pasted text", text, pasted: true });
      this.changed();
    }
  }

  /** Add text files; what is not text is refused by name. */
  async addFiles(files) {
    for (const file of files) {
      if (file.size > LARGEST_FILE) { say(`${file.name} is larger than 4 MB.`, true); continue; }
      const data = new Uint8Array(await file.arrayBuffer());
      let text = null;
      try { text = new TextDecoder("utf-8", { fatal: true }).decode(data); } catch { /* not UTF-8 */ }
      if (text === null || text.includes("\0")) { say(`${file.name} is not a text file.`, true); continue; }
      this.files.push({ name: file.name, text });
    }
    this.changed();
    this.input.focus();
  }

  /** The text or the files have changed: keep the draft, draw, read ahead. */
  changed() {
    this.keep();
    this.drawFiles();
    this.refresh();
    clearTimeout(this.ahead);
    if (this.threadId && !this.running) this.ahead = setTimeout(() => this.readAhead(), READ_AHEAD);
  }

  readAhead() {
    if (!this.threadId || this.running) return;
    const text = this.input.value;
    if (text === this.told) return;
    this.told = text;
    post(`/app/threads/${this.threadId}/draft`, { text }).catch(() => {});
  }

  keep() {
    const { value } = this.input;
    if (this.key) preferences.set(`draft.${this.key}`, value || this.files.length ? { text: value, files: this.files } : null);
  }

  drawFiles() {
    this.chips.hidden = !this.files.length;
    this.chips.replaceChildren(...this.files.map((file, i) => h("span.chip", icon("file"),
      h("span.chip-name", file.name), h("small", `${count(file.text.length)} characters`),
      iconButton("close", `Remove ${file.name}`, () => { this.files.splice(i, 1); this.changed(); this.input.focus(); }, ".small"))));
    for (const [i, name] of [...this.chips.querySelectorAll(".chip-name")].entries()) name.onclick = () => this.showFile(this.files[i]);
  }

  showFile(file) { openDialog(file.name, () => h("pre.file-text", { tabindex: "0" }, file.text.slice(0, 200000)), { wide: true }); }

  /** Show the draft of a chat, or of the new one ("new"). */
  open(threadId) {
    this.threadId = threadId;
    this.key = threadId ?? "new";
    this.told = undefined;
    clearTimeout(this.ahead);
    const draft = preferences.get(`draft.${this.key}`, { text: "", files: [] });
    this.files = draft.files ?? [];
    this.input.value = draft.text ?? "";
    this.drawFiles();
    this.refresh();
    if (this.input.style.height) this.fit();
  }

  /** The new chat has become one that exists: what was written meanwhile belongs to it. */
  keepAs(threadId) {
    preferences.set("draft.new", null);
    this.threadId = threadId;
    this.key = threadId;
    this.keep();
  }

  send() {
    const content = this.input.value.trim();
    if ((!content && !this.files.length) || this.running || this.blocked) return;
    clearTimeout(this.ahead);
    const files = this.files.map(({ name, text }) => ({ name, text }));
    this.callbacks.send({ content, ...(files.length ? { files } : {}) }); // kept there before the draft goes
    this.set("", []);
  }

  set(text, files = this.files) {
    this.input.value = text;
    this.files = files;
    this.keep();
    this.drawFiles();
    this.refresh();
    if (this.input.style.height) this.fit();
  }

  setRunning(running) {
    if (this.running === running) return;
    this.running = running;
    this.button.classList.toggle("stop", running);
    this.button.setAttribute("aria-label", running ? "Stop" : "Send");
    this.button.title = running ? "Stop (Esc)" : "Send";
    this.button.replaceChildren(icon(running ? "stop" : "send"));
    this.refresh();
  }

  /** Why nothing can be sent, or null. */
  setBlocked(reason) {
    this.blocked = reason;
    this.input.placeholder = reason ?? "Write a message";
    this.refresh();
  }

  refresh() {
    const disabled = !this.running && ((!this.input.value.trim() && !this.files.length) || Boolean(this.blocked));
    if (this.button.disabled !== disabled) this.button.disabled = disabled;
  }

  /** Tokens per second (while running) and used / total context. */
  setMeter({ speed, used, total }) {
    this.meterValues = { speed, used, total };
    nextFrame(this.drawMeter ??= () => {
      const v = this.meterValues;
      this.meter.hidden = !v.total && !v.speed;
      this.speed.textContent = v.speed ? `${v.speed.toFixed(v.speed < 10 ? 1 : 0)} tokens/s` : "";
      this.meter.querySelector(".ring").toggleAttribute("hidden", !v.total);
      this.context.textContent = v.total ? `${count(v.used ?? 0)} / ${count(v.total)}` : "";
      this.meter.title = v.total ? `${v.used ?? 0} of ${v.total} tokens of context are used` : "";
      const share = v.total ? Math.min(1, (v.used ?? 0) / v.total) : 0;
      this.used.setAttribute("stroke-dasharray", `${(share * 100).toFixed(1)} 100`);
      this.meter.classList.toggle("full", share > 0.9);
    });
  }

  setModes(modes) {
    this.modes.replaceChildren(...modes.map(({ name, label, run }) => h("button.mode", { type: "button", onclick: run }, icon(name), label)));
  }
}

/** Files dropped anywhere on a place go to the composer. */
export function acceptDrops(place, composer) {
  let depth = 0;
  const has = (e) => [...(e.dataTransfer?.types ?? [])].includes("Files");
  place.addEventListener("dragenter", (e) => { if (has(e)) { depth += 1; composer.element.classList.add("drop"); } });
  place.addEventListener("dragleave", (e) => { if (has(e) && (depth -= 1) <= 0) composer.element.classList.remove("drop"); });
  place.addEventListener("dragover", (e) => { if (has(e)) e.preventDefault(); });
  place.addEventListener("drop", (e) => {
    depth = 0;
    composer.element.classList.remove("drop");
    if (!has(e)) return;
    e.preventDefault();
    composer.addFiles([...e.dataTransfer.files]);
    emit("dropped");
  });
}
