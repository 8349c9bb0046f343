// Settings of one chat at the right: system prompt, presets and sampling, the schema of answers.

import { ApiError } from "./api.js";
import { h, iconButton, preferences, say } from "./dom.js";
import { changeNewChat, fieldsOf } from "./fields.js";
import { changeThread } from "./store.js";

export const PRESETS = {
  Balanced: {},
  Precise: { temperature: 0.2, top_p: 0.9 },
  Creative: { temperature: 1.1, top_p: 0.98, min_p: 0.05 },
  Greedy: { temperature: 0 },
};

const FIELDS = [
  ["temperature", "Temperature", 0, 2, 0.05, "How freely words are chosen; 0 always takes the likeliest."],
  ["top_p", "Top p", 0, 1, 0.01, "Only the likeliest tokens up to this sum of probabilities."],
  ["top_k", "Top k", 0, 200, 1, "Only so many of the likeliest tokens; 0 is no limit."],
  ["min_p", "Min p", 0, 1, 0.01, "Drop tokens less likely than this fraction of the likeliest."],
  ["repeat_penalty", "Repeat penalty", 1, 2, 0.01, "Makes tokens that were used less likely."],
  ["frequency_penalty", "Frequency penalty", -2, 2, 0.05, "Makes tokens less likely the more often they were used."],
  ["presence_penalty", "Presence penalty", -2, 2, 0.05, "Makes tokens that were used less likely, however often."],
  ["max_tokens", "Longest answer", 1, null, 1, "In tokens."],
  ["seed", "Seed", 0, null, 1, "The same seed gives the same answer."],
];

const EXAMPLE = { title: "City", type: "object", properties: { name: { type: "string" }, country: { type: "string" }, population: { type: "integer" }, coastal: { type: "boolean" } }, required: ["name", "country", "population", "coastal"], additionalProperties: false };

const same = (a, b) => JSON.stringify(Object.entries(a).sort()) === JSON.stringify(Object.entries(b).sort());

/** Draw the panel of a chat (null: of the new one) into a place. */
export function drawPanel(place, threadId, { close, changed }) {
  const thread = fieldsOf(threadId);
  const change = async (fields) => {
    if (!threadId) { changeNewChat(fields); changed(); return; }
    try { await changeThread(threadId, fields); } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem;
      say(problem.message, true);
    }
    changed();
  };
  place.replaceChildren(
    h("div.panel-head", h("h2", "This chat"), iconButton("close", "Close", close, ".small")),
    h("div.panel-body", systemPart(thread, change), samplingPart(thread, change), schemaPart(threadId ?? "new", thread, change)));
}

function systemPart(thread, change) {
  const area = h("textarea.input", { rows: "5", value: thread.system ?? "", "aria-label": "System prompt", placeholder: "You are a helpful assistant." });
  area.addEventListener("change", () => change({ system: area.value.trim() || null }));
  return h("section.panel-part", h("h3", "System prompt"), area, h("p.hint", "Told to the model before the first question. It holds from the next answer on."));
}

function samplingPart(thread, change) {
  let sampling = { ...thread.sampling };
  const part = h("section.panel-part");
  const set = (fields) => {
    sampling = Object.fromEntries(Object.entries({ ...sampling, ...fields }).filter(([, v]) => v !== null && v !== undefined));
    change({ sampling });
    drawPresets();
  };
  const own = () => preferences.get("presets", {});
  const presets = h("div.presets", { role: "group", "aria-label": "Presets" });
  const rows = h("div.sliders");
  const drawPresets = () => {
    const all = { ...PRESETS, ...own() };
    presets.replaceChildren(...Object.entries(all).map(([name, values]) => h("button.preset", {
      type: "button", "aria-pressed": String(same(values, sampling)), onclick: () => { sampling = {}; set(values); drawRows(); },
    }, name)), h("button.preset.add", { type: "button", title: "Keep these values as a preset", onclick: () => keepPreset(sampling, drawPresets) }, "+ Save"));
  };
  const drawRows = () => rows.replaceChildren(...FIELDS.map((field) => slider(field, sampling, set)), thinkRow(sampling, set), stopRow(sampling, set));
  drawPresets();
  drawRows();
  part.append(h("h3", "Sampling"), presets, rows);
  return part;
}

async function keepPreset(sampling, draw) {
  const { askText } = await import("./menu.js");
  const name = await askText("Save preset", "Name", "");
  if (!name) return;
  preferences.set("presets", { ...preferences.get("presets", {}), [name]: sampling });
  draw();
}

function slider([name, label, low, high, step, hint], sampling, set) {
  const value = sampling[name];
  const id = `field-${name}`;
  const rest = Math.max(low, 0); // where the slider is while nothing is set
  const number = h("input.input.number", { type: "number", id, min: String(low), max: high === null ? null : String(high), step: String(step), value: value ?? "", placeholder: "auto", title: hint });
  const range = high === null ? null : h("input", { type: "range", min: String(low), max: String(high), step: String(step), value: String(value ?? rest), "aria-label": `${label}, slider`, tabindex: "-1" });
  range?.classList.toggle("unset", value === undefined);
  const read = () => {
    const v = number.value === "" ? null : Number(number.value);
    const bad = v !== null && (!Number.isFinite(v) || v < low || (high !== null && v > high));
    number.setAttribute("aria-invalid", String(bad));
    if (!bad) { set({ [name]: v }); if (range) { range.value = String(v ?? rest); range.classList.toggle("unset", v === null); } }
  };
  number.addEventListener("change", read);
  range?.addEventListener("input", () => { number.value = range.value; range.classList.remove("unset"); });
  range?.addEventListener("change", read);
  return h("div.slider", h("label", { for: id, title: hint }, label), number, range);
}

function thinkRow(sampling, set) {
  const box = h("input", { type: "checkbox", role: "switch", checked: sampling.think !== false, onchange: () => set({ think: box.checked ? null : false }) });
  return h("label.switch", box, "Let the model think, where it can");
}

function stopRow(sampling, set) {
  const input = h("input.input", { value: [sampling.stop ?? []].flat().join(", "), "aria-label": "Stop at", placeholder: "END, ###" });
  input.addEventListener("change", () => { const texts = input.value.split(",").map((t) => t.trim()).filter(Boolean); set({ stop: texts.length ? texts : null }); });
  return h("div.field", h("span.label", "Stop at"), input, h("span.hint", "Texts, separated by commas, at which an answer ends."));
}

/** The schema is kept with the chat; a text that is none (yet) stays in this browser. */
function schemaPart(key, thread, change) {
  const draft = `schema.${key}`;
  const text = preferences.get(draft) ?? (thread.schema ? JSON.stringify(thread.schema, null, 2) : "");
  const area = h("textarea.input.code-input", { rows: "9", value: text, spellcheck: "false", "aria-label": "JSON schema", placeholder: '{"type": "object", "properties": {…}}' });
  const problem = h("p.field-error", { role: "alert", hidden: true });
  const box = h("input", { type: "checkbox", role: "switch", checked: Boolean(thread.use_schema) });
  const keep = () => {
    const { schema, bad } = readSchema(area.value, box.checked);
    problem.hidden = !bad;
    problem.textContent = bad ?? "";
    area.setAttribute("aria-invalid", String(Boolean(bad)));
    preferences.set(draft, bad ? area.value : null);
    change(bad ? { use_schema: false } : { schema, use_schema: box.checked });
  };
  area.addEventListener("change", keep);
  box.addEventListener("change", keep);
  return h("section.panel-part", h("h3", "Answers as a form"),
    h("label.switch", box, "Answers follow a schema"), area, problem,
    h("div", h("button.button.small", { type: "button", onclick: () => { area.value = JSON.stringify(EXAMPLE, null, 2); box.checked = true; keep(); } }, "Take an example")),
    h("p.hint", "Whatever the model would like to say, its answer is then JSON of this schema, shown as a form."));
}

function readSchema(text, isWanted) {
  if (!text.trim()) return { schema: null, bad: isWanted ? "Write a schema first, or take the example." : null };
  try {
    const schema = JSON.parse(text);
    const isObject = schema && typeof schema === "object" && !Array.isArray(schema);
    return isObject ? { schema, bad: null } : { bad: "A schema is a JSON object." };
  } catch (problem) {
    return { bad: `Not JSON: ${problem.message}` };
  }
}
