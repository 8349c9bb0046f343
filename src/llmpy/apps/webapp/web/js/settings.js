// The page of settings: this machine, the server, downloads, the look, taking chats along.

import { download, patch, post, ApiError } from "./api.js";
import { h, icon, preferences, say } from "./dom.js";
import { emit, readThreads, store } from "./store.js";

const KV_TYPES = [["", "automatic"], ["f32", "f32"], ["f16", "f16"], ["int14", "int14"], ["q8_0", "q8_0"], ["q4_0", "q4_0"]];

async function change(fields, input) {
  const place = input.parentNode.querySelector(".field-error");
  const show = (text) => {
    input.setAttribute("aria-invalid", String(Boolean(text)));
    place.hidden = !text;
    place.textContent = text;
  };
  try {
    store.state.settings = await patch("/app/settings", fields);
    show("");
    emit("state");
    say("Saved.", false, null, 1800);
    document.getElementById("restart-note").hidden = !store.state.settings.restart;
  } catch (problem) {
    if (!(problem instanceof ApiError)) throw problem;
    if (problem.status) show(sentence(problem.message)); else say(problem.message, true);
  }
}

/** "n_ctx: expected ..." beside its field: "Expected ...". */
const sentence = (text) => text.replace(/^\w+(\[\d+\])?: /, "").replace(/^./, (c) => c.toUpperCase());

const foot = (id, hint) => [h("p.field-error", { role: "alert", hidden: true }), h("span.hint", { id: `${id}-hint` }, hint)];

function field(name, label, hint, { type = "number", scale = 1, placeholder = "automatic", ...attributes } = {}) {
  const id = `setting-${name}`;
  const value = store.state.settings[name];
  const shown = value === null || value === undefined ? "" : type === "number" ? String(value / scale) : String(value);
  const input = h("input.input", { id, type, value: shown, placeholder, autocomplete: "off", "aria-describedby": `${id}-hint`, ...attributes });
  input.addEventListener("change", () => {
    const text = input.value.trim();
    change({ [name]: text === "" ? null : type === "number" ? Math.round(Number(text) * scale) : text }, input);
  });
  return h("div.field", h("label", { for: id }, label), input, foot(id, hint));
}

function select(name, label, hint, options) {
  const id = `setting-${name}`;
  const now = store.state.settings[name] ?? "";
  const input = h("select.input", { id, "aria-describedby": `${id}-hint` }, options.map(([value, text]) => h("option", { value, selected: value === now }, text)));
  input.addEventListener("change", () => change({ [name]: input.value || null }, input));
  return h("div.field", h("label", { for: id }, label), input, foot(id, hint));
}

function list(name, label, hint, placeholder) {
  const id = `setting-${name}`;
  const value = store.state.settings[name];
  const area = h("textarea.input", { id, rows: "2", value: (value ?? []).join("\n"), placeholder, spellcheck: "false", "aria-describedby": `${id}-hint` });
  area.addEventListener("change", () => {
    const lines = area.value.split("\n").map((l) => l.trim()).filter(Boolean);
    change({ [name]: lines.length ? lines : name === "keys" ? [] : null }, area);
  });
  return h("div.field", h("label", { for: id }, label), area, foot(id, hint));
}

export function draw(place) {
  const { settings, version } = store.state;
  const single = h("input", { type: "checkbox", role: "switch", checked: preferences.get("single-keys", true), onchange: () => preferences.set("single-keys", single.checked) });
  const key = h("input.input", { type: "password", id: "own-key", value: preferences.get("key") ?? "", autocomplete: "off", onchange: () => preferences.set("key", key.value.trim() || null) });
  place.replaceChildren(h("div.page.narrow",
    h("div.page-head", h("h1", "Settings"), h("p", `llmpy ${version}`)),
    h("p.banner", { id: "restart-note", hidden: !settings.restart }, icon("warn"), "Some changes hold from the next start of llmpy on."),
    h("section", h("h2", "Look and keyboard"),
      select("theme", "Theme", "“System” follows the setting of your system.", [["system", "System"], ["light", "Light"], ["dark", "Dark"]]),
      h("label.switch", single, "Single-key shortcuts, such as n for a new chat")),
    h("section", h("h2", "Running models"), h("p.hint", "These hold for models that are loaded from now on."),
      h("div.grid",
        field("n_threads", "Threads", "Threads that compute.", { min: "1", max: "1024", step: "1" }),
        field("n_ctx", "Context", "Tokens that a chat may have.", { min: "64", step: "1" }),
        field("memory", "Memory for models, GB", "Others are unloaded beyond it.", { scale: 1e9, min: "0.1", step: "any" }),
        field("keep_alive", "Keep loaded, seconds", "An idle model is unloaded after it.", { min: "0", step: "1" }),
        select("kv_dtype", "KV cache type", "Smaller types save memory for long chats.", KV_TYPES))),
    h("section", h("h2", "Server"), h("p.hint", "Other programs can use these models too; see the address that llmpy printed."),
      h("div.grid", field("host", "Address", "127.0.0.1 is this machine alone.", { type: "text" }), field("port", "Port", "Where the page and the server are.", { min: "1", max: "65535", step: "1" })),
      list("keys", "Keys", "One a line. With keys, whoever has none is refused. Needed for any address but 127.0.0.1.", "none"),
      h("div.field", h("label", { for: "own-key" }, "Key of this browser"), key, h("span.hint", "Sent with each request of this page."))),
    h("section", h("h2", "Downloads"), list("licenses", "Licences allowed", "One a line, such as apache-2.0. Models of other licences are not downloaded. Empty allows all.", "all")),
    h("section", h("h2", "Chats"), h("p.hint", "Everything is on this machine. Take it along as one file."),
      h("div.buttons",
        h("button.button", { type: "button", onclick: exportAll }, icon("download"), "Export all chats"),
        h("button.button", { type: "button", onclick: () => place.querySelector("#import-file").click() }, icon("upload"), "Import chats"),
        h("input.offscreen", { type: "file", id: "import-file", tabindex: "-1", "aria-label": "File of chats", accept: ".json,.md,.mdx", multiple: true, onchange: (e) => importFiles([...e.target.files]) })))));
}

async function exportAll() {
  try { await download("/app/export", `llmpy-chats-${new Date().toISOString().slice(0, 10)}.json`); } catch (problem) { say(problem.message, true); }
}

async function importFiles(files) {
  for (const file of files) {
    const isJson = file.name.endsWith(".json");
    const path = isJson ? "/app/import" : `/app/import?title=${encodeURIComponent(file.name.replace(/(\.l)?\.mdx?$/, ""))}`;
    try {
      const { threads, skipped } = await post(path, await file.text(), { type: isJson ? "application/json" : "text/markdown" });
      say(`${threads.length} ${threads.length === 1 ? "chat" : "chats"} imported.${skipped.length ? ` ${skipped.length} skipped: ${skipped[0].message}` : ""}`, skipped.length > 0);
    } catch (problem) {
      if (!(problem instanceof ApiError)) throw problem;
      say(`${file.name}: ${problem.message}`, true);
    }
  }
  await readThreads().catch(() => {});
}
