// The kinds of nodes that the server has, and words about types.

/** Kinds by name, filled when the page starts. */
export const kinds = new Map();
/** What the server said of itself: models, what is off, examples. */
export const server = { models: [], embedders: [], off: {}, examples: [], default: null, embedder: null };

const WORDS = { json: "object", any: "any", boolean: "yes/no" };

/** A type as people read it: "list of texts". */
export function typeWords(type) {
  const inner = /^list\[(.*)\]$/.exec(type)?.[1];
  if (inner === undefined) return WORDS[type] ?? type;
  return inner === "any" ? "list" : `list of ${typeWords(inner)}s`;
}

/** CSS classes of a type: its innermost type gives the colour. */
export function typeClass(type) {
  const inner = type.replace(/^(list\[)+/, "").replace(/\]+$/, "");
  return `t-${/^[a-z]+$/.test(inner) ? inner : "any"}${inner === type ? "" : " list"}`;
}

/** Settings of a node with the defaults of its kind. */
export const settings = (node) => Object.fromEntries((kinds.get(node.type)?.fields ?? []).map((f) => [f.name, node.data[f.name] === undefined ? f.default : node.data[f.name]]));

/** What people call a node. */
export const nameOf = (node) => node.title || kinds.get(node.type)?.title || node.type;

const LABELS = { n_ctx: "Context", way: "The model should", each: "Settings for each item", then: "Then", seconds: "Limit in seconds", megabytes: "Limit in MB", passages: "How many passages", max_tokens: "Most tokens", budget: "Context in tokens", lines: "Items, one a line" };
const CHOICES = { answer: "answer the prompt", continue: "continue the text", structured: "structured generate", text: "keep the text", http: "HTTP get", python: "Python function" };

/** The label of a setting, and of a choice. */
export const label = (name) => LABELS[name] ?? name.replaceAll("_", " ").replace(/^./, (c) => c.toUpperCase());
export const choiceWords = (name) => CHOICES[name] ?? name;
