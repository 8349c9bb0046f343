// The page of logs: the last lines, new ones as they come, filtered by level and text.

import { get } from "./api.js";
import { h, icon } from "./dom.js";
import { listen, nextFrame, on } from "./store.js";

const MOST = 2000;
const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"];
let stop = null;

export async function draw(place) {
  const lines = [];
  let level = "DEBUG";
  let words = "";
  const box = h("div.log-lines", { tabindex: "0", role: "region", "aria-label": "Lines of the log" });
  const filter = h("input.input", { type: "search", "aria-label": "Filter", placeholder: "Filter", oninput: () => { words = filter.value.toLowerCase(); redraw(); } });
  const select = h("select.input", { "aria-label": "Lowest level", onchange: () => { level = select.value; redraw(); } }, LEVELS.map((l) => h("option", { value: l }, l.toLowerCase())));
  const fits = (l) => LEVELS.indexOf(l.level.toUpperCase()) >= LEVELS.indexOf(level) && (!words || l.text.toLowerCase().includes(words));
  const line = (l) => h(`div.log-line.${l.level.toLowerCase()}`, h("time", new Date(l.time * 1000).toLocaleTimeString("en-GB")), h("b", l.level.toLowerCase()), h("span", l.text));
  const redraw = () => {
    const shown = lines.filter(fits);
    box.replaceChildren(...(shown.length ? shown.map(line) : [h("p.none", "No such lines.")]));
    box.scrollTop = box.scrollHeight;
  };
  place.replaceChildren(h("div.page.logs", h("div.page-head", h("h1", "Logs"), h("p", "What the server has to say. It stays on this machine.")),
    h("div.log-bar", h("div.search-box", icon("search"), filter), select), box));
  const take = (fresh) => {
    const known = lines.length ? lines.at(-1).n : -1;
    lines.push(...fresh.filter((l) => l.n > known));
    if (lines.length > MOST) lines.splice(0, lines.length - MOST);
    nextFrame(redraw);
  };
  stop = on("log", take);
  listen(true);
  try { take((await get("/app/logs")).lines); } catch { /* the banner says it */ }
}

/** Lines are told only while this page is shown. */
export function leave() {
  if (!stop) return;
  stop();
  stop = null;
  listen(false);
}
