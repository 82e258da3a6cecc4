"The page around the text: head, header, course list, section list, previous and next; and the search index"
import html
import json
import re
from dataclasses import dataclass, field

import reference
from reference import page_of

copy_button = '<button type="button" class="copy" aria-label="Copy code"></button>'


# --- what smalldocs wrote, taken apart

@dataclass
class Page:
    name: str             # `reference/data.html`
    title: str
    description: str = "" # HTML
    body: str = ""
    headings: list = field(default_factory=list) # (level, id, text)

    @property
    def up(self): return "../" * self.name.count("/")


def strip_tags(s): return html.unescape(re.sub(r"<[^>]+>", "", s))


def end_of_div(s, at):
    "Where the `<div` at `at` ends"
    depth = 0
    for m in re.compile(r"<div\b|</div>").finditer(s, at):
        depth += 1 if m.group() != "</div>" else -1
        if not depth: return m.end()
    raise ValueError(f"an unclosed div: {s[at:at+80]}")


def callouts(s):
    "Callouts without Bootstrap: folded ones become details, which need no script"
    while m := re.search(r'<div class="callout callout-style-\w+ callout-(\w+)[^"]*">', s):
        end = end_of_div(s, m.start())
        inner = s[m.end():end - len("</div>")]
        folded = "callout-collapse" in inner
        title = re.search(r'<div class="callout-title-container[^"]*">(.*?)</div>', inner, re.S)
        b = inner.index('<div class="callout-body-container')
        text = inner[inner.index(">", b) + 1:end_of_div(inner, b) - len("</div>")]
        name = title.group(1).strip() if title else m.group(1).title()
        of = f'class="note note-{m.group(1)}"'
        new = (f'<details {of}><summary>{name}</summary><div class="note-body">{text}</div></details>'
               if folded else f'<div {of}><p class="note-title">{name}</p>{text}</div>')
        s = s[:m.start()] + new + s[end:]
    return s


def caption(m):
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", m.group(1))
    text = re.sub(r"\$([^$]+)\$", r'<span class="math inline">\\(\1\\)</span>', text)
    return f"<figcaption>{text}</figcaption>"


def svg(m):
    "A drawing with its alternative text, and without what only editors read"
    s = re.sub(r"<metadata>.*?</metadata>|<!--.*?-->", "", m.group(), flags=re.S)
    s = re.sub(r'<(g|use) id="(?!p)[\w.]+_\d+"', r"<\1", s)
    s = re.sub(r">\s+<", "><", s)
    alt = re.match(r'<svg alt="([^"]*)"', s)
    return s.replace(alt.group(), f'<svg role="img" aria-label="{alt.group(1)}"', 1) if alt else s


def once(s):
    "A name in the bar above its code has no anchor where its section has the same one"
    sections = re.findall(r'<section id="([^"]+)"', s)
    return re.sub(r'<(code|span) id="([^"]+)"', lambda m: f"<{m[1]}" if m[2] in sections else m[0], s)


def table_head(m):
    "pandas puts the index's name in a second row of its own: it goes to the blank corner of the first"
    rows = re.findall(r"<tr.*?</tr>", m.group(), re.S)
    if len(rows) != 2: return m.group()
    top, name = (re.findall(r"<th\b.*?</th>", o, re.S) for o in rows)
    blank = [not strip_tags(o).strip() for o in [top[0], *name[1:]]]
    if not all(blank): return m.group()
    return f"<thead><tr>{''.join([name[0], *top[1:]])}</tr></thead>"


def tidy(s, base, up):
    "smalldocs' text without what only Bootstrap or pandas need, and with own links made relative"
    s = re.sub(r"<\?xml.*?\?>\s*|<!DOCTYPE svg.*?>\s*", "", s, flags=re.S)
    s = re.sub(r"<svg\b.*?</svg>", svg, s, flags=re.S)
    s = re.sub(r"<style scoped>.*?</style>\s*", "", s, flags=re.S)
    s = re.sub(r'<button title="Copy to Clipboard"[^>]*>.*?</button>', copy_button, s)
    s = re.sub(r'<span class="(?:op|bu)">(.*?)</span>', r"\1", s) # Not coloured, and half of all tags
    s = re.sub(r'<div class="code-copy-outer-scaffold"><div class="sourceCode"[^>]*>',
               '<div class="code"><div>', s)
    s = s.replace('<div class="quarto-figure quarto-figure-center">', "<div>")
    s = re.sub(r"<figcaption>(.*?)</figcaption>", caption, s, flags=re.S)
    s = re.sub(r'(?<!<div class="table-scroll">)(<table\b.*?</table>)',
               r'<div class="table-scroll">\1</div>', s, flags=re.S)
    s = re.sub(r'<tr style="text-align: right;">', "<tr>", s)
    s = re.sub(r"<thead>.*?</thead>", table_head, s, flags=re.S)
    s = re.sub(r'<table border="1" ', "<table ", s)
    s = re.sub(rf'(<a\b[^>]*\shref="){re.escape(base)}/', rf"\g<1>{up}", s)
    s = re.sub(r'<(h[2-4]) class="anchored" data-anchor-id="([^"]+)">(.*?)</\1>',
               r'<\1>\3 <a class="anchor" href="#\2" aria-label="Link to this section"></a></\1>', s,
               flags=re.S)
    return callouts(once(s))


def read(text, name, base):
    "The page that smalldocs wrote, taken apart"
    main = re.search(r'<main\b[^>]*>(.*)</main>', text, re.S).group(1)
    title = re.search(r'<h1 class="title">(.*?)</h1>', main, re.S)
    desc = re.search(r'<div class="description">(.*?)</div>', main, re.S)
    main = re.sub(r'<header id="title-block-header".*?</header>', "", main, count=1, flags=re.S)
    main = re.sub(r'<nav class="page-navigation">.*?</nav>\s*$', "", main, flags=re.S)
    p = Page(name, strip_tags(title.group(1)) if title else name, desc.group(1) if desc else "")
    p.headings = [(int(m.group(1)), m.group(2), strip_tags(m.group(3)).strip()) for m in
                  re.finditer(r'<h([23]) class="anchored" data-anchor-id="([^"]+)">(.*?)</h\1>', main, re.S)]
    p.body = tidy(main, base, p.up)
    return p


# --- the page put together

def order():
    "`(address, title, part)` of each page in the order of the sidebar"
    return [(page_of(f), t, part) for part, f, t in reference.sidebar()]


def course_list(p):
    res, part = [], None
    for to, title, of in order():
        if of != part:
            if part: res.append("</ul>")
            wing = " wing" if to.startswith("engine/") else ""
            if of: res.append(f'<p class="part{wing}">{html.escape(of)}</p><ul>')
            part = of
        here = ' aria-current="page"' if to == p.name else ""
        number, dot, rest = title.partition(". ")
        text = (f'<span class="number">{number}</span> {html.escape(rest)}' if dot and number.isdigit()
                else html.escape(title))
        link = f'<a href="{p.up}{to}"{here}>{text}</a>'
        res.append(f"<li>{link}</li>" if of else f'<p class="top">{link}</p>')
        if to == "index.html":
            res.append(f'<p class="top"><a href="{p.up}playground/index.html">Playground</a></p>')
    return "".join(res) + ("</ul>" if part else "")


def section_list(p):
    items = [(n, i, t) for n, i, t in p.headings if n == 2 or p.name.startswith("reference/")]
    return "".join(f'<li class="l{n}"><a href="#{i}">{html.escape(t)}</a></li>' for n, i, t in items)


def neighbours(p):
    "Links to the pages before and after this one, in the order of the sidebar"
    pages = order()
    at = next((i for i, o in enumerate(pages) if o[0] == p.name), None)
    if at is None: return ""
    def link(o, kind):
        return f'<a class="{kind}" href="{p.up}{o[0]}"><span>{kind.title()}</span> {html.escape(o[1])}</a>'
    before = link(pages[at-1], "previous") if at else ""
    after = link(pages[at+1], "next") if at + 1 < len(pages) else ""
    return f'<nav class="neighbours" aria-label="Previous and next">{before}{after}</nav>'


def eyebrow(p):
    for to, title, part in order():
        if to == p.name and part:
            number = title.partition(". ")[0]
            return f"{part} · chapter {number}" if number.isdigit() else part
    return "API reference" if p.name.startswith("reference/") else ""


# Before the first paint: the reader's choice of light or dark, or else the system's
early = ("(()=>{let t;try{t=localStorage.getItem('lmfs-theme')}catch(e){}"
         "t=t||(matchMedia('(prefers-color-scheme: dark)').matches?'dark':'light');"
         "const d=document.documentElement;d.dataset.theme=t;d.dataset.bsTheme=t;"
         "d.classList.toggle('quarto-dark',t==='dark');d.classList.add('js')})()")


def whole(p, cfg):
    "The page as readers get it"
    up, esc = p.up, html.escape
    home = p.name == "index.html"
    title = cfg.title if home else f"{p.title} – {cfg.title}"
    about = strip_tags(p.description) or cfg.description
    maths = 'class="math' in p.body
    sections = section_list(p)
    toc = f'<p class="toc-title">On this page</p><ul>{sections}</ul>' if sections else ""
    narrow = (f'<details class="narrow-toc"><summary>On this page</summary><ul>{sections}</ul></details>'
              if sections else "")
    top = eyebrow(p)
    katex = (f'<link rel="stylesheet" href="{up}site/katex/katex.min.css">'
             f'<script defer src="{up}site/katex/katex.min.js"></script>') if maths else ""
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{esc(title)}</title>
<meta name="description" content="{esc(about)}">
<meta property="og:title" content="{esc(title)}">
<meta property="og:description" content="{esc(about)}">
<link rel="icon" href="{up}site/icon.svg" type="image/svg+xml">
<script>{early}</script>
<link rel="stylesheet" href="{up}site/site.css">
{katex}<script defer src="{up}site/site.js" data-up="{up}"></script>
</head>
<body data-page="{p.name.removesuffix(".html")}">
<a class="skip" href="#page-text">Skip to the text</a>
<header class="bar">
<button type="button" class="menu" aria-label="Course list" aria-expanded="false"
aria-controls="page-course"></button>
<a class="brand" href="{up}index.html">{esc(cfg.title)}</a>
<div class="search" role="search">
<input type="search" placeholder="Search names and text" aria-label="Search" autocomplete="off"
spellcheck="false">
<div class="hits" hidden></div>
</div>
<a class="github" href="{cfg.git_url}">GitHub</a>
<button type="button" class="tool theme" aria-label="Light or dark"></button>
</header>
<div class="layout">
<nav id="page-course" class="course" aria-label="Course">{course_list(p)}</nav>
<main id="page-text" tabindex="-1">
<div class="title">{f'<p class="eyebrow">{esc(top)}</p>' if top else ''}<h1>{esc(p.title)}</h1>
{f'<p class="summary">{p.description}</p>' if p.description else ''}</div>
{narrow}
{p.body}
{neighbours(p)}
</main>
<nav class="toc" aria-label="Sections">{toc}</nav>
</div>
</body>
</html>
"""


# --- search

def plain(s):
    "Running text of a piece of a page: no code, no drawings, no tables of numbers"
    s = re.sub(r'<svg\b.*?</svg>|<style.*?</style>|<pre\b.*?</pre>|<table class="dataframe".*?</table>|'
               r'<button\b.*?</button>|<p class="(?:api-links|name-bar|api-home)">.*?</p>', " ", s,
               flags=re.S)
    return " ".join(strip_tags(re.sub(r"</(?:p|td|th|li|h\d|div|dt|dd)>", " ", s)).split())


def search_entries(p):
    "One entry for each section: address, page, section, text; names of the package are marked"
    marks = list(re.finditer(r'<section id="([^"]+)" class="level[23]([^"]*)">\s*<h[23]>(.*?)</h[23]>',
                             p.body, re.S))
    first = p.body[:marks[0].start() if marks else None]
    res = [dict(u=p.name, p=p.title, s="", t=plain(p.description + " " + first))]
    for m, after in zip(marks, [*marks[1:], None]):
        o = dict(u=f"{p.name}#{m.group(1)}", p=p.title, s=strip_tags(m.group(3)).strip(),
                 t=plain(p.body[m.end():after.start() if after else None]))
        if "api-heading" in m.group(2): o["n"] = 1
        res.append(o)
    return res


def search_index(pages):
    entries = [o for p in pages if p.name != "reference/index.html" for o in search_entries(p)]
    return json.dumps(entries, ensure_ascii=False, separators=(",", ":"))
