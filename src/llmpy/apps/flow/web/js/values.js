// Values as they are shown: texts, numbers, lists, objects, charts.

import { h, svg } from "/web/js/dom.js";

const MOST_ITEMS = 200;

const short = (n) => (Number.isInteger(n) ? n.toLocaleString("en") : Number(n.toPrecision(5)).toString());

/** A value as an element. */
export function valueView(value, depth = 0) {
  if (value === null || value === undefined) return h("span.v-none", "nothing");
  if (typeof value === "string") return h("div.v-text", value);
  if (typeof value === "number") return h(depth ? "span.v-inline" : "div.v-number", short(value));
  if (typeof value === "boolean") return h(depth ? "span.v-inline" : "div.v-number", value ? "yes" : "no");
  if (depth > 6) return h("code.v-json", JSON.stringify(value).slice(0, 500));
  if (Array.isArray(value)) return listView(value, depth);
  if (["bars", "line"].includes(value.form) && Array.isArray(value.values) && Array.isArray(value.labels)) return chartView(value);
  return h("dl.v-object", Object.entries(value).slice(0, MOST_ITEMS).flatMap(([name, inner]) => [h("dt", name), h("dd", valueView(inner, depth + 1))]));
}

function listView(value, depth) {
  if (!value.length) return h("span.v-none", "an empty list");
  if (value.every((x) => typeof x === "number")) {
    const shown = value.slice(0, 12).map(short).join("  ");
    return h("div.v-numbers", shown, value.length > 12 ? ` … ${value.length} numbers` : "");
  }
  const items = value.slice(0, MOST_ITEMS).map((one) => h("li", valueView(one, depth + 1)));
  if (value.length > MOST_ITEMS) items.push(h("li.v-none", `… ${value.length - MOST_ITEMS} more`));
  return h("ol.v-list", items);
}

const WIDTH = 320;
const HEIGHT = 150;

/** Numbers as bars or as a line, and as a table for screen readers. */
export function chartView({ form, values, labels }) {
  const [low, high] = [Math.min(0, ...values), Math.max(0, ...values)];
  const foot = labels.length ? 22 : 6;
  const span = high - low || 1;
  const y = (v) => 14 + (HEIGHT - foot - 18) * (1 - (v - low) / span);
  const step = WIDTH / Math.max(1, values.length);
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, class: "chart", "aria-hidden": "true" });
  chart.append(svg("line", { x1: 0, x2: WIDTH, y1: y(0), y2: y(0), class: "chart-axis" }));
  if (form === "line") {
    chart.append(svg("path", { class: "chart-line", d: values.map((v, i) => `${i ? "L" : "M"}${((i + 0.5) * step).toFixed(1)} ${y(v).toFixed(1)}`).join("") }));
  } else {
    values.forEach((v, i) => {
      const wide = Math.max(1, Math.min(56, step * 0.68));
      chart.append(svg("rect", { x: (i + 0.5) * step - wide / 2, width: wide, y: Math.min(y(v), y(0)), height: Math.max(1, Math.abs(y(v) - y(0))), rx: Math.min(4, wide / 3), class: "chart-bar" }));
    });
  }
  if (values.length <= 12) {
    values.forEach((v, i) => {
      const number = svg("text", { x: (i + 0.5) * step, y: (v < 0 ? y(v) + 12 : y(v) - 4), class: "chart-value", "text-anchor": "middle" });
      number.textContent = short(v);
      chart.append(number);
      if (!labels.length) return;
      const name = svg("text", { x: (i + 0.5) * step, y: HEIGHT - 5, class: "chart-label", "text-anchor": "middle" });
      const room = Math.max(3, Math.floor(step / 6));
      name.textContent = labels[i].length > room ? `${labels[i].slice(0, room - 1)}…` : labels[i];
      chart.append(name);
    });
  }
  return h("div.v-chart", chart, h("table.offscreen", h("caption", "Values"), h("tbody", values.map((v, i) => h("tr", h("th", { scope: "row" }, labels[i] ?? String(i + 1)), h("td", short(v)))))));
}

/** A value as text, to be copied. */
export const valueText = (value) => (typeof value === "string" ? value : JSON.stringify(value, null, 2));
