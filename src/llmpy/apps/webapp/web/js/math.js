// Formulas: $$..$$, \(..\), \[..\], and $..$ where it cannot be money, become MathML; the library is loaded at the first one.

const LONGEST = 4000; // characters of a formula; what is longer is text
const OPENS = /^ {0,3}(\$\$|\\\[)/;
let growing = false;
let temml = null;
let loading = null;

/** Whether the text that is lexed now may still grow: an open formula then waits for its end. */
export function setGrowing(value) { growing = value; }

const escapes = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
const escape = (text) => text.replace(/[&<>"]/g, (c) => escapes[c]);
const draw = (tex, raw, display) =>
  `<span class="math" data-display="${display ? 1 : 0}" data-tex="${escape(tex)}">${escape(raw)}</span>`;

function blockFormula(src) {
  const open = OPENS.exec(src);
  if (!open) return undefined;
  const begin = open[0].length;
  const end = src.slice(0, begin + LONGEST).indexOf(open[1] === "$$" ? "$$" : "\\]", begin);
  if (end < 0) {
    if (!growing || src.length > begin + LONGEST) return undefined;
    return { type: "openFormula", raw: src, text: src };
  }
  const rest = /^[ \t]*[.,;]?[ \t]*(?:\n+|$)/.exec(src.slice(end + 2));
  const text = src.slice(begin, end);
  if (!rest || !text.trim()) return undefined;
  return { type: "blockFormula", raw: src.slice(0, end + 2 + rest[0].length), text };
}

/** $x$ and $a_1 = b$, never money: it begins with no digit or space, and is a letter or has a sign of TeX. */
function singleDollar(src) {
  const found = /^\$([A-Za-z\\(|][^$\n]{0,200}?)\$(?![\w$])/.exec(src);
  if (!found || /\s$/.test(found[1])) return undefined;
  if (!/^[A-Za-z]$/.test(found[1]) && !/[\\^_=]/.test(found[1])) return undefined;
  return { type: "inlineFormula", raw: found[0], text: found[1], display: false };
}

function inlineFormula(src) {
  const dollar = singleDollar(src);
  if (dollar) return dollar;
  const found = /^\\\(([\s\S]{1,4000}?)\\\)/.exec(src) ?? /^\\\[([\s\S]{1,4000}?)\\\]/.exec(src)
    ?? /^\$\$([^$]{1,4000}?)\$\$/.exec(src);
  if (!found || !found[1].trim()) return undefined;
  return { type: "inlineFormula", raw: found[0], text: found[1], display: found[0][1] !== "(" };
}

export const mathExtensions = [
  {
    name: "blockFormula", level: "block",
    start(src) { return src.match(/\n {0,3}(\$\$|\\\[)/)?.index; },
    tokenizer: blockFormula,
    renderer({ text, raw }) { return `<p>${draw(text, raw.trim(), true)}</p>`; },
  },
  { name: "openFormula", level: "block", tokenizer() { return undefined; }, renderer({ text }) { return `<p>${escape(text)}</p>`; } },
  {
    name: "inlineFormula", level: "inline",
    start(src) { return src.match(/\\\(|\\\[|\$/)?.index; },
    tokenizer: inlineFormula,
    renderer({ text, raw, display }) { return draw(text, raw, display); },
  },
];

/** Turn the formulas in a fragment into MathML, now or when the library is there. */
export function drawFormulas(fragment) {
  const spans = [...fragment.querySelectorAll("span.math[data-tex]")];
  if (!spans.length) return;
  if (temml) for (const span of spans) drawOne(span);
  else load().then(() => {
    for (const span of document.querySelectorAll("span.math[data-tex]:not([data-drawn])")) drawOne(span);
  }, () => {});
}

function drawOne(span) {
  const { tex, display } = span.dataset;
  const raw = span.textContent;
  span.dataset.drawn = "1";
  span.title = tex;
  try {
    const markup = temml.renderToString(tex, { displayMode: display === "1", throwOnError: true, trust: false, maxExpand: 200, strict: false });
    // the page's policy refuses style attributes; set from a script they are allowed
    span.innerHTML = markup.replaceAll(' style="', ' data-style="');
    for (const styled of span.querySelectorAll("[data-style]")) {
      styled.style.cssText = styled.dataset.style;
      styled.removeAttribute("data-style");
    }
  } catch {
    span.textContent = raw; // not TeX that can be drawn: the source is better than an error
  }
}

function load() {
  loading ??= new Promise((resolve, reject) => {
    const style = Object.assign(document.createElement("link"), { rel: "stylesheet", href: new URL("../vendor/temml.css", import.meta.url) });
    const script = Object.assign(document.createElement("script"), { src: new URL("../vendor/temml.min.js", import.meta.url) });
    script.onload = () => { temml = globalThis.temml; resolve(); };
    script.onerror = () => { loading = null; reject(new Error("formulas cannot be drawn")); };
    document.head.append(style, script);
  });
  return loading;
}
