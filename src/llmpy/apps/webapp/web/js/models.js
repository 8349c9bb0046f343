// The page of models: what is installed, what can be downloaded, progress, quantizing, benchmarks.

import { post, ApiError } from "./api.js";
import { benchmarkChart } from "./chart.js";
import { arrange, bytes, count, h, icon, iconButton, keeper, preferences, say } from "./dom.js";
import { confirmDialog, openDialog, openMenu } from "./menu.js";
import { fitBadge } from "./picker.js";
import { store } from "./store.js";

const TYPES = ["q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0", "q3_k_m", "q2_k"];

async function attempt(promise) {
  try { return await promise; } catch (problem) {
    if (!(problem instanceof ApiError)) throw problem;
    say(problem.message, true);
    return null;
  }
}

const kept = keeper();
const list = (name, nodes) => arrange(kept(name, 0, () => h("div.cards")), nodes);

/** Draw the page, or bring it up to date: what has not changed stays, whoever clicks on it. */
export function draw(place) {
  const { models } = store.state;
  const page = kept("page", 0, () => h("div.page", h("div.page-head", h("h1", "Models"), h("p")), h("section", h("h2", "Installed"), h("div"))));
  const [head, installed] = page.children;
  head.lastChild.textContent = memoryLine();
  arrange(installed.lastChild, [models.length ? list("models", models.map(modelCard)) : kept("none", 0, () => h("p.none", "Nothing is installed yet. Choose one below."))]);
  arrange(page, [head, installed, jobsSection(), installSection(false)]);
  arrange(place, [page]);
}

function memoryLine() {
  const { memory } = store.state;
  return memory?.total ? `This machine has ${bytes(memory.total)} of memory, ${bytes(memory.free)} of it free.` : "What is installed on this machine, and what can be.";
}

function modelCard(model) {
  const isDefault = store.state.model === model.name;
  return kept(`model ${model.name}`, [model, isDefault], () => makeModelCard(model, isDefault));
}

function makeModelCard(model, isDefault) {
  const facts = [bytes(model.size), model.license, model.n_ctx && `${count(model.n_ctx)} tokens of context`].filter(Boolean);
  const button = iconButton("more", `More for ${model.name}`, (e) => openMenu(e.currentTarget, [
    { icon: "chart", label: "Benchmark", run: () => attempt(post("/app/jobs", { kind: "benchmark", model: model.name })) },
    { icon: "compress", label: "Quantize", run: () => quantize(model) },
    { icon: "log", label: "Details", run: () => details(model) },
    model.loaded ? { icon: "close", label: "Unload", run: () => attempt(post("/app/models/unload", { name: model.name })) }
      : { icon: "play", label: "Load now", run: () => attempt(post("/app/models/load", { name: model.name })) },
    model.good_for !== "embeddings" && !isDefault && { icon: "check", label: "Use for new chats", run: () => attempt(post("/app/models/default", { name: model.name })) },
    null,
    { icon: "trash", label: model.in_place ? "Remove from the list" : "Delete", danger: true, run: () => removeModel(model) },
  ], { align: "end" }));
  const state = model.loading ? h("span.badge", "loading…") : model.loaded ? h("span.badge.good", h("span.dot"), "loaded") : null;
  return h("article.card", { "aria-label": model.name },
    h("div.card-head", h("h3", model.name), state, h("span.grow"), button),
    h("p.facts-line", facts.join(" · ")),
    h("div.badges", fitBadge(model.fits), model.needed && h("span.badge", `needs ${bytes(model.needed)}`), isDefault && h("span.badge", "default"),
      model.good_for === "embeddings" && h("span.badge", "embeddings"), model.users > 0 && h("span.badge.good", model.users === 1 ? "answering" : `${model.users} answers`)),
    model.good_for !== "embeddings" && h("div.card-foot", h("button.button.small", { type: "button", onclick: () => chatWith(model.name) }, "Chat")));
}

function chatWith(name) {
  preferences.set("model", name);
  location.hash = "#/";
}

async function removeModel(model) {
  const text = model.in_place ? `The file stays where it is: ${model.path}` : `${bytes(model.size)} are freed. Chats with it stay whole.`;
  const sure = await confirmDialog(`${model.in_place ? "Remove" : "Delete"} ${model.name}?`, text, model.in_place ? "Remove" : "Delete");
  if (!sure) return;
  try {
    const { freed } = await post("/app/models/delete", { name: model.name });
    say(`${model.name} deleted, ${bytes(freed)} freed.`);
  } catch (problem) {
    if (problem.code !== "model_in_use") { say(problem.message, true); return; }
    const force = await confirmDialog(`${model.name} is answering`, "Its answers are stopped if it is deleted now; what they have so far is kept.", "Stop and delete");
    if (!force) return;
    const done = await attempt(post("/app/models/delete", { name: model.name, force: true }));
    if (done) say(`${model.name} deleted, ${bytes(done.freed)} freed.`);
  }
}

async function quantize(model) {
  const body = await openDialog(`Quantize ${model.name}`, (done, form) => {
    const type = h("select.input", { "aria-label": "Type" }, TYPES.map((t) => h("option", { value: t, selected: t === "q4_k_m" }, t)));
    const name = h("input.input", { "aria-label": "Name", value: `${model.name}-q4_k_m`, autocomplete: "off" });
    type.addEventListener("change", () => { name.value = `${model.name}-${type.value}`; });
    form.addEventListener("submit", () => done({ kind: "quantize", model: model.name, type: type.value, save_as: name.value.trim() || null }));
    return [
      h("p", "Fewer bits for each weight make a model smaller and quicker, and a little worse."),
      h("div.field", h("span.label", "Type of its weights"), type),
      h("div.field", h("span.label", "Name of the new model"), name),
      h("div.dialog-foot", h("button.button.quiet", { type: "button", onclick: () => done() }, "Cancel"), h("button.button.primary", { type: "submit" }, "Quantize")),
    ];
  });
  if (body) await attempt(post("/app/jobs", body));
}

async function details(model) {
  const answer = await attempt(post("/app/models/show", { name: model.name }));
  if (!answer) return;
  const { metadata = {}, tensors, template, files = [] } = answer;
  openDialog(model.name, () => [
    h("dl.facts", [["File", model.path], ["Size", bytes(model.size)], ["Licence", model.license], ["Context", model.n_ctx && `${count(model.n_ctx)} tokens`],
      ["Memory", model.needed && bytes(model.needed)], ["From", model.source],
      ["Tensors", tensors && `${count(tensors.count)}: ${Object.entries(tensors.types).map(([t, n]) => `${n} ${t}`).join(", ")}`],
      ...files.filter((f) => f.sha256).map((f) => ["SHA-256", files.length > 1 ? `${f.sha256} ${f.path.split(/[/\\]/).at(-1)}` : f.sha256]),
    ].filter(([, v]) => v).flatMap(([k, v]) => [h("dt", k), h("dd", v)])),
    h("details", h("summary", `Metadata (${Object.keys(metadata).length})`), h("div.scroll-box", { tabindex: "0" }, h("table.metadata", h("tbody",
      Object.entries(metadata).map(([k, v]) => h("tr", h("th", { scope: "row" }, k), h("td", typeof v === "string" ? v : JSON.stringify(v)))))))),
    template && h("details", h("summary", "Chat template"), h("pre.file-text", { tabindex: "0" }, template)),
  ], { wide: true });
}

// --- downloads ---

/** Cards of the catalogue, running downloads, and a box for other sources. */
export function installSection(isWelcome) {
  const pulls = store.state.pulls.filter((p) => p.state !== "done");
  const cards = store.state.catalogue.filter((c) => !isWelcome || c.good_for !== "embeddings");
  const busy = new Set(pulls.map((p) => p.name));
  const where = isWelcome ? "welcome" : "models";
  const section = kept(`install ${where}`, 0, () => h("section", h("div.pulls"), h("h2", isWelcome ? "Models that are known to work" : "To download"),
    h("div.cards"), h("h2", "From elsewhere"), pullForm()));
  const [rows, , grid] = section.children;
  rows.hidden = !pulls.length;
  arrange(rows, pulls.map((p) => pullRow(p, where)));
  arrange(grid, cards.map((c) => kept(`card ${where} ${c.name}`, [c, busy.has(c.name)], () => catalogueCard(c, busy.has(c.name)))));
  return section;
}

function pullForm() {
  const input = h("input.input", { id: "pull-name", "aria-label": "Name or address of a model", placeholder: "USER/REPO on Hugging Face, an address, or the path of a file", autocomplete: "off", spellcheck: "false" });
  return h("form.pull-form", { onsubmit: (e) => { e.preventDefault(); if (input.value.trim()) pull(input.value.trim(), () => { input.value = ""; }); } },
    input, h("button.button", { type: "submit" }, icon("download"), "Download"));
}

async function pull(name, then) {
  const made = await attempt(post("/app/pulls", { name }));
  if (made && !store.state.pulls.some((p) => p.id === made.id)) store.state.pulls.push(made);
  if (made) then?.();
}

function catalogueCard(card, isBusy) {
  const kind = card.fits === "too big" ? "button.button.small" : "button.button.small.primary";
  return h("article.card", { "aria-label": card.name },
    h("div.card-head", h("h3", card.name)),
    h("p.about", card.about),
    h("p.facts-line", [bytes(card.size), card.license, `${count(card.n_ctx)} tokens of context`].join(" · ")),
    h("div.badges", fitBadge(card.fits), card.needed && h("span.badge", `needs about ${bytes(card.needed)}`), card.good_for && h("span.badge", card.good_for)),
    h("div.card-foot", card.installed ? h("span.badge.good", icon("check"), "installed")
      : h(kind, { type: "button", disabled: isBusy, "aria-label": `Download ${card.name}, ${bytes(card.download)}`, onclick: () => pull(card.name) },
        icon("download"), isBusy ? "Downloading…" : `Download ${bytes(card.download)}`)));
}

function left(s) {
  if (s === null || s === undefined) return "";
  return s < 90 ? `${Math.ceil(s)} s left` : `${Math.round(s / 60)} min left`;
}

function pullRow(p, where) {
  const row = kept(`pull ${where} ${p.id}`, [p.name, p.state], () => makePullRow(p));
  const [, bar, text] = row.children;
  const share = p.bytes_total ? p.bytes_done / p.bytes_total : null;
  if (share === null && p.state === "running") bar.removeAttribute("value"); else bar.setAttribute("value", String(share ?? 0));
  text.textContent = {
    running: [p.text || (p.bytes_total ? "Downloading" : "Looking for it"), p.bytes_total ? `${bytes(p.bytes_done)} of ${bytes(p.bytes_total)}` : "", p.speed ? `${bytes(p.speed)}/s` : "", left(p.seconds_left)].filter(Boolean).join(" · "),
    paused: `Paused${p.bytes_total ? ` at ${bytes(p.bytes_done)} of ${bytes(p.bytes_total)}` : ""}. ${p.resumable === false ? "pip downloads this package: it begins again." : "It goes on from there."}`,
    error: p.error?.message ?? p.error ?? "The download failed.",
  }[p.state] ?? p.state;
  return row;
}

function makePullRow({ id, name, state }) {
  const act = (what) => attempt(post(`/app/pulls/${id}/${what}`));
  const button = (symbol, label, what) => iconButton(symbol, `${label} ${name}`, () => act(what), ".small");
  return h(`div.pull.${state}`, { role: "group", "aria-label": `Download of ${name}` },
    h("div.pull-head", h("b", name), h("span.grow"),
      state === "running" ? button("pause", "Pause", "pause") : button(state === "error" ? "retry" : "play", state === "error" ? "Try again:" : "Resume", "resume"),
      button("close", "Cancel", "cancel")),
    h("progress.bar", { max: "1", "aria-label": `Downloaded of ${name}` }),
    h("p", state === "error" ? { role: "alert" } : {}));
}

// --- jobs ---

function jobsSection() {
  const jobs = store.state.jobs.filter((j) => j.state !== "cancelled").slice(-6).reverse();
  if (!jobs.length) return null;
  const section = kept("jobs", 0, () => h("section", h("h2", "Work"), h("div.jobs")));
  arrange(section.lastChild, jobs.map((job) => {
    const card = kept(`job ${job.id}`, job.state, () => jobCard(job));
    const [, bar, text] = card.children;
    if (job.state !== "running") return card;
    if (job.total) bar.setAttribute("value", String(job.done / job.total)); else bar.removeAttribute("value");
    text.textContent = job.text ?? "";
    return card;
  }));
  return section;
}

function jobCard(job) {
  const title = `${job.kind === "quantize" ? "Quantizing" : "Benchmark of"} ${job.model}`;
  const isRunning = job.state === "running";
  const before = store.state.models.find((m) => m.name === job.model)?.size;
  return h("article.card.job", { "aria-label": title },
    h("div.card-head", h("h3", title), h("span.grow"), isRunning && iconButton("close", `Cancel: ${title}`, () => attempt(post(`/app/jobs/${job.id}/cancel`)), ".small")),
    isRunning && h("progress.bar", { max: "1", "aria-label": title }), isRunning && h("p.facts-line"),
    job.state === "error" && h("p.field-error", { role: "alert" }, job.error?.message ?? String(job.error)),
    job.state === "done" && job.kind === "quantize" && h("p.facts-line", `${job.result.name} is installed. It has ${bytes(job.result.size)}${before ? `, ${job.model} ${bytes(before)}` : ""}.`),
    job.state === "done" && job.kind === "benchmark" && benchmarkChart(job));
}
