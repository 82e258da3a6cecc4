// Maths, wrapped code, links into what is folded, search on demand and without TeX
const root = document.documentElement, all = (what) => [...document.querySelectorAll(what)];

for (const o of all(".math")) {
  const tex = o.textContent.trim().replace(/^\\[([]|\\[)\]]$/g, "");
  katex.render(tex, o, { displayMode: o.matches("div"), throwOnError: false });
}

// What scrolls sideways is reached by keyboard, and what has a text is called by it
const scrollers = () => {
  for (const o of all("figure, .text_html, .math, p:has(img.themed)")) {
    o.tabIndex = o.scrollWidth > o.clientWidth ? 0 : -1;
  }
};
scrollers();
addEventListener("resize", scrollers);
for (const o of all("details")) o.addEventListener("toggle", scrollers);
for (const o of all("details.hide > summary")) o.removeAttribute("aria-label");
for (const o of all(".search-button-field")) o.ariaLabel = o.textContent.replace(/\s+/g, " ").trim();

for (const o of all("#wrap")) {
  o.checked = localStorage.getItem("lmfs-lines") !== "long";
  o.addEventListener("change", () => localStorage.setItem("lmfs-lines", o.checked ? "wrapped" : "long"));
}

const unfold = () => {
  const to = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  for (let o; (o = to?.closest("details:not([open])"));) o.open = true;
  to?.scrollIntoView();
};
if (location.hash) unfold();
addEventListener("hashchange", unfold);

const index = Object.assign(document.createElement("script"), { src: root.dataset.content_root + "searchindex.js" });
const opened = new MutationObserver(() => document.head.append(index));
opened.observe(document.getElementById("pst-search-dialog"), { attributes: true });
DOCUMENTATION_OPTIONS.search_as_you_type = true;
addEventListener("load", () => {
  const plain = Search.htmlToText;
  Search.htmlToText = (html, anchor) => plain(html.replace(/<(span|div) class="math[^]*?<\/\1>/g, "…"), anchor);
});
