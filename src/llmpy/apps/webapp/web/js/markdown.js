// Markdown to DOM while it grows: finished blocks are frozen, only the last one is drawn again.
//
// HTML in the text is shown as text. Everything that marked writes still passes DOMPurify. What is a formula
// and what is money is decided in math.js.

import { Marked, Lexer, Parser } from "../vendor/marked.esm.js";
import "../vendor/purify.min.js";
import { h, icon } from "./dom.js";
import { colourLater, coloured } from "./highlight.js";
import { drawFormulas, mathExtensions, setGrowing } from "./math.js";

const LONGEST_MARKDOWN = 20000; // characters of one paragraph; a longer one is shown as plain text
const MOST_MARKS = 500; // of one kind in a paragraph: looking for their pairs takes the square of their number
const CHUNK = 4000; // characters of such a text in one box, so that growing lays out only the last

const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
const escape = (text) => text.replace(/[&<>"']/g, (c) => escapes[c]);
const SAFE_LINK = /^(https?:|mailto:|#)/i;
const CLOSED = /^ {0,3}(`{3,}|~{3,})[^\n]*\n[\s\S]*?(?:^|\n) {0,3}\1[`~]* *\n?$/;

const marked = new Marked({ gfm: true, breaks: false });
marked.use({
  tokenizer: {
    html() { return undefined; },
    tag() { return undefined; },
    del(src) {
      const found = /^~~(?=\S)([\s\S]*?\S)~~(?!~)/.exec(src);
      return found ? { type: "del", raw: found[0], text: found[1], tokens: this.lexer.inlineTokens(found[1]) } : undefined;
    },
  },
  renderer: {
    html({ text }) { return escape(text); },
    code({ text, lang, raw }) {
      const name = (lang || "").trim().split(/\s+/)[0];
      return `<pre data-lang="${escape(name)}" data-closed="${CLOSED.test(raw) ? 1 : 0}"><code>${escape(text)}\n</code></pre>`;
    },
    heading({ depth, tokens }) { // one level for all: answers skip levels, pages must not
      return `<h2 class="h${depth}">${this.parser.parseInline(tokens)}</h2>\n`;
    },
    link({ href, title, tokens }) {
      const text = this.parser.parseInline(tokens);
      if (!SAFE_LINK.test(href)) return text;
      return `<a href="${escape(href)}"${title ? ` title="${escape(title)}"` : ""}>${text}</a>`;
    },
    image({ href, text }) {
      const label = escape(text || "image");
      return SAFE_LINK.test(href) ? `<a href="${escape(href)}">${label}</a>` : label;
    },
    checkbox({ checked }) { return `<span class="box">${checked ? "☑" : "☐"}</span> `; },
    table(token) {
      const cell = (c, kind, i) => {
        const tag = c.text.trim() ? kind : "td"; // a heading without text is none
        const align = token.align[i];
        return `<${tag}${align ? ` align="${align}"` : ""}>${this.parser.parseInline(c.tokens)}</${tag}>`;
      };
      const row = (cells, tag) => `<tr>${cells.map((c, i) => cell(c, tag, i)).join("")}</tr>`;
      const body = token.rows.map((r) => row(r, "td")).join("");
      return `<div class="table" tabindex="0" role="region" aria-label="Table"><table><thead>${row(token.header, "th")}</thead><tbody>${body}</tbody></table></div>`;
    },
  },
  extensions: mathExtensions,
});

const purifier = globalThis.DOMPurify;
const ALLOWED = {
  ALLOWED_TAGS: ["p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "blockquote", "pre", "code", "em",
    "strong", "del", "a", "table", "thead", "tbody", "tr", "th", "td", "span", "div"],
  ALLOWED_ATTR: ["href", "title", "class", "align", "start", "tabindex", "role", "aria-label"],
  RETURN_DOM_FRAGMENT: true,
};

function isHeavy(src) {
  let emphasis = 0;
  let brackets = 0;
  let ticks = 0;
  for (let i = 0; i < src.length; i += 1) {
    const c = src[i];
    if (c === "*" || c === "_" || c === "~") emphasis += 1;
    else if (c === "[" || c === "!") brackets += 1;
    else if (c === "`") ticks += 1;
  }
  return emphasis > MOST_MARKS || brackets > MOST_MARKS || ticks > MOST_MARKS;
}

/** Block tokens of a text; paragraphs beyond the limit keep their text unparsed. */
function lex(text, growing) {
  setGrowing(growing);
  const lexer = new Lexer(marked.defaults);
  lexer.blockTokens(text.replace(/\r\n?/g, "\n"), lexer.tokens);
  for (const { src, tokens } of lexer.inlineQueue) {
    if (src.length <= LONGEST_MARKDOWN && !isHeavy(src)) lexer.inlineTokens(src, tokens);
    else tokens.push({ type: "text", raw: src, text: src, long: true });
  }
  lexer.inlineQueue = [];
  setGrowing(false);
  return lexer.tokens;
}

/** The DOM of one block token. */
function draw(token, links) {
  if (token.tokens?.[0]?.long) return longText(token.text);
  const tokens = [token];
  tokens.links = links;
  const html = Parser.parse(tokens, marked.defaults);
  const fragment = purifier.sanitize(html, ALLOWED);
  for (const link of fragment.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const node of fragment.querySelectorAll("p, li, h1, h2, h3, h4, h5, h6, td, th, blockquote")) node.dir = "auto";
  for (const pre of fragment.querySelectorAll("pre")) enhance(pre);
  drawFormulas(fragment);
  return fragment;
}

/** Very long text without markup, in boxes. */
function longText(text) {
  const box = h("div.long-text", { dir: "auto" });
  for (let i = 0; i < text.length; i += CHUNK) box.append(h("div", text.slice(i, i + CHUNK)));
  return box;
}

/** A fenced block with its bar: language left, wrap and copy right. */
function enhance(pre) {
  const { lang, closed } = pre.dataset;
  const code = pre.firstElementChild;
  const text = code.textContent;
  const spans = closed === "1" ? coloured(lang, text) : null;
  if (spans) code.replaceChildren(...spans);
  else if (text.length > LONGEST_MARKDOWN) inBoxes(code, text);
  pre.tabIndex = 0;
  pre.setAttribute("role", "region");
  pre.setAttribute("aria-label", lang ? `Code, ${lang}` : "Code");
  const bar = h("div.code-bar",
    h("span.code-lang", lang || "text"),
    h("button", { type: "button", "data-do": "wrap", "aria-label": "Wrap lines", title: "Wrap lines" }, icon("wrap")),
    h("button", { type: "button", "data-do": "copy-code", "aria-label": "Copy code", title: "Copy code" }, icon("copy")));
  const figure = h("div.code", { dir: "ltr" });
  figure.dataset.closed = closed;
  figure.dataset.lang = lang;
  pre.replaceWith(figure);
  figure.append(bar, pre);
}

function inBoxes(code, text) {
  code.textContent = "";
  for (let i = 0; i < text.length;) {
    let end = text.indexOf("\n", i + CHUNK) + 1;
    if (end === 0 || end - i > 4 * CHUNK) end = Math.min(text.length, i + CHUNK);
    code.append(h("span.code-part", text.slice(i, end)));
    i = end;
  }
}

/** Change `old` into `fresh` and touch as little as possible, so that nodes and selections stay. */
export function morph(old, fresh) {
  const next = [...fresh.childNodes];
  next.forEach((node, i) => {
    const have = old.childNodes[i];
    if (!have) old.append(node);
    else if (have.nodeType === 3 && node.nodeType === 3) {
      changeText(have, node.data);
    } else if (have.nodeName !== node.nodeName || have.nodeType !== 1) have.replaceWith(node);
    else if (!have.isEqualNode(node)) { sameAttributes(have, node); morph(have, node); }
  });
  while (old.childNodes.length > next.length) old.lastChild.remove();
}

/** Replace only what differs at the end: selections before it stay. */
function changeText(node, text) {
  const { data } = node;
  if (data === text) return;
  let same = text.startsWith(data) ? data.length : 0;
  if (!same) while (same < data.length && data[same] === text[same]) same += 1;
  node.replaceData(same, data.length - same, text.slice(same));
}

function sameAttributes(have, node) {
  for (const { name, value } of node.attributes) {
    if (have.getAttribute(name) === value) continue;
    if (name === "style") have.style.cssText = value; // as an attribute the page's policy refuses it
    else have.setAttribute(name, value);
  }
  for (const { name } of [...have.attributes]) if (!node.hasAttribute(name) && name !== "data-wrap") have.removeAttribute(name);
}

const isDone = (token) => token.type === "code" && /\n$/.test(token.raw) && CLOSED.test(token.raw);

/** Markdown in an element. `grow` while text arrives, `finish` when it is all there. */
export class MarkdownView {
  constructor(element) {
    this.element = element;
    this.reset();
  }

  reset() {
    this.text = "";
    this.frozen = 0; // characters whose blocks stay as they are
    this.blocks = []; // {raw, nodes} of frozen blocks
    this.tail = null; // element of the blocks that may still change
    this.cost = 0; // milliseconds of the last drawing
    this.element.replaceChildren();
  }

  /** Show `text`, of which more may follow. It normally begins with the text shown before. */
  grow(text) {
    if (!text.startsWith(this.text)) this.reset();
    this.text = text;
    const start = performance.now();
    const tokens = lex(text.slice(this.frozen), true);
    let done = tokens.findLastIndex((t) => t.type !== "space");
    if (done >= 0 && isDone(tokens[done])) done += 1;
    for (const token of tokens.slice(0, Math.max(done, 0))) this.freeze(token, tokens.links);
    this.drawTail(tokens.slice(Math.max(done, 0)), tokens.links);
    this.cost = performance.now() - start;
  }

  /** Put a block where it stays; the nodes it had as the last block are kept. */
  freeze(token, links) {
    this.frozen += token.raw.length;
    if (token.type === "space") return;
    this.drawTail([token], links);
    this.blocks.push({ raw: token.raw, nodes: [...(this.tail?.childNodes ?? [])], element: this.tail });
    this.tail = null;
    this.later(this.blocks.at(-1), token, links);
  }

  drawTail(tokens, links) {
    const shown = tokens.filter((t) => t.type !== "space" && t.type !== "def");
    if (!shown.length) { this.tail?.replaceChildren(); return; }
    const fragment = document.createDocumentFragment();
    for (const token of shown) fragment.append(draw(token, links));
    if (!this.tail) { this.tail = h("div.block"); this.element.append(this.tail); }
    morph(this.tail, fragment);
  }

  /** Colour the code of a block once the highlighter is there. */
  later(block, token, links) {
    if (!block.element) return;
    colourLater(block.element, () => morph(block.element, draw(token, links)));
  }

  /** All text is there: settle the last block, and mend what later text changed in earlier blocks. */
  finish(text) {
    if (!text.startsWith(this.text)) this.reset();
    this.text = text;
    const tokens = lex(text, false);
    const shown = tokens.filter((t) => t.type !== "space" && t.type !== "def");
    const redo = Object.keys(tokens.links ?? {}).length > 0;
    const old = this.blocks;
    if (this.tail) old.push({ raw: null, element: this.tail });
    this.tail = null;
    this.blocks = [];
    shown.forEach((token, i) => {
      const have = old[i];
      const element = have?.element ?? h("div.block");
      if (!have) this.element.append(element);
      if (!have || redo || have.raw !== token.raw) {
        const fragment = document.createDocumentFragment();
        fragment.append(draw(token, tokens.links));
        morph(element, fragment);
      }
      this.blocks.push({ raw: token.raw, element });
      this.later(this.blocks[i], token, tokens.links);
    });
    for (const { element } of old.slice(shown.length)) element?.remove();
    this.frozen = text.length;
  }
}
