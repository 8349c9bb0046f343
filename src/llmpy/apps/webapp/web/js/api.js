// Requests to the server: JSON, event streams, the key.

import { preferences } from "./dom.js";

/** What the server answered instead of a result: `message` for people, `code` for programs, `status` 0 without a server. */
export class ApiError extends Error {
  constructor(status, error) {
    super(error.message);
    Object.assign(this, error, { status, code: error.code ?? null });
  }
}

const headers = () => {
  const key = preferences.get("key");
  return key ? { Authorization: `Bearer ${key}` } : {};
};

async function send(method, path, { body, signal, raw, type } = {}) {
  const options = { method, headers: headers(), signal };
  if (body !== undefined) {
    options.headers["Content-Type"] = type ?? "application/json";
    options.body = type ? body : JSON.stringify(body);
  }
  let response;
  try {
    response = await fetch(path, options);
  } catch (problem) {
    if (signal?.aborted) throw problem;
    throw new ApiError(0, { message: "The server does not answer. It may have been stopped.", code: "no_server" });
  }
  if (!response.ok) {
    let error = {};
    try { error = (await response.json()).error ?? {}; } catch { /* not JSON */ }
    throw new ApiError(response.status, { message: `${response.status} ${response.statusText}`, ...error });
  }
  if (raw) return response;
  return response.status === 204 ? null : response.json();
}

export const get = (path, options) => send("GET", path, options);
export const post = (path, body = {}, options = {}) => send("POST", path, { body, ...options });

let last = Promise.resolve();

/** Changes are made one after another, in the order in which they were asked for. */
export function patch(path, body) {
  const mine = last.then(() => send("PATCH", path, { body }));
  last = mine.catch(() => {});
  return mine;
}

/** Resolves once all changes that were asked for are made. */
export const patched = () => last;
export const remove = (path) => send("DELETE", path);

/** Save the answer to a request as a file. */
export async function download(path, name) {
  const response = await send("GET", path, { raw: true });
  const url = URL.createObjectURL(await response.blob());
  const link = Object.assign(document.createElement("a"), { href: url, download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 10000);
}

/** Read an event stream to its end: `onEvent(kind, data, id)` for each event; `onOpen` once it is open. */
export async function readEvents(path, onEvent, { signal, onOpen } = {}) {
  const response = await send("GET", path, { raw: true, signal });
  onOpen?.();
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const events = (rest + value.replaceAll("\r\n", "\n")).split("\n\n");
    rest = events.pop();
    for (const event of events) {
      let kind = "message";
      let id = null;
      let data = "";
      for (const line of event.split("\n")) {
        if (line.startsWith("event:")) kind = line.slice(6).trim();
        else if (line.startsWith("id:")) id = Number(line.slice(3));
        else if (line.startsWith("data:")) data += line.slice(5);
      }
      if (data) onEvent(kind, JSON.parse(data), id);
    }
  }
}
