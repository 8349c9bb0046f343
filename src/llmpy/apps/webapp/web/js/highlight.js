// Colours for code. The highlighter and each language are loaded when a closed fence first needs them.

import { h } from "./dom.js";

const LANGUAGES = "bash c cpp csharp css diff dockerfile elixir go graphql haskell ini java javascript json julia kotlin latex lua makefile markdown nix objectivec perl php powershell python r ruby rust scala sql swift typescript xml yaml".split(" ");
const ALIASES = {
  sh: "bash", shell: "bash", zsh: "bash", console: "bash", h: "c", "c++": "cpp", hpp: "cpp", cc: "cpp", cs: "csharp", "c#": "csharp",
  docker: "dockerfile", ex: "elixir", golang: "go", hs: "haskell", toml: "ini", js: "javascript", jsx: "javascript", mjs: "javascript",
  jsonc: "json", jl: "julia", kt: "kotlin", tex: "latex", make: "makefile", md: "markdown", objc: "objectivec", pl: "perl",
  ps1: "powershell", py: "python", python3: "python", rb: "ruby", rs: "rust", patch: "diff", html: "xml", svg: "xml", vue: "xml",
  ts: "typescript", tsx: "typescript", yml: "yaml", sqlite: "sql", postgres: "sql", gql: "graphql",
};
const LONGEST = 100000; // characters; longer code stays plain
const CACHED = 60; // blocks

let core = null;
const loaded = new Map(); // language -> promise or true
const cache = new Map(); // language and text -> HTML of spans

const languageOf = (name) => {
  const low = (name || "").toLowerCase();
  const language = ALIASES[low] ?? low;
  return LANGUAGES.includes(language) ? language : null;
};

/** The coloured nodes of a code, or null where they are not known (yet). */
export function coloured(name, text) {
  const language = languageOf(name);
  if (!language || loaded.get(language) !== true || text.length > LONGEST) return null;
  const key = `${language}\n${text}`;
  let html = cache.get(key);
  if (html === undefined) {
    html = core.highlight(text, { language, ignoreIllegals: true }).value;
    cache.set(key, html);
    if (cache.size > CACHED) cache.delete(cache.keys().next().value);
  }
  const box = h("code");
  box.append(globalThis.DOMPurify.sanitize(html, { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true }));
  return [...box.childNodes];
}

/** Load what the closed fences in `element` need, then call `redraw` once. */
export function colourLater(element, redraw) {
  const wanted = new Set();
  for (const code of element.querySelectorAll('.code[data-closed="1"]')) {
    const language = languageOf(code.dataset.lang);
    if (language && loaded.get(language) !== true && code.textContent.length <= LONGEST) wanted.add(language);
  }
  if (wanted.size) Promise.all([...wanted].map(load)).then(() => { if (element.isConnected) redraw(); }, () => {});
}

function load(language) {
  let promise = loaded.get(language);
  if (promise === undefined) {
    promise = (async () => {
      core ??= (await import("../vendor/highlight/core.min.js")).default;
      const grammar = (await import(`../vendor/highlight/languages/${language}.min.js`)).default;
      core.registerLanguage(language, grammar);
      loaded.set(language, true);
    })();
    loaded.set(language, promise);
  }
  return promise;
}
