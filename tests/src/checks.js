// What a person with a keyboard, a screen reader, a phone or weak eyes would stumble over; returns a list of texts.
const problems = [];
const name = (element) => {
  const text = (element.textContent || "").trim().replace(/\s+/g, " ").slice(0, 60);
  return `<${element.tagName.toLowerCase()}${element.className && element.className.baseVal === undefined ? "." + element.className : ""}> ${text}`;
};
const parse = (text) => {
  const numbers = (text.match(/[\d.]+/g) || []).map(Number);
  return { r: numbers[0], g: numbers[1], b: numbers[2], a: numbers.length > 3 ? numbers[3] : 1 };
};
const over = (top, below) => ({
  r: top.r * top.a + below.r * (1 - top.a), g: top.g * top.a + below.g * (1 - top.a),
  b: top.b * top.a + below.b * (1 - top.a), a: 1,
});
const light = ({ r, g, b }) => {
  const [x, y, z] = [r, g, b].map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
  return 0.2126 * x + 0.7152 * y + 0.0722 * z;
};
const contrast = (a, b) => {
  const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
  return (high + 0.05) / (low + 0.05);
};
const ground = (element) => {
  const layers = [];
  const box = element.closest("svg .node")?.querySelector("rect");
  if (box) layers.push(parse(getComputedStyle(box).fill));
  for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
  return layers.reduceRight((below, top) => over(top, below), { r: 255, g: 255, b: 255, a: 1 });
};

// Contrast of every text that is drawn (WCAG 1.4.3).
const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
const seen = new Set();
for (let node = walker.nextNode(); node; node = walker.nextNode()) {
  const element = node.parentElement;
  if (!node.data.trim() || seen.has(element) || element.closest("title, desc, script, .hidden, .skip")) continue;
  seen.add(element);
  if (!element.checkVisibility() || element.getClientRects().length === 0) continue;
  const style = getComputedStyle(element);
  const svg = element instanceof SVGElement;
  const below = ground(element);
  const ink = over(parse(svg ? style.fill : style.color), below);
  const size = parseFloat(style.fontSize);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  const ratio = contrast(ink, below);
  if (ratio < (large ? 3 : 4.5)) problems.push(`contrast ${ratio.toFixed(2)}: ${name(element)}`);
}

// Nothing makes the page itself scroll sideways (1.4.10); what scrolls in its box can be reached by keyboard (2.1.1).
if (document.documentElement.scrollWidth > innerWidth) {
  const wide = [...document.body.querySelectorAll("*")].filter((element) =>
    element.getBoundingClientRect().right > innerWidth + 1 && !element.closest(".scroll, pre"));
  problems.push(`the page is ${document.documentElement.scrollWidth} wide in ${innerWidth}: ${wide.slice(0, 3).map(name).join(" | ")}`);
}
for (const element of document.body.querySelectorAll("*")) {
  const style = getComputedStyle(element);
  const scrolls = /auto|scroll/.test(style.overflowX) && element.scrollWidth > element.clientWidth + 1;
  if (scrolls && !(element.tabIndex >= 0 && element.getAttribute("aria-label"))) problems.push(`cannot be scrolled by keyboard: ${name(element)}`);
}

// Names (1.1.1, 2.4.4, 4.1.2).
for (const control of document.querySelectorAll("input:not([type=hidden]), select, textarea")) {
  if (!control.labels?.length && !control.getAttribute("aria-label")) problems.push(`no label: ${name(control)}`);
}
for (const control of document.querySelectorAll("a[href], button, summary")) {
  const text = control.textContent.trim() || control.getAttribute("aria-label") || control.querySelector("img")?.alt;
  if (!text) problems.push(`no name: ${control.outerHTML.slice(0, 100)}`);
}
for (const image of document.querySelectorAll("img")) if (!image.hasAttribute("alt")) problems.push("an image without alt");
for (const image of document.querySelectorAll("svg[role=img]")) {
  const named = (image.getAttribute("aria-labelledby") || "").split(" ").every((id) => document.getElementById(id)?.textContent.trim());
  if (!named) problems.push("a picture without title and description");
}

// Structure (1.3.1, 2.4.1, 2.4.2, 3.1.1).
let level = 0;
for (const heading of document.querySelectorAll("h1, h2, h3, h4, h5, h6")) {
  const next = Number(heading.tagName[1]);
  if (next > level + 1) problems.push(`heading skips a level: ${name(heading)}`);
  level = next;
}
if (document.querySelectorAll("h1").length !== 1) problems.push("not one h1");
for (const landmark of ["main", "header", "footer", "nav"]) if (!document.querySelector(landmark)) problems.push(`no ${landmark}`);
for (const part of document.querySelectorAll("nav")) if (!part.getAttribute("aria-label")) problems.push("a nav without a name");
for (const head of document.querySelectorAll("th")) if (!head.scope) problems.push(`th without scope: ${name(head)}`);
const ids = [...document.querySelectorAll("[id]")].map((element) => element.id);
for (const id of new Set(ids)) if (ids.filter((other) => other === id).length > 1) problems.push(`id twice: ${id}`);
if (!document.documentElement.lang) problems.push("no language");
if (!document.title.trim()) problems.push("no title");
for (const link of document.querySelectorAll("a[href^='#']")) {
  const id = decodeURIComponent(link.hash.slice(1));
  if (!document.getElementById(id)) problems.push(`leads nowhere: ${link.hash}`);
}
return problems;
