// Making elements, icons, and the few helpers that every view uses.

/** Make an element: h("button.primary", {title: "Send", onclick}, "text", child, ...). */
export function h(spec, ...rest) {
  const [tag, ...classes] = spec.split(".");
  const node = document.createElement(tag || "div");
  if (classes.length) node.className = classes.join(" ");
  for (const part of rest) {
    if (part === null || part === undefined || part === false) continue;
    if (typeof part === "string" || typeof part === "number") node.append(String(part));
    else if (part instanceof Node) node.append(part);
    else if (Array.isArray(part)) node.append(...part.filter((p) => p || p === 0));
    else setAttributes(node, part);
  }
  return node;
}

function setAttributes(node, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "disabled" || name === "hidden") node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
}

/** Whether a key belongs to an input method (Japanese, Chinese, ...). */
export const composes = (event) => event.isComposing || event.keyCode === 229;

/** Let a place have these children; those that are there already are not touched: a click on them goes on. */
export function arrange(place, nodes) {
  const wanted = nodes.flat().filter(Boolean);
  const keep = new Set(wanted);
  for (const node of [...place.childNodes]) if (!keep.has(node)) node.remove();
  let at = place.firstChild;
  for (const node of wanted) {
    if (node === at) at = at.nextSibling; else place.insertBefore(node, at);
  }
  return place;
}

/** Makes nodes once: `kept(key, facts, make)` is the node that was made for this key while its facts are the same. */
export function keeper() {
  const nodes = new Map();
  return (key, facts, make) => {
    const text = JSON.stringify(facts);
    const have = nodes.get(key);
    if (have?.text === text) return have.node;
    const node = make();
    nodes.set(key, { text, node });
    return node;
  };
}

const SVG = "http://www.w3.org/2000/svg";

/** Make an SVG element with attributes and children. */
export function svg(tag, attributes = {}, ...children) {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.append(...children);
  return node;
}

const PATHS = {
  plus: "M12 5v14M5 12h14",
  search: "M11 4a7 7 0 1 0 0 14 7 7 0 0 0 0-14zM20 20l-4-4",
  send: "M12 19V5M6 11l6-6 6 6",
  stop: "M8 8h8v8H8z",
  down: "M12 5v14M6 13l6 6 6-6",
  chevron: "M6 9l6 6 6-6",
  left: "M15 6l-6 6 6 6",
  right: "M9 6l6 6-6 6",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  check: "M5 12.5l4.5 4.5L19 7.5",
  edit: "M4 20h4L19 9l-4-4L4 16zM13.5 6.5l4 4",
  retry: "M20 11a8 8 0 1 0-2.3 6.3M20 5v6h-6",
  more: "M6 12h.01M12 12h.01M18 12h.01",
  menu: "M4 7h16M4 12h16M4 17h16",
  sidebar: "M4 5h16v14H4zM9.5 5v14",
  pin: "M9 4h6l-1 7 3 3v2H7v-2l3-3zM12 16v5",
  folder: "M3 7V5h6l2 2h10v12H3z",
  trash: "M4 7h16M9 7V4h6v3M6 7l1 13h10l1-13M10 11v5M14 11v5",
  file: "M6 3h8l4 4v14H6zM14 3v4h4",
  clip: "M20 11l-8.5 8.5a5 5 0 0 1-7-7L13 4a3.4 3.4 0 0 1 4.8 4.8l-8.4 8.4a1.7 1.7 0 0 1-2.4-2.4L14.5 7.5",
  sliders: "M4 8h9M19 8h1M4 16h1M11 16h9M16 5.5v5M8 13.5v5",
  braces: "M9 4c-3 0-3 1-3 4s-.5 4-2 4c1.5 0 2 1 2 4s0 4 3 4M15 4c3 0 3 1 3 4s.5 4 2 4c-1.5 0-2 1-2 4s0 4-3 4",
  cube: "M12 3l8 4.5v9L12 21l-8-4.5v-9zM4 7.5l8 4.5 8-4.5M12 12v9",
  gear: "M12 9a3 3 0 1 0 0 6 3 3 0 0 0 0-6zM19.4 15l1.1 2-2 2.5-2.3-.6-1.7 1L13.8 22h-3.6l-.7-2.1-1.7-1-2.3.6-2-2.5 1.1-2a7 7 0 0 1 0-6l-1.1-2 2-2.5 2.3.6 1.7-1L10.2 2h3.6l.7 2.1 1.7 1 2.3-.6 2 2.5-1.1 2a7 7 0 0 1 0 6z",
  log: "M5 4h14v16H5zM8.5 9h7M8.5 12.5h7M8.5 16h4",
  close: "M6 6l12 12M18 6L6 18",
  download: "M12 4v11M7 10.5l5 5 5-5M4 20h16",
  upload: "M12 16V5M7 9.5l5-5 5 5M4 20h16",
  pause: "M8 5v14M16 5v14",
  play: "M8 5l11 7-11 7z",
  wrap: "M4 6h16M4 18h6M4 12h13a3 3 0 0 1 0 6h-3M16 15.5L13.5 18l2.5 2.5",
  keyboard: "M3 6h18v12H3zM7 10h.01M11 10h.01M15 10h.01M7 14h10",
  forward: "M13 6l6 6-6 6M5 6l6 6-6 6",
  warn: "M12 4l9 16H3zM12 10v4M12 17h.01",
  tool: "M14.5 6a4 4 0 0 0-5 5L4 16.5 7.5 20l5.5-5.5a4 4 0 0 0 5-5L15.5 12 12 8.5z",
  chart: "M4 20V4M4 20h16M8 16v-4M12.5 16V8M17 16v-6",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8zM12 2v2M12 20v2M2 12h2M20 12h2M5 5l1.4 1.4M17.6 17.6L19 19M19 5l-1.4 1.4M6.4 17.6L5 19",
  compress: "M4 9h5V4M20 9h-5V4M4 15h5v5M20 15h-5v5",
};

/** An icon of 20 px by its name, hidden from screen readers. */
export function icon(name) {
  const node = svg("svg", { viewBox: "0 0 24 24", class: `icon icon-${name}`, "aria-hidden": "true" });
  node.append(svg("path", { d: PATHS[name] }));
  return node;
}

/** A button that shows only an icon; its label is its accessible name and its tooltip. */
export function iconButton(name, label, onclick, extra = "") {
  return h(`button.icon-button${extra}`, { type: "button", "aria-label": label, title: label, onclick }, icon(name));
}

let pagesStyle = null;

/** The style of what is not the chat itself; resolves once it is there. */
export function needPagesStyle() {
  pagesStyle ??= new Promise((resolve) => {
    const link = Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("../css/pages.css", import.meta.url), onload: resolve, onerror: resolve });
    document.head.append(link);
  });
  return pagesStyle;
}

/** Whether the main input is a finger: there Enter breaks the line. */
export const isTouch = () => matchMedia("(hover: none) and (pointer: coarse)").matches;

/** Bytes for people: "92 MB". */
export function bytes(n) {
  if (n === null || n === undefined) return "";
  const units = ["B", "KB", "MB", "GB", "TB"];
  let unit = 0;
  while (n >= 1000 && unit < units.length - 1) { n /= 1000; unit += 1; }
  return `${n >= 100 || unit === 0 ? Math.round(n) : n.toFixed(1)} ${units[unit]}`;
}

/** A count for people: "1,234", "8.2k". */
export const count = (n) => (n >= 10000 ? `${(n / 1000).toFixed(n >= 100000 ? 0 : 1)}k` : n.toLocaleString("en"));

/** Seconds for people: "12 s", "3 min". */
export function seconds(s) {
  if (s < 0.1) return "< 0.1 s";
  if (s < 10) return `${s.toFixed(1)} s`;
  if (s < 100) return `${Math.round(s)} s`;
  return `${Math.round(s / 60)} min`;
}

/** Copy text, also on plain http where there is no clipboard interface; resolves to whether it worked. */
export async function copyText(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = h("textarea.offscreen", { value: text, "aria-hidden": "true", tabindex: "-1" });
    const focused = document.activeElement;
    document.body.append(area);
    area.select();
    let done = false;
    try { done = document.execCommand("copy"); } catch { done = false; }
    area.remove();
    focused?.focus?.();
    return done;
  }
}

/** Show that a copy button worked: a tick for 1.5 s, or say that it failed. */
export async function copyWith(button, text) {
  const done = await copyText(text);
  if (!done) { say("Copying failed: the browser refused. Select the text and copy it by hand.", true); return; }
  const before = button.querySelector(".icon");
  const tick = icon("check");
  before.replaceWith(tick);
  button.classList.add("copied");
  polite("Copied");
  setTimeout(() => { tick.replaceWith(before); button.classList.remove("copied"); }, 1500);
}

/** Say something to screen readers without interrupting them. */
export function polite(text) { document.getElementById("status").textContent = text; }

/** Show a notice at the bottom for a while; errors are alerts. `undo` adds a button. */
export function say(text, isError = false, undo = null, ms = 6000) {
  const place = document.getElementById("notices");
  const notice = h("div.notice", { role: isError ? "alert" : "status" }, h("span", text));
  const close = () => { clearTimeout(timer); notice.remove(); };
  if (isError) notice.classList.add("error");
  if (undo) notice.append(h("button.text-button", { type: "button", onclick: () => { close(); undo(); } }, "Undo"));
  notice.append(iconButton("close", "Dismiss", close, ".small"));
  place.append(notice);
  const timer = setTimeout(close, ms);
  return close;
}

/** Read and write small preferences of this browser; storage may be forbidden. */
export const preferences = {
  get(key, fallback = null) {
    try { return JSON.parse(localStorage.getItem(`llmpy.${key}`)) ?? fallback; } catch { return fallback; }
  },
  set(key, value) {
    try { localStorage.setItem(`llmpy.${key}`, JSON.stringify(value)); } catch { /* private mode */ }
  },
};
