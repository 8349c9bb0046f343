// The menu of a chat: pin, rename, move, export, delete.

import { download } from "./api.js";
import { askText, openMenu } from "./menu.js";
import { attempt, removeWithUndo, selectFrom, titleOf } from "./sidebar.js";
import { changeThread, store } from "./store.js";

export function rowMenu(button, thread) {
  const name = titleOf(thread);
  const take = (form, end) => attempt(download(`/app/threads/${thread.id}/export?form=${form}`, `${fileName(name)}.${end}`));
  openMenu(button, [
    { icon: "pin", label: thread.pinned ? "Unpin" : "Pin", run: () => attempt(changeThread(thread.id, { pinned: !thread.pinned })) },
    { icon: "edit", label: "Rename", run: () => rename(thread) },
    { icon: "folder", label: thread.folder ? "Move to another folder" : "Move to a folder", run: () => move(thread) },
    { icon: "download", label: "Export as Markdown", run: () => take("md", "md") },
    { icon: "download", label: "Export as JSON", run: () => take("json", "json") },
    { icon: "download", label: "Export for local.ai (.l.mdx)", run: () => take("mdx", "l.mdx") },
    { icon: "check", label: "Select several", run: () => selectFrom(thread.id) },
    null,
    { icon: "trash", label: "Delete", danger: true, run: () => removeWithUndo([thread.id], true) },
  ]);
}

const fileName = (text) => text.replace(/[^\p{L}\p{N} _.-]+/gu, "").trim().slice(0, 60) || "chat";

async function rename(thread) {
  const title = await askText("Rename chat", "Title", titleOf(thread));
  if (title) attempt(changeThread(thread.id, { title }));
}

async function move(thread) {
  const folders = [...new Set([...store.threads.values()].map((t) => t.folder).filter(Boolean))];
  const folder = await askText("Move to a folder", "Folder", thread.folder ?? "", { button: "Move", suggestions: folders, hint: "A new name makes a new folder; nothing takes it out of its folder." });
  if (folder !== null) attempt(changeThread(thread.id, { folder: folder || null }));
}
