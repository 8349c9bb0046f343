// What a chat asks of its answers: the fields of the server, and those of the new chat until it is made.

import { preferences } from "./dom.js";
import { store } from "./store.js";

/** The fields of a chat; of the new one they are kept in this browser. */
export const fieldsOf = (id) => (id ? store.threads.get(id) ?? {} : preferences.get("new-chat", {}));

/** Change the fields of the new chat; null forgets them. */
export function changeNewChat(fields) { preferences.set("new-chat", fields && { ...fieldsOf(null), ...fields }); }

/** Whether answers of a chat are forms. */
export const hasForm = (id) => Boolean(fieldsOf(id).use_schema && fieldsOf(id).schema);
