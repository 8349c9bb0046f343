// All numbers of an answer, in a dialog.

import { count, h, seconds } from "./dom.js";
import { openDialog } from "./menu.js";

/** Show what an answer was made with, and how long it took. */
export function showDetails(message) {
  const { stats = {}, settings } = message;
  const rows = [
    ["Model", message.model],
    ["Prompt", stats.n_prompt !== undefined && `${count(stats.n_prompt)} tokens${stats.n_reused ? `, ${count(stats.n_reused)} of them kept from before` : ""}`],
    ["Answer", stats.n_generated !== undefined && `${count(stats.n_generated)} tokens${stats.n_thinking ? `, ${count(stats.n_thinking)} of them thinking` : ""}`],
    ["First token", stats.first_token_seconds && `after ${seconds(stats.first_token_seconds)}`],
    ["Writing", stats.tokens_per_second && `${stats.tokens_per_second.toFixed(1)} tokens/s`],
    ["Reading", stats.prompt_per_second && `${stats.prompt_per_second.toFixed(0)} tokens/s`],
    ["Time", stats.seconds && seconds(stats.seconds)],
    ["Context", stats.n_ctx && `${count(stats.n_used ?? 0)} of ${count(stats.n_ctx)} tokens`],
    ["Ended", stats.finish_reason && ({ end: "by the model", stop: "at a stop text", length: "at the longest length", tool_calls: "with calls" }[stats.finish_reason] ?? stats.finish_reason)],
    ...Object.entries(settings ?? {}).map(([k, v]) => [k, v !== null && v !== undefined && v !== "" && (Array.isArray(v) ? v.join(", ") : String(v))]),
  ].filter(([, v]) => v);
  openDialog("This answer", () => h("dl.facts", rows.flatMap(([k, v]) => [h("dt", k), h("dd", v)])));
}
