// One message: a question in its bubble, or an answer with thinking, calls, text, errors, and its actions.

import { composes, copyWith, count, h, icon, iconButton, needPagesStyle, seconds } from "./dom.js";
import { MarkdownView } from "./markdown.js";
import { openMenu } from "./menu.js";
import { nextFrame } from "./store.js";

const SHARE = 5; // drawing takes at most one part in so many of the time while text arrives

/** Index in a JavaScript string of a position counted in characters (where an emoji is one). */
export function indexOf(text, characters) {
  let i = 0;
  for (let n = 0; n < characters && i < text.length; n += 1) i += text.codePointAt(i) > 0xffff ? 2 : 1;
  return i;
}

export class MessageView {
  /** `actions`: what the thread does: copy, edit, retry, proceed, remove, version, resend. */
  constructor(message, actions) {
    this.message = message;
    this.actions = actions;
    this.drawn = false;
    this.element = h("article", { id: `m-${message.id}` });
    this.setClass();
    this.plain = h(message.role === "user" ? "div.bubble" : "div.raw", message.content);
    this.element.append(this.plain);
  }

  setClass() {
    const { role, state } = this.message;
    this.element.className = `message ${role}${state === "running" ? " running" : ""}${this.isLast ? " last" : ""}`;
    this.element.setAttribute("aria-label", role === "user" ? "You" : `Answer${this.message.model ? ` of ${this.message.model}` : ""}`);
  }

  setLast(isLast) {
    if (this.isLast === isLast) return;
    this.isLast = isLast;
    this.setClass();
  }

  /** Lines that the message may take, before it is laid out. */
  estimate() { return 90 + Math.ceil(this.message.content.length / 75) * 27; }

  draw() {
    if (this.drawn) return;
    this.drawn = true;
    if (this.message.role === "user") this.drawQuestion(); else this.drawAnswer();
  }

  /** The message was changed, or another version is shown. */
  update(message) {
    this.message = message;
    this.setClass();
    if (!this.drawn) { this.plain.textContent = message.content; return; }
    if (this.editing) return;
    if (message.role === "user") this.drawQuestion(); else this.refresh();
  }

  // --- questions ---

  drawQuestion() {
    const { content, files, unsent } = this.message;
    const parts = [];
    if (files?.length) {
      parts.push(h("div.files", files.map((f) => h("button.chip", { type: "button", onclick: () => this.actions.showFile(f) },
        icon("file"), h("span.chip-name", f.name), h("small", `${count(f.text.length)} characters`)))));
    }
    if (this.plain.textContent !== content) this.plain.textContent = content;
    if (content) parts.push(this.plain); // the same node: a browser's find may have marked its text
    if (unsent === true) { /* on its way */ } else if (unsent) {
      parts.push(h("div.problem", { role: "alert" }, icon("warn"), h("div", unsent),
        h("button.button.small", { type: "button", onclick: () => this.actions.resend() }, icon("retry"), "Retry")));
    } else parts.push(this.questionActions());
    for (const node of [...this.element.childNodes]) if (!parts.includes(node)) node.remove();
    parts.forEach((part, i) => { if (this.element.childNodes[i] !== part) this.element.insertBefore(part, this.element.childNodes[i] ?? null); });
  }

  questionActions() {
    const { actions, message } = this;
    const row = h("div.actions");
    row.append(
      iconButton("copy", "Copy question", (e) => copyWith(e.currentTarget, message.content)),
      iconButton("edit", "Edit question", () => this.edit()),
      iconButton("more", "More", (e) => openMenu(e.currentTarget, [
        { icon: "retry", label: "Answer again", run: () => actions.retry(message) },
        { icon: "trash", label: "Delete from here on", danger: true, run: () => actions.remove(message) },
      ])));
    this.addVersions(row);
    return row;
  }

  addVersions(row) {
    const ids = this.actions.versions(this.message);
    if (ids.length < 2) return;
    const i = ids.indexOf(this.message.id);
    const step = (label, name, to) => {
      const button = iconButton(name, label, () => this.actions.version(ids[to]));
      button.disabled = to < 0 || to >= ids.length;
      return button;
    };
    row.append(h("span.versions", { role: "group", "aria-label": `Version ${i + 1} of ${ids.length}` },
      step("Earlier version", "left", i - 1), h("span.version-count", `${i + 1}/${ids.length}`), step("Later version", "right", i + 1)));
  }

  /** A question becomes a new version; an answer is changed in place. */
  edit() {
    const { message } = this;
    const isQuestion = message.role === "user";
    this.editing = true;
    const area = h("textarea", { value: message.content, "aria-label": isQuestion ? "Edit question" : "Edit answer", rows: "1" });
    const close = () => {
      this.editing = false;
      if (isQuestion) this.drawQuestion(); else this.drawAnswer();
      this.element.querySelector('[aria-label^="Edit"]')?.focus();
    };
    const save = () => {
      const text = area.value;
      if (!text.trim() && isQuestion) return;
      close();
      if (text !== message.content || isQuestion) this.actions.saveEdit(message, text);
    };
    area.addEventListener("keydown", (e) => {
      if (composes(e)) return;
      if (e.key === "Escape") { e.stopPropagation(); close(); }
      if (e.key === "Enter" && (e.ctrlKey || e.metaKey)) { e.preventDefault(); save(); }
    });
    this.element.replaceChildren(h("div.edit-box", area, h("div.edit-foot",
      h("span.hint", isQuestion ? "The old version is kept." : "Later messages are kept."),
      h("button.button.small.quiet", { type: "button", onclick: close }, "Cancel"),
      h("button.button.small.primary", { type: "button", onclick: save }, isQuestion ? "Send" : "Save"))));
    area.focus();
    area.setSelectionRange(area.value.length, area.value.length);
  }

  // --- answers ---

  drawAnswer() {
    this.thinking = null;
    this.segments = [];
    this.calls = new Map();
    this.form = null;
    this.drawnText = null;
    this.place = {
      thinking: h("div"), body: h("div.body"), stage: h("div"), problem: h("div"), foot: h("div"),
    };
    this.element.replaceChildren(...Object.values(this.place));
    this.refresh();
  }

  /** Bring all parts up to date; finished ones are left alone. */
  refresh() {
    const { message, place } = this;
    this.setClass();
    this.refreshThinking();
    this.refreshBody();
    this.refreshStage();
    const running = message.state === "running";
    place.problem.replaceChildren(...this.problems());
    place.foot.replaceChildren(...(running ? [] : [this.answerActions()]));
  }

  /** Text has arrived. Long blocks are drawn less often, so that the page stays quick. */
  live() {
    if (!this.drawn || this.editing) return;
    const now = performance.now();
    if (this.cost > 4 && now - this.drawnAt < this.cost * SHARE) { nextFrame(this.again ??= () => this.live()); return; }
    if (this.message.state !== "running") { this.refresh(); return; }
    this.refreshThinking();
    this.refreshBody();
    this.refreshStage();
    this.drawnAt = performance.now();
    this.cost = this.drawnAt - now;
  }

  refreshStage() {
    const { message, place } = this;
    const running = message.state === "running";
    const silent = running && !message.content && !message.thinking && !message.tool_calls?.length;
    if (!silent) { if (place.stage.firstChild) place.stage.replaceChildren(); return; }
    const stage = message.live?.stage ?? { stage: "waiting" };
    if (!this.stageLine) {
      this.stageLine = { text: h("span"), bar: h("progress.bar", { max: "1", "aria-label": "Prompt read" }) };
      this.stageLine.line = h("div.stage", h("span.wave", h("i"), h("i"), h("i")), this.stageLine.text, this.stageLine.bar);
    }
    const { text, bar, line } = this.stageLine;
    const share = stage.stage === "reading" && stage.total ? stage.done / stage.total : null;
    const words = {
      queue: `Waiting in the queue, place ${stage.position ?? 1}`, loading: `Loading ${stage.model ?? "the model"}…`,
      reading: share === null ? "Reading…" : `Reading ${Math.round(share * 100)} %`, writing: "Writing…", waiting: "Starting…",
    }[stage.stage] ?? stage.stage;
    if (text.textContent !== words) text.textContent = words;
    bar.hidden = share === null;
    if (share !== null) bar.value = share;
    if (line.parentNode !== place.stage) place.stage.replaceChildren(line);
  }

  refreshThinking() {
    const { message, place } = this;
    if (!message.thinking) { if (this.thinking) { place.thinking.replaceChildren(); this.thinking = null; } return; }
    if (!this.thinking) {
      const label = h("span");
      const thoughts = h("div.thoughts", { hidden: true });
      thoughts.append("");
      const button = h("button", { type: "button", "aria-expanded": "false", onclick: () => {
        thoughts.hidden = !thoughts.hidden;
        button.setAttribute("aria-expanded", String(!thoughts.hidden));
      } }, icon("chevron"), label);
      this.thinking = { label, text: thoughts.firstChild, since: performance.now() };
      place.thinking.replaceChildren(h("div.thinking", button, thoughts));
    }
    const { label, text, since } = this.thinking;
    const now = message.state === "running" && !message.content;
    const known = message.stats?.thinking_seconds ?? (now ? (performance.now() - since) / 1000 : this.thinking.seconds);
    if (now) this.thinking.seconds = known;
    const spent = Math.max(1, Math.round(known));
    const words = now ? `Thinking… ${spent} s` : known === undefined ? "Thought" : `Thought for ${spent} s`;
    if (label.textContent !== words) label.textContent = words;
    growText(text, message.thinking);
  }

  refreshBody() {
    const { message, place } = this;
    const running = message.state === "running";
    if (message.schema) {
      if (this.form) this.form.show(message.content, running);
      else this.makeForm();
      return;
    }
    const calls = message.tool_calls ?? [];
    const cuts = calls.map((c) => indexOf(message.content, c.at ?? 0));
    let from = 0;
    for (let i = 0; i <= calls.length; i += 1) {
      const to = i < calls.length ? Math.max(cuts[i], from) : message.content.length;
      this.showSegment(i, message.content.slice(from, to), running && i === calls.length);
      if (i < calls.length) this.showCall(calls[i]);
      from = to;
    }
  }

  /** Forms are loaded at the first answer that follows a schema. */
  async makeForm() {
    const [{ FormView }] = await Promise.all([import("./form.js"), needPagesStyle()]);
    this.form ??= new FormView(this.place.body, this.message.schema, (text) => this.actions.saveEdit(this.message, text));
    this.form.show(this.message.content, this.message.state === "running");
  }

  showSegment(i, text, growing) {
    let segment = this.segments[i];
    if (!segment) {
      const element = h("div.prose");
      this.place.body.append(element);
      segment = { view: new MarkdownView(element), element, finished: null };
      this.segments.push(segment);
    }
    if (growing) { if (segment.view.text !== text) segment.view.grow(text); segment.finished = null; }
    else if (segment.finished !== text) { segment.view.finish(text); segment.finished = text; }
  }

  showCall(call) {
    const key = JSON.stringify(call);
    const have = this.calls.get(call.id);
    if (have?.key === key) return;
    const element = have?.element ?? h("div.call");
    const open = have?.open ?? false;
    element.className = `call ${call.state}`;
    const body = h("div.call-body", { hidden: !open },
      h("span.label", "Arguments"), h("pre", pretty(call.arguments)),
      call.state !== "running" && h("span.label", call.error ? "Error" : "Result"),
      call.state !== "running" && h("pre", call.error ? pretty(call.error?.message ?? call.error) : pretty(call.result)));
    const entry = { element, key, open };
    const words = { running: "running…", done: call.seconds === null || call.seconds === undefined ? "done" : seconds(call.seconds), failed: "failed" };
    const button = h("button", { type: "button", "aria-expanded": String(open), onclick: () => {
      entry.open = body.hidden;
      body.hidden = !body.hidden;
      button.setAttribute("aria-expanded", String(entry.open));
    } }, icon(call.state === "failed" ? "warn" : "tool"), h("b", call.name), h("span.state", words[call.state] ?? call.state));
    element.replaceChildren(button, body);
    this.calls.set(call.id, entry);
    if (!element.isConnected) this.place.body.append(element);
  }

  problems() {
    const { message } = this;
    if (message.state === "error" && message.error) {
      return [h("div.problem", { role: "alert" }, icon("warn"), h("div", message.error.message ?? "The answer failed."),
        h("button.button.small", { type: "button", onclick: () => this.actions.retry(message) }, icon("retry"), "Retry"))];
    }
    if (message.error?.code === "interrupted") return [h("p.note", "The server was stopped here. What had arrived is kept.")];
    if (message.state === "stopped") return [h("p.note", "Stopped.")];
    if (message.stats?.finish_reason === "length") return [h("p.note", "The answer reached its longest length.")];
    return [];
  }

  answerActions() {
    const { actions, message } = this;
    const row = h("div.actions");
    const cut = message.state === "stopped" || message.stats?.finish_reason === "length";
    row.append(
      iconButton("copy", "Copy answer", (e) => copyWith(e.currentTarget, message.content)),
      iconButton("retry", "Regenerate", () => actions.retry(message)),
      iconButton("edit", "Edit answer", () => this.edit()));
    if (cut && this.isLast) row.append(iconButton("forward", "Continue", () => actions.proceed(message)));
    row.append(iconButton("more", "More", (e) => openMenu(e.currentTarget, [
      { icon: "forward", label: "Continue this answer", run: () => actions.proceed(message) },
      { icon: "chart", label: "Details", run: () => actions.details(message) },
      { icon: "trash", label: "Delete from here on", danger: true, run: () => actions.remove(message) },
    ])));
    this.addVersions(row);
    const { stats } = message;
    if (stats?.n_generated) {
      const speed = stats.tokens_per_second ? ` · ${stats.tokens_per_second.toFixed(stats.tokens_per_second < 10 ? 1 : 0)} tokens/s` : "";
      row.append(h("button.stats", { type: "button", title: "Details of this answer", onclick: () => actions.details(message) },
        `${message.model ?? ""}${speed}`));
    }
    return row;
  }
}

function pretty(value) {
  if (value === null || value === undefined) return "";
  if (typeof value !== "string") return JSON.stringify(value, null, 2);
  try { return JSON.stringify(JSON.parse(value), null, 2); } catch { return value; }
}

/** Let a text node grow; what it shows already is not touched. */
export function growText(node, text) {
  if (node.data === text) return;
  if (text.startsWith(node.data)) node.appendData(text.slice(node.data.length));
  else node.data = text;
}
