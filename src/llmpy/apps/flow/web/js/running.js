// Runs: they are begun at the server, and what happens is shown at the nodes.

import { post, readEvents, remove } from "/web/js/api.js";
import { polite, say } from "/web/js/dom.js";
import { emit, graph, toJSON } from "./graph.js";
import { nameOf } from "./kinds.js";

let current = null; // {id, abort}

export const isRunning = () => current !== null;

const change = (node, fields) => {
  node.run = { ...(node.run ?? {}), ...fields, version: (node.run?.version ?? 0) + 1 };
};

/** Run all nodes, or `targets` and what they need; nodes of `fresh` not from the cache. */
export async function run({ targets = [], fresh = [] } = {}) {
  if (current) return;
  if (!graph.nodes.size) { say("There is nothing to run yet: press A to add a node."); return; }
  current = { id: null, abort: new AbortController() };
  for (const node of graph.nodes.values()) node.complained = true;
  emit("run");
  try {
    const started = await post("/flow/runs", { ...toJSON(), targets, fresh });
    if (current.stopped) { await remove(`/flow/runs/${started.run}`); return; }
    current.id = started.run;
    await readEvents(`/flow/runs/${started.run}`, take, { signal: current.abort.signal });
  } catch (problem) {
    if (!current.abort.signal.aborted) say(problem.message, true);
    for (const node of graph.nodes.values()) if (["waiting", "running"].includes(node.run?.state)) change(node, { state: "stopped" });
  } finally {
    current = null;
    emit("run");
  }
}

/** Stop what runs. */
export async function stop() {
  if (!current) return;
  current.stopped = true;
  if (!current.id) return;
  try { await remove(`/flow/runs/${current.id}`); } catch (problem) { say(problem.message, true); }
}

function take(kind, what) {
  if (kind === "end") { ended(what); return; }
  const node = graph.nodes.get(what.node);
  if (!node) return;
  const { data } = what;
  if (kind === "waiting") change(node, { state: kind, stale: false, was: node.run?.values, text: "", progress: null, stats: null, error: null, stage: "" });
  else if (kind === "running") change(node, { state: kind, text: "", values: null });
  else if (kind === "text") change(node, { text: (node.run?.text ?? "") + data });
  else if (kind === "stage") change(node, { stage: data });
  else if (kind === "progress") change(node, { progress: data });
  else if (kind === "stats") change(node, { stats: data });
  else if (kind === "done" || kind === "cached") change(node, { state: kind, values: data.values, seconds: data.seconds, text: "" });
  else if (kind === "error") change(node, { state: kind, error: data, values: null });
  else if (kind === "skipped") change(node, { state: kind, why: data, values: null });
  else if (kind === "stopped") change(node, { state: kind });
  emit("run", node);
}

function ended({ state, error }) {
  if (state === "error") {
    const failed = [...graph.nodes.values()].find((n) => n.run?.state === "error");
    if (!failed) say(error, true);
    polite(`The flow failed: ${failed ? `${nameOf(failed)}: ${failed.run.error}` : error}`);
  } else polite(state === "stopped" ? "The flow was stopped" : "The flow has ended");
}

let timer = 0;
let number = 0;

/** Ask the server for the types of ports and for what is wrong, soon. */
export function checkSoon() {
  clearTimeout(timer);
  timer = setTimeout(check, 90);
}

async function check() {
  const mine = number += 1;
  const flow = toJSON();
  const edges = [...graph.edges];
  let found;
  try { found = await post("/flow/check", flow); } catch (problem) { if (problem.status) say(problem.message, true); return; }
  if (mine !== number) return;
  for (const [id, { inputs, outputs, problem }] of Object.entries(found.nodes)) {
    const node = graph.nodes.get(id);
    if (!node) continue;
    const ports = { inputs, outputs };
    if ((inputs.length || outputs.length || !problem) && JSON.stringify(ports) !== JSON.stringify(node.ports)) node.ports = ports;
    node.problem = problem;
  }
  edges.forEach((edge, i) => { edge.problem = found.edges[i] ?? null; });
  emit("check");
}

