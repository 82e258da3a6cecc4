"How the site shows a notebook: exported names without running it, and what stands under a chapter's title"
import ast
import html
import re

import reference
from lmfromscratch.engine.page import page_models
from nbdev.config import get_config
from nbdev.process import Processor
from nbdev.processors import (FilterDefaults, add_fold, add_show_docs, clean_show_doc, exec_show_docs,
                              insert_warning, mk_cell, mv_exports)
from project import cells, name_of, notebooks
from reference import anchor, in_engine, lib, modules, page_of, raw, up

# Words a minute of plain prose, and seconds for a line of code or of output: half an hour for a usual chapter
words_a_minute, seconds_a_line = 200, 3


def mod_of(nb):
    "The module that the notebook exports, or ''"
    for c in nb.cells:
        m = c.cell_type == "code" and c.directives_.get("default_exp")
        if m: return m[0]
    return ""


def own_names(cell, mod):
    "The exported names that the cell defines"
    known, res = set(reference.symbols(mod)), []
    for o in ast.parse(cell.source).body:
        if isinstance(o, (ast.FunctionDef, ast.ClassDef)):
            cls = reference.patched_class(o)
            res.append(f"{cls}.{o.name}" if cls else o.name)
            if isinstance(o, ast.ClassDef):
                res += [f"{o.name}.{p.name}" for p in o.body if isinstance(p, ast.FunctionDef)]
        res += reference.assigned(o)
    return [o for o in dict.fromkeys(res) if o in known]


def name_bar(names, mod):
    "A line that names what the code below it exports, with links to the reference and the source"
    tops = [o for o in names if "." not in o or o.split(".")[0] not in names]
    rest = [o for o in names if o not in tops]
    spans = "".join(f'<span id="{anchor(o)}"></span>' for o in rest)
    links = " ".join(f'<code id="{anchor(o)}">{o}</code>' for o in tops)
    first = tops[0]
    there, source = f"{up(mod)}reference/{mod}.html#{anchor(first)}", reference.source_url(mod, first)
    return (f'<p class="name-bar"><span class="name-bar-names">{spans}{links}</span> '
            f'<span class="name-bar-links"><a href="{there}" aria-label="Reference of {first}">reference</a> '
            f'<a href="{source}" aria-label="Source of {first}">source</a></span></p>')


class name_exports(Processor):
    "A bar with names and links above each exported cell; signature and table, if its source is not shown"
    def begin(self):
        self.nb.has_docs_ = False
        mod = mod_of(self.nb)
        self.nb.mod_, self.nb.minutes_, self.nb.needs_ = mod, minutes(self.nb), needs(self.nb, mod)
        if not mod: return
        cells = []
        for c in self.nb.cells:
            d = c.directives_ if c.cell_type == "code" else {}
            if not {"export", "exports"} & d.keys() or "hide" in d or not (names := own_names(c, mod)):
                cells.append(c)
                continue
            if "exports" in d: cells.append(mk_cell(raw(name_bar(names, mod)), "markdown"))
            else:
                for o in names:
                    entry = raw(name_bar([o], mod)) + "\n\n" + reference.body(mod, o, up(mod))
                    cells.append(mk_cell(entry, "markdown"))
            cells.append(c)
        for i, c in enumerate(cells):
            c.idx_ = i
            if not hasattr(c, "directives_"): c.directives_ = {}
        self.nb.cells = cells


# --- under the title

def minutes(nb):
    "How long the notebook takes to read, in minutes, to the nearest five"
    words = lines = 0
    for c in nb.cells:
        d = getattr(c, "directives_", {})
        if c.cell_type == "markdown":
            words += len(re.findall(r"\w+", re.sub(r"```.*?```", "", c.source, flags=re.S)))
        if c.cell_type == "code" and not {"hide", "export", "default_exp"} & d.keys():
            lines += sum(bool(o.strip()) and not o.startswith("#|") for o in c.source.splitlines())
    return max(5, round((words/words_a_minute + lines*seconds_a_line/60) / 5) * 5)


def needs(nb, mod):
    "The modules that the notebook imports, as links: those of chapters, and those of the engine room"
    text = "\n".join(c.source for c in nb.cells if c.cell_type == "code" and "hide" not in c.directives_)
    used = set(re.findall(rf"^\s*(?:from|import) {lib}\.([\w.]+)", text, re.M)) - {mod}
    links = {o: f'<a href="{up(mod)}{page_of(file)}">{html.escape(title)}</a>'
             for o, (file, title) in modules().items() if o in used}
    return [", ".join(v for k, v in links.items() if in_engine(k) == side) for side in (False, True)]


def github(path):
    cfg = get_config()
    return f"{cfg.git_url}/blob/{cfg.branch}/{path}"


def colab(file):
    cfg = get_config()
    return f"https://colab.research.google.com/github/{cfg.user}/{cfg.repo}/blob/{cfg.branch}/nbs/{file}"


def head(nb, file, mod):
    "What stands under the title: time, links, what the notebook needs, uses and gives"
    names = [o for o in reference.symbols(mod) if "." not in o]
    gives = ", ".join(f'<a href="#{anchor(o)}"><code>{o}</code></a>' for o in names)
    if len(names) > 8:
        few = ", ".join(f'<a href="#{anchor(o)}"><code>{o}</code></a>' for o in names[:6])
        more = ", ".join(f'<a href="#{anchor(o)}"><code>{o}</code></a>' for o in names[6:])
        gives = (f'{few}<span class="more-names" hidden>, {more}</span> '
                 f'<button type="button" class="more-button">and {len(names) - 6} more</button>')
    need, use = nb.needs_
    use = f"<dt>Uses</dt><dd>{use}</dd>" if use else ""
    played = {o[2] for o in page_models.values()} | {"engine/page.html"}
    links = [f'<a href="{github("nbs/" + file)}">Notebook</a>',
             f'<a href="{up(mod)}reference/{mod}.html">Reference of <code>{mod}</code></a>']
    if not in_engine(mod):
        links = [f"<span>About {nb.minutes_} minutes to read</span>",
                 f'<a href="{colab(file)}">Open in Colab</a>', *links]
    if page_of(file) in played: links.append(f'<a href="{up(mod)}playground/index.html">Playground</a>')
    return (f'<div class="chapter-head"><p class="chapter-links">{" ".join(links)}</p>'
            f'<dl><dt>Needs</dt><dd>{need or "nothing but Python and PyTorch"}</dd>{use}'
            f'<dt>Gives</dt><dd>{gives}</dd></dl></div>')


class chapter_head(Processor):
    "The head of a notebook, after its front matter; a chapter's own Colab link, which it holds, goes"
    def begin(self):
        mod = self.nb.mod_
        if mod in modules(): self.html = head(self.nb, modules()[mod][0], mod)

    def end(self):
        def is_link(c): return c.cell_type == "markdown" and c.source.startswith("[Open in Colab]")
        cells = [c for c in self.nb.cells if not is_link(c)]
        at = 1 + next((i for i, c in enumerate(cells) if c.cell_type == "raw"), -1)
        if hasattr(self, "html"): cells.insert(at, mk_cell(raw(self.html), "markdown"))
        self.nb.cells = cells


def with_chapters(text, nbs):
    "references.md, and after each entry the notebooks that cite its link"
    source = {name_of(p, nbs): "".join(c["source"] for c in cells(p)) for p in notebooks(nbs)}
    res = []
    for line in text.splitlines():
        urls = re.findall(r"\]\((https?://[^)\s]+)\)", line) if line.startswith("- ") else []
        by = [k for k, s in source.items() if any(re.search(re.escape(u) + r"(?![\w/])", s) for u in urls)]
        course = ", ".join(f"[{int(o[:2])}]({o}.ipynb)" for o in by if o[:2].isdigit())
        engine = ", ".join(f"[{o.split('/')[1]}]({o}.ipynb)" for o in by if "/" in o)
        if course: line += f" Cited in chapter {course}."
        if engine: line += f" Cited in the engine room: {engine}."
        res.append(line)
    return "\n".join(res) + "\n"


class Show(FilterDefaults):
    "nbdev's processors, but our own for exported names. None runs a cell: a page needs no data, no network"
    def base_procs(self):
        skip = {exec_show_docs, clean_show_doc, insert_warning, mv_exports, add_fold}
        procs = [o for o in super().base_procs() if o not in skip]
        procs[procs.index(add_show_docs)] = name_exports
        return [*procs, chapter_head]
