// The page of logs: the last lines, new ones as they come, filtered by level and text.

import { get } from "./api.js";
import { arrange, h, icon } from "./dom.js";
import { listen, nextFrame, on, store } from "./store.js";

const MOST = 2000;
const LEVELS = ["DEBUG", "INFO", "WARNING", "ERROR"];
let stop = null;

export function draw(place) {
  const lines = [];
  let whole = false; // what was written before is there
  let level = "DEBUG";
  let words = "";
  const box = h("div.log-lines", { tabindex: "0", role: "region", "aria-label": "Lines of the log" });
  const filter = h("input.input", { type: "search", "aria-label": "Filter", placeholder: "Filter", oninput: () => { words = filter.value.toLowerCase(); redraw(); } });
  const select = h("select.input", { "aria-label": "Lowest level", onchange: () => { level = select.value; redraw(); } }, LEVELS.map((l) => h("option", { value: l }, l.toLowerCase())));
  const fits = (l) => LEVELS.indexOf(l.level.toUpperCase()) >= LEVELS.indexOf(level) && (!words || l.text.toLowerCase().includes(words));
  const line = (l) => h(`div.log-line.${l.level.toLowerCase()}`, h("time", new Date(l.time * 1000).toLocaleTimeString("en-GB")), h("b", l.level.toLowerCase()), h("span", l.text));
  const redraw = () => {
    const atEnd = box.scrollHeight - box.scrollTop - box.clientHeight < 4; // else somebody reads
    const shown = lines.filter(fits);
    arrange(box, shown.length ? shown.map((l) => (l.node ??= line(l))) : [h("p.none", lines.length ? "No such lines." : "Nothing was logged yet.")]);
    if (atEnd) box.scrollTop = box.scrollHeight;
  };
  place.replaceChildren(h("div.page.logs", h("div.page-head", h("h1", "Logs"), h("p", "What the server has to say. It stays on this machine.")),
    h("div.log-bar", h("div.search-box", icon("search"), filter), select), box));
  const take = (fresh) => {
    const known = lines.length ? lines.at(-1).n : -1;
    lines.push(...fresh.filter((l) => l.n > known));
    if (lines.length > MOST) lines.splice(0, lines.length - MOST);
    if (whole) nextFrame(redraw);
  };
  const readAll = async () => { // also after the server was started anew, and counts its lines from the first
    if (!store.connected) { whole = false; lines.length = 0; return; }
    const answer = await get("/app/logs").catch(() => null); // the banner says it
    if (!answer) return;
    const told = lines.splice(0);
    take(answer.lines);
    whole = true;
    take(told);
  };
  const ends = [on("log", take), on("connection", readAll)];
  stop = () => { for (const end of ends) end(); };
  listen(true);
}

/** Lines are told only while this page is shown. */
export function leave() {
  if (!stop) return;
  stop();
  stop = null;
  listen(false);
}
