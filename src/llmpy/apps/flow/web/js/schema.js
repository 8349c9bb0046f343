// The editor of schemas: fields with their types, or the schema as JSON.

import { h, iconButton } from "/web/js/dom.js";

const TYPES = [
  ["text", "text", () => ({ type: "string" })],
  ["number", "number", () => ({ type: "number" })],
  ["whole", "whole number", () => ({ type: "integer" })],
  ["yesno", "yes or no", () => ({ type: "boolean" })],
  ["choice", "one of", () => ({ enum: ["yes", "no"] })],
  ["texts", "list of texts", () => ({ type: "array", items: { type: "string" }, maxItems: 8 })],
  ["numbers", "list of numbers", () => ({ type: "array", items: { type: "number" }, minItems: 1, maxItems: 20 })],
];

function typeOf(schema) {
  if (Array.isArray(schema?.enum)) return "choice";
  if (schema?.type === "array") return { string: "texts", number: "numbers" }[schema.items?.type] ?? null;
  return { string: "text", number: "number", integer: "whole", boolean: "yesno" }[schema?.type] ?? null;
}

const isSimple = (schema) => schema?.type === "object" && Object.values(schema.properties ?? {}).every(typeOf);

/** An editor of a schema; `set` is told of each valid change. */
export function schemaEditor(id, schema, set) {
  const place = h("div.schema");
  let asJson = !isSimple(schema);

  function give(changed) { schema = changed; set(changed); }

  function giveRows(rows) {
    const named = rows.filter(([name]) => name);
    give({ ...schema, type: "object", properties: Object.fromEntries(named), required: named.map(([name]) => name), additionalProperties: false });
  }

  function draw() {
    const toggle = h("button.text-button", { type: "button", onclick: () => { asJson = !asJson; draw(); }, disabled: asJson && !isSimple(schema) }, asJson ? "Edit as fields" : "Edit as JSON");
    place.replaceChildren(asJson ? drawJson() : drawRows(), toggle);
  }

  function drawJson() {
    const area = h("textarea.input.code-input", { id, rows: "10", spellcheck: "false", value: JSON.stringify(schema, null, 2), oninput: () => {
      let found = null;
      try { found = JSON.parse(area.value); } catch { /* while it is typed */ }
      const good = found && typeof found === "object" && !Array.isArray(found);
      area.setAttribute("aria-invalid", String(!good));
      if (good) give(found);
    } });
    return area;
  }

  function drawRows() {
    const rows = Object.entries(schema.properties ?? {});
    const box = h("div.schema-rows", { role: "group", "aria-label": "Fields of the answer" });
    rows.forEach((row, i) => {
      const name = h("input.input", { value: row[0], "aria-label": `Name of field ${i + 1}`, id: i ? null : id, autocomplete: "off", oninput: () => {
        const taken = rows.some((other, j) => j !== i && other[0] === name.value.trim());
        name.setAttribute("aria-invalid", String(taken || !name.value.trim()));
        if (!taken && name.value.trim()) { row[0] = name.value.trim(); giveRows(rows); }
      } });
      const type = h("select.input", { "aria-label": `Type of field ${i + 1}`, onchange: () => {
        row[1] = TYPES.find(([key]) => key === type.value)[2]();
        giveRows(rows);
        draw();
      } }, TYPES.map(([key, words]) => h("option", { value: key, selected: key === typeOf(row[1]) }, words)));
      box.append(h("div.schema-row", name, type, iconButton("close", `Remove the field ${row[0]}`, () => { rows.splice(i, 1); giveRows(rows); draw(); }, ".small")));
      if (typeOf(row[1]) === "choice") {
        box.append(h("input.input.schema-choices", { value: row[1].enum.join(", "), "aria-label": `Choices of field ${i + 1}`, oninput: (e) => {
          const found = e.target.value.split(",").map((s) => s.trim()).filter(Boolean);
          if (found.length) { row[1] = { enum: [...new Set(found)] }; giveRows(rows); }
        } }));
      }
    });
    box.append(h("button.button.small", { type: "button", onclick: () => {
      let n = rows.length + 1;
      while (rows.some(([name]) => name === `field${n}`)) n += 1;
      rows.push([`field${n}`, { type: "string" }]);
      giveRows(rows);
      draw();
      [...place.querySelectorAll(".schema-row input")].at(-1).select();
    } }, "Add a field"));
    return box;
  }

  draw();
  return place;
}
