// Laying out a flow in columns: each node right of all that it gets values from.

import { graph } from "./graph.js";
import { heightOf, WIDTH } from "./node.js";

const ACROSS = 90;
const DOWN = 36;

/** Give nodes places in columns, ordered so that few wires cross. */
export function tidy() {
  const nodes = [...graph.nodes.values()].sort((a, b) => a.y - b.y);
  const before = new Map(nodes.map((n) => [n.id, []]));
  for (const e of graph.edges) before.get(e.target)?.push(e);
  const column = new Map();
  const depth = (id, path = new Set()) => {
    if (column.has(id)) return column.get(id);
    if (path.has(id)) return 0;
    path.add(id);
    const found = Math.max(0, ...before.get(id).map((e) => depth(e.source, path) + 1));
    path.delete(id);
    column.set(id, found);
    return found;
  };
  for (const n of nodes) depth(n.id);
  for (const n of nodes) { // what begins the flow stands just before what it goes to
    const after = graph.edges.filter((e) => e.source === n.id).map((e) => column.get(e.target));
    if (!before.get(n.id).length && after.length) column.set(n.id, Math.max(0, Math.min(...after) - 1));
  }
  const columns = [];
  for (const n of nodes) (columns[column.get(n.id)] ??= []).push(n);
  const rank = new Map();
  columns.forEach((found) => found?.forEach((n, i) => rank.set(n.id, i)));
  for (let round = 0; round < 4; round += 1) {
    columns.forEach((found) => {
      if (!found) return;
      const weight = (n) => {
        const near = graph.edges.flatMap((e) => (e.target === n.id ? [rank.get(e.source)] : e.source === n.id ? [rank.get(e.target)] : []));
        return near.length ? near.reduce((a, b) => a + b) / near.length : rank.get(n.id);
      };
      const weights = new Map(found.map((n) => [n, weight(n)]));
      found.sort((a, b) => weights.get(a) - weights.get(b));
      found.forEach((n, i) => rank.set(n.id, i));
    });
  }
  const tall = (found) => found.reduce((sum, n) => sum + heightOf(n) + DOWN, -DOWN);
  const most = Math.max(0, ...columns.filter(Boolean).map(tall));
  columns.forEach((found, i) => {
    let y = found ? (most - tall(found)) / 2 : 0;
    found?.forEach((n) => {
      n.x = i * (WIDTH + ACROSS);
      n.y = Math.round(y / 10) * 10;
      y += heightOf(n) + DOWN;
    });
  });
}
