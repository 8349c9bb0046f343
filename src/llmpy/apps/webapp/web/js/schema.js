// What a chat asks of its answers beside the server's fields: a schema, kept in this browser; fields of a new chat.

import { preferences } from "./dom.js";

/** The schema of a chat: {text, on}. */
export const schemaOf = (key) => preferences.get(`schema.${key}`, { text: "", on: false });

/** The schema that answers follow now, or null. */
export function activeSchema(key) {
  const { text, on } = schemaOf(key);
  if (!on || !text.trim()) return null;
  try { return JSON.parse(text); } catch { return null; }
}

/** The fields of a chat that does not exist yet; it gets them when it is made. */
export const draftFields = {};
