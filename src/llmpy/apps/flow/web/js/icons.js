// Icons of nodes, beside those of the app.

import { icon, svg } from "/web/js/dom.js";

const PATHS = {
  hash: "M5 9h15M4 15h15M10 4L8 20M16 4l-2 16",
  list: "M9 6h11M9 12h11M9 18h11M4.5 6h.01M4.5 12h.01M4.5 18h.01",
  sparkle: "M12 3l1.9 5.6a2.4 2.4 0 0 0 1.5 1.5L21 12l-5.6 1.9a2.4 2.4 0 0 0-1.5 1.5L12 21l-1.9-5.6a2.4 2.4 0 0 0-1.5-1.5L3 12l5.6-1.9a2.4 2.4 0 0 0 1.5-1.5z",
  form: "M4 5h16v14H4zM8 10h2M13 10h4M8 14.5h2M13 14.5h4",
  chat: "M4 5h16v11H11l-4.5 4v-4H4z",
  vector: "M4 20L18 6M18 12V6h-6M4 20h.01M4 13v7h7",
  rank: "M4 6h16M4 12h11M4 18h6",
  split: "M12 3v6M12 9L6 14v7M12 9l6 5v7",
  calendar: "M4 6h16v14H4zM4 10.5h16M8.5 3.5V7M15.5 3.5V7M8 14h2M14 14h2M8 17h2",
  layers: "M12 3l9 5-9 5-9-5zM3 12.5l9 5 9-5M3 17l9 5 9-5",
  filter: "M4 5h16l-6.2 7.5V19l-3.6 1.5v-8z",
  branch: "M4 12h5M9 12c4 0 3-6 7-6h4M9 12c4 0 3 6 7 6h4M17.5 3.5L20 6l-2.5 2.5M17.5 15.5L20 18l-2.5 2.5",
  code: "M8 7l-5 5 5 5M16 7l5 5-5 5M13.5 5l-3 14",
  globe: "M12 3a9 9 0 1 0 0 18 9 9 0 0 0 0-18zM3 12h18M12 3c5 5 5 13 0 18M12 3c-5 5-5 13 0 18",
  output: "M4 12h10M10 8l4 4-4 4M14 4h6v16h-6",
  undo: "M8.5 5.5L4 10l4.5 4.5M4 10h10a5 5 0 0 1 0 10h-3",
  redo: "M15.5 5.5L20 10l-4.5 4.5M20 10H10a5 5 0 0 0 0 10h3",
  tidy: "M4 5h6v5H4zM14 14h6v5h-6zM14 5h6v5h-6zM10 7.5h4M17 10v4",
  fit: "M4 9V4h5M20 9V4h-5M4 15v5h5M20 15v5h-5",
  minus: "M5 12h14",
};

/** An icon by its name, hidden from screen readers. */
export function flowIcon(name) {
  if (!PATHS[name]) return icon(name);
  const node = svg("svg", { viewBox: "0 0 24 24", class: `icon icon-${name}`, "aria-hidden": "true" });
  node.append(svg("path", { d: PATHS[name] }));
  return node;
}
