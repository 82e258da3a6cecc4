// Maths, wrapped code, links into what is folded, the search's index, and one choice of light or dark with the playground.
"use strict";
const root = document.documentElement, all = (what) => [...document.querySelectorAll(what)];
const keep = (key, value) => { try { value ? localStorage.setItem(key, value) : localStorage.removeItem(key); } catch { /* private */ } };

for (const o of all(".math")) {
  const tex = o.textContent.trim().replace(/^\\[([]|\\[)\]]$/g, "");
  katex.render(tex, o, { displayMode: o.matches("div"), throwOnError: false });
}

const wrap = document.querySelector(".wrap");
const setWrap = (on) => {
  root.classList.toggle("long-lines", !on);
  wrap?.setAttribute("aria-pressed", on);
};
setWrap(localStorage.getItem("lmfs-lines") !== "long");
wrap?.addEventListener("click", () => {
  const long = wrap.getAttribute("aria-pressed") === "true";
  setWrap(!long);
  keep("lmfs-lines", long && "long");
});

const unfold = () => {
  const to = document.getElementById(decodeURIComponent(location.hash.slice(1)) || " ");
  const folded = to?.closest("details:not([open])");
  if (folded) { folded.open = true; to.scrollIntoView(); }
};
unfold();
addEventListener("hashchange", unfold);

for (const o of all(".theme-change-button")) {
  o.addEventListener("click", () => keep("lmfs-theme", o.dataset.mode !== "auto" && o.dataset.mode));
}

// The index comes when somebody wants to search; a summary shows no raw TeX
let asked = document.querySelector("script[src*=searchindex]");
const dialog = document.getElementById("pst-search-dialog");
new MutationObserver(() => {
  if (!asked) document.head.append(asked = Object.assign(document.createElement("script"), { src: root.dataset.content_root + "searchindex.js" }));
}).observe(dialog, { attributes: true });
addEventListener("load", () => {
  if (typeof Search === "undefined") return;
  const plain = Search.htmlToText;
  Search.htmlToText = (html, anchor) => plain(html.replace(/<(span|div) class="math[^]*?<\/\1>/g, "…"), anchor);
});
addEventListener("keydown", (e) => {
  if (e.key !== "/" || e.ctrlKey || e.metaKey || e.altKey || /INPUT|TEXTAREA|SELECT/.test(e.target.tagName)) return;
  e.preventDefault();
  document.querySelector(".search-button__button")?.click();
});
