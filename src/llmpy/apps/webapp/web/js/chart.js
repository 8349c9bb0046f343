// The benchmark of a model beside what the memory of the machine allows, as bars in SVG and as a table.

import { bytes, count, h, svg } from "./dom.js";

const WIDTH = 640;
const LABEL = 150;
const ROW = 34;

const round = (n) => (n >= 100 ? count(Math.round(n)) : n.toFixed(1));

function bars(rows, top) {
  const height = rows.length * ROW + 6;
  const scale = (WIDTH - LABEL - 90) / top;
  const chart = svg("svg", { viewBox: `0 0 ${WIDTH} ${height}`, class: "chart", "aria-hidden": "true" });
  rows.forEach(({ label, value, kind }, i) => {
    const y = i * ROW + 4;
    const width = Math.max(2, value * scale);
    const name = svg("text", { x: LABEL - 12, y: y + 17, class: "chart-label", "text-anchor": "end" });
    name.textContent = label;
    const number = svg("text", { x: LABEL + width + 8, y: y + 17, class: "chart-value" });
    number.textContent = round(value);
    chart.append(name, svg("rect", { x: LABEL, y, width, height: ROW - 10, rx: 5, class: `chart-bar ${kind}` }), number);
  });
  return chart;
}

/** Chart and table of a finished benchmark. */
export function benchmarkChart({ result }) {
  const { decode, prefill, machine, weights } = result;
  const decodeRows = (decode.points ?? []).map(([n, speed]) => ({ label: `after ${count(n)} tokens`, value: speed, kind: "ours" }));
  if (!decodeRows.length) decodeRows.push({ label: "writing", value: decode.tokens_per_second, kind: "ours" });
  if (decode.limit) decodeRows.push({ label: "limit of the memory", value: decode.limit, kind: "limit" });
  const prefillRows = (prefill.points ?? []).map(([n, speed]) => ({ label: `${count(n)} tokens`, value: speed, kind: "ours" }));
  if (!prefillRows.length) prefillRows.push({ label: "reading", value: prefill.tokens_per_second, kind: "ours" });
  const share = decode.limit ? ` That is ${Math.round((100 * decode.tokens_per_second) / decode.limit)} % of what ${bytes(machine.bytes_per_second)}/s of memory allow for ${bytes(weights)} of weights.` : "";
  const part = (title, rows) => h("figure.figure", h("figcaption", title), bars(rows, Math.max(...rows.map((r) => r.value))));
  return h("div.benchmark",
    h("p", `It writes ${round(decode.tokens_per_second)} tokens/s and reads ${round(prefill.tokens_per_second)} tokens/s with ${machine.n_threads} threads.${share}`),
    part("Writing, tokens/s", decodeRows), part("Reading a prompt, tokens/s", prefillRows),
    h("table.offscreen", h("caption", "Benchmark in tokens per second"), h("tbody", [...decodeRows.map((r) => ["Writing", r]), ...prefillRows.map((r) => ["Reading", r])].map(([what, r]) =>
      h("tr", h("th", { scope: "row" }, `${what}, ${r.label}`), h("td", round(r.value)))))));
}
