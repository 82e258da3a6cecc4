// What a page does: light and dark, the course list on a phone, copy buttons, maths, the section list, search.
"use strict";
const up = document.currentScript.dataset.up;
const all = (what, from = document) => [...from.querySelectorAll(what)];
const one = (what, from = document) => from.querySelector(what);
const root = document.documentElement;

// --- light and dark

one(".theme").addEventListener("click", () => {
  const theme = root.dataset.theme === "dark" ? "light" : "dark";
  root.dataset.theme = root.dataset.bsTheme = theme;
  root.classList.toggle("quarto-dark", theme === "dark");
  try { localStorage.setItem("lmfs-theme", theme); } catch { /* a private window keeps no choice */ }
});

// --- the course list on a narrow screen

const menu = one(".menu"), course = one("#page-course");
const openMenu = (open) => {
  course.classList.toggle("open", open);
  menu.setAttribute("aria-expanded", open);
};
menu.addEventListener("click", () => openMenu(!course.classList.contains("open")));
document.addEventListener("keydown", (e) => { if (e.key === "Escape") openMenu(false); });
const here = one('[aria-current="page"]', course);
if (here && here.offsetTop > course.clientHeight - 60) course.scrollTop = here.offsetTop - course.clientHeight / 2;

// --- code, tables, names

for (const button of all(".copy")) {
  button.addEventListener("click", async () => {
    try { await navigator.clipboard.writeText(one("code", button.parentElement).textContent); }
    catch { return; }
    button.classList.add("done");
    button.setAttribute("aria-label", "Copied");
    setTimeout(() => { button.classList.remove("done"); button.setAttribute("aria-label", "Copy code"); }, 1500);
  });
}
for (const button of all(".more-button")) {
  button.addEventListener("click", () => { one(".more-names", button.parentElement).hidden = false; button.remove(); });
}
// What scrolls sideways must be reachable by keyboard
const scrollers = () => {
  for (const o of all("pre, .table-scroll, .math.display, .cell-output:has(svg.themed)")) {
    if (o.scrollWidth > o.clientWidth) o.tabIndex = 0; else o.removeAttribute("tabindex");
  }
};

// --- maths

if (window.katex) {
  for (const o of all(".math")) {
    const tex = o.textContent.trim().replace(/^\\[([]|\\[)\]]$/g, "");
    katex.render(tex, o, { displayMode: o.classList.contains("display"), throwOnError: false });
  }
}
scrollers();
addEventListener("resize", scrollers);
addEventListener("load", scrollers);
for (const o of all("details")) o.addEventListener("toggle", scrollers);

// A link into something folded opens it
const unfold = () => {
  const to = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  const folded = to && to.closest("details:not([open])");
  if (folded) { folded.open = true; to.scrollIntoView(); }
};
unfold();
addEventListener("hashchange", unfold);

// --- the section list follows the reader

const links = all(".toc a"), sections = links.map((a) => document.getElementById(a.hash.slice(1))).filter(Boolean);
if (sections.length) {
  let waiting = false;
  const follow = () => {
    waiting = false;
    let at = 0;
    sections.forEach((o, i) => { if (o.getBoundingClientRect().top < 120) at = i; });
    links.forEach((a, i) => a.classList.toggle("here", i === at));
    const a = links[at], box = one(".toc");
    if (a.offsetTop < box.scrollTop || a.offsetTop > box.scrollTop + box.clientHeight - 40)
      box.scrollTop = a.offsetTop - box.clientHeight / 2;
  };
  addEventListener("scroll", () => { if (!waiting) { waiting = true; requestAnimationFrame(follow); } }, { passive: true });
  follow();
}

// --- search

const input = one(".search input"), hits = one(".hits");
let index = null, asked = null;
const load = () => asked ??= fetch(up + "search.json").then((r) => r.json()).then((entries) => {
  index = entries.map((o) => ({ ...o, page: o.p.toLowerCase(), name: o.s.toLowerCase(), text: o.t.toLowerCase() }));
}).catch(() => { asked = null; });
const escape = (s) => s.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c]);
const pattern = (word) => word.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");

// How well a section answers one word: its name first, then its page's, then its text; 0 if not at all
const score = (o, word, start) => {
  let s = 0;
  if (o.name === word || o.name.endsWith("." + word)) s += o.n ? 120 : 80;
  else if (o.name.startsWith(word)) s += o.n ? 60 : 50;
  else if (start.test(o.name)) s += 40;
  else if (o.name.includes(word)) s += 20;
  if (start.test(o.page)) s += o.s ? 6 : 45;
  const at = o.text.search(start);
  if (at >= 0) s += 8 + Math.min(8, o.text.split(word).length - 1);
  else if (word.length > 3 && o.text.includes(word)) s += 3;
  // Another ending: vanishing finds vanish
  else if (!s && word.length > 6 && (o.name + " " + o.text).includes(word.slice(0, -3))) s += 2;
  return s;
};
const find = (query) => {
  const words = query.toLowerCase().split(/\s+/).filter(Boolean);
  const starts = words.map((w) => new RegExp("(?<![\\w])" + pattern(w)));
  const found = [];
  for (const o of index) {
    const scores = words.map((w, i) => score(o, w, starts[i]));
    if (scores.every((s) => s > 0)) found.push([scores.reduce((a, b) => a + b) + (o.name === query.toLowerCase() ? 50 : 0), o]);
  }
  return found.sort((a, b) => b[0] - a[0]).slice(0, 15).map((o) => o[1]);
};
const around = (o, words) => {
  const at = Math.max(0, ...words.map((w) => o.text.indexOf(w)));
  const from = at > 60 ? o.t.indexOf(" ", at - 60) + 1 : 0;
  const marks = new RegExp("(" + words.map(pattern).join("|") + ")", "gi");
  const piece = o.t.slice(from, from + 160);
  return (from ? "… " : "") + piece.split(marks).map((s, i) => i % 2 ? `<mark>${escape(s)}</mark>` : escape(s)).join("");
};
const search = async () => {
  const query = input.value.trim();
  if (query.length < 2) { hits.hidden = true; return; }
  await load();
  if (!index || query !== input.value.trim()) return;
  const found = find(query), words = query.toLowerCase().split(/\s+/);
  hits.innerHTML = found.length ? found.map((o) => `<a href="${up}${escape(o.u)}"><b>${escape(o.s || o.p)}</b>` +
    `<i>${o.n ? "name in the reference" : escape(o.s ? o.p : "page")}</i><span>${around(o, words)}</span></a>`).join("")
    : `<p>Nothing found for <b>${escape(query)}</b></p>`;
  hits.hidden = false;
};
let timer;
input.addEventListener("focus", () => { load(); search(); });
input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(search, 80); });
document.addEventListener("click", (e) => { if (!e.target.closest(".search")) hits.hidden = true; });
hits.addEventListener("click", () => { hits.hidden = true; });
one(".search").addEventListener("keydown", (e) => {
  const list = all("a", hits), at = list.indexOf(document.activeElement);
  if (e.key === "Escape") { hits.hidden = true; input.focus(); }
  else if (e.key === "Enter" && at < 0 && list.length) { e.preventDefault(); list[0].click(); }
  else if (e.key === "ArrowDown" && list.length) { e.preventDefault(); list[Math.min(at + 1, list.length - 1)].focus(); }
  else if (e.key === "ArrowUp" && at >= 0) { e.preventDefault(); (list[at - 1] ?? input).focus(); }
});
document.addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || /INPUT|TEXTAREA|SELECT/.test(e.target.tagName)) return;
  e.preventDefault();
  input.focus();
});
