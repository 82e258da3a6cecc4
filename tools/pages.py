"The sources that Sphinx reads: the notebooks as readers see them, and a page of the reference for each module"
import ast
import json
import re

import names
import yaml
from bs4 import BeautifulSoup
from names import in_engine, lib, modules, page_of, symbols, title_of
from project import cells, joined, name_of, notebooks, root, settings
from readme import re_number

from lmfromscratch.engine.page import page_models

re_option = re.compile(r"^#\s*\| *([\w-]+):? *(.*)\n?", re.M)
re_callout = re.compile(r"^:::+ *\{\.callout-(\w+)([^}]*)\}\n+(?:#+ +(.*)\n)?", re.M)
# Words a minute of plain prose, and seconds for a line of code or of output: half an hour for a usual chapter
words_a_minute, seconds_a_line = 200, 3


cfg = settings()
address = cfg["doc_host"] + cfg["doc_baseurl"]


def fenced(what, body="", **options):
    lines = [f"````{{{what}}}", *(f":{k}: {v}" for k, v in options.items()), body, "````"]
    return "\n".join(o for o in lines if o)


# --- one cell

def callout(m):
    "A callout as Quarto writes it is an admonition, and a folded one is `<details>`"
    kind, options, title = m.groups()
    folded = ":collapsible: closed\n" if 'collapse="true"' in options else ""
    return f":::{{admonition}} {title or kind.title()}\n:class: {kind}\n{folded}\n"


def prose(s):
    s = re_callout.sub(callout, s).replace("](../playground/", f"]({address}/playground/")
    s = re.sub(r"(\]\((?:\.\./)?)\d\d_(\w+\.ipynb)", r"\1\2", s)
    for f in names.left_out: s = re.sub(rf"\[([^\]]*)\]\([\w./]*{page_of(f)}\.ipynb[^)]*\)", r"\1", s)
    return s


def table(html):
    "A table of pandas: its index's name in the blank corner of the head, figures to the right, words to the left"
    soup = BeautifulSoup(html, "html.parser")
    for t in soup("table", "dataframe"):
        del t["border"]
        head = t.thead("tr") if t.thead else []
        if len(head) == 2 and not any(o.text.strip() for o in [head[0].th, *head[1]("th")[1:]]):
            head[0].th.replace_with(head[1].th)
            head[1].decompose()
        rows = [o(["th", "td"]) for o in t("tr")]
        for column in zip(*rows, strict=False):
            if all(re_number.fullmatch(o.text.strip()) for o in column[1:]):
                for o in column: o["class"] = "number"
    for o in soup("style"): o.decompose()
    return str(soup)


def shown(c, options):
    "A code cell as myst-nb reads it: tags and metadata for what Quarto says in options"
    source, tags, meta = re_option.sub("", c["source"]).strip("\n"), [], {}
    body = ast.parse(source).body if source.strip() and not source.startswith("%") else []
    def lines(found): return sum(o.end_lineno - o.lineno + 1 for o in found)
    tests = [o for o in body if isinstance(o, ast.Assert) or re.match(r"test_\w+\(", ast.unparse(o))]
    fold = "Code" if options.get("code-fold") == "true" else ""
    if body and all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in body): fold = "Imports"
    elif tests and 2*lines(tests) >= lines(body): fold = "Checks"
    if options.get("echo") == "false": tags = ["remove-input"]
    elif fold: tags, meta = ["hide-input"], dict(code_prompt_show=fold, code_prompt_hide=fold)
    if alt := options.get("fig-alt"): meta["image"] = dict(alt=alt)
    if cap := options.get("fig-cap"): meta["figure"] = dict(caption=cap)
    for o in c["outputs"]:
        data = o.get("data", {})
        if html := joined(data.get("text/html", "")): data["text/html"] = table(html)
        drawing = joined(data.get("image/svg+xml", ""))
        if 'class="themed"' in drawing: meta["image"]["classes"] = "themed"
    return c | dict(source=source, metadata=dict(tags=tags, mystnb=meta), execution_count=None)


def markdown(s): return dict(cell_type="markdown", metadata={}, source=s)


def own_names(source, mod): return [o for o in names.defined(ast.parse(source).body) if o in symbols(mod)]


def notebook(path, file, mod, src):
    "The cells of a notebook that a reader sees"
    title, *rest = cells(path)
    text = title["source"].split("\n", 1)
    yield markdown(f"# {title_of(file)}\n{prose(''.join(text[1:]))}")
    if mod in modules(): yield markdown(head(rest, file, mod))
    for c in rest:
        options = dict(re_option.findall(c["source"]))
        if c["source"].startswith("[Open in Colab]") or {"hide", "default_exp"} & options.keys(): continue
        if c["cell_type"] != "code" or options.get("include") == "false":
            if c["cell_type"] == "markdown": yield c | dict(source=prose(c["source"]))
            continue
        own = own_names(c["source"], mod) if {"export", "exports"} & options.keys() else []
        if own and "exports" in options: yield markdown(fenced("names", f"{mod} {' '.join(own)}"))
        if "export" in options:
            for o in own: yield markdown(fenced("entry", o.lower() + "\n" + entry(mod, o, "no-index")))
        elif to := options.get("fig-link"):
            (src/"images").mkdir(exist_ok=True)
            picture = src/"images"/f"{c['id']}.svg"
            picture.write_text(joined(c["outputs"][0]["data"]["image/svg+xml"]), encoding="utf-8")
            yield markdown(f"[![{options['fig-alt']}](images/{picture.name}){{.themed}}]({to})")
        else: yield shown(c, options)


# --- what stands under a chapter's title

def minutes(rest):
    "How long the notebook takes to read, in minutes, to the nearest five"
    words = lines = 0
    for c in rest:
        if c["cell_type"] == "markdown": words += len(re.findall(r"\w+", re.sub(r"(?s)```.*?```", "", c["source"])))
        elif not {"hide", "export", "default_exp"} & dict(re_option.findall(c["source"])).keys():
            lines += sum(bool(o.strip()) and not o.startswith("#|") for o in c["source"].splitlines())
    return max(5, round((words/words_a_minute + lines*seconds_a_line/60) / 5) * 5)


def head(rest, file, mod):
    "Time, links, what the notebook needs, uses and gives"
    up = "../" * mod.count(".")
    at = f"{cfg['user']}/{cfg['repo']}/blob/{cfg['branch']}/nbs/{file}"
    code = "\n".join(c["source"] for c in rest if c["cell_type"] == "code" and "#| hide" not in c["source"])
    used = set(re.findall(rf"^\s*(?:from|import) {lib}\.([\w.]+)", code, re.M)) - {mod}
    links = {o: f"[{title_of(f)}]({up}{page_of(f)}.ipynb)" for o, f in modules().items() if o in used}
    need, use = (", ".join(v for k, v in links.items() if in_engine(k) == side) for side in (False, True))
    gives = ", ".join(f"`{o}`" for o in symbols(mod) if "." not in o)
    line = [f"[Notebook](https://github.com/{at})", f"[Reference of {mod}]({up}reference/{mod}.rst)"]
    if not in_engine(mod):
        line = [f"About {minutes(rest)} minutes to read",
                f"[Open in Colab](https://colab.research.google.com/github/{at})", *line]
    if page_of(file) + ".html" in {o[2] for o in page_models.values()} | {"engine/page.html"}:
        line.append(f"[Playground]({address}/playground/index.html)")
    rows = [f":Needs: {need or 'nothing but Python and PyTorch'}", *[f":Uses: {use}"]*bool(use), f":Gives: {gives}"]
    return "\n".join(["::::{container} chapter-head", "- " + "\n- ".join(line), "", *rows, "::::"])


# --- the reference, and the list of papers

def entry(mod, name, *flags):
    what = names.kind(mod, name)
    flags = "".join(f"\n   :{o}:" for o in [*flags, *["no-value"]*(what == "data")])
    return f".. auto{what}:: {lib}.{mod}.{name}{flags}\n"


def module_page(mod):
    "In reStructuredText, which is what autodoc writes"
    text = [f"{mod}\n{'=' * len(mod)}", f"``{lib}.{mod}``: {names.rst((names.module(mod).__doc__ or '').strip())}",
            f"From :doc:`/{page_of(modules()[mod])}`."]
    return "\n\n".join([*text, *(entry(mod, o) for o in symbols(mod))])


def index_page():
    "All names, module by module"
    text = ["# API reference", f"Everything here comes with `from {lib}.all import *`, the command line aside."]
    for title, side in (("The chapters", False), ("The engine room", True)):
        text.append(f"## {title}")
        for mod in (o for o in modules() if in_engine(o) == side):
            own = [o for o in symbols(mod) if "." not in o]
            text.append(f"[{mod}]({mod}.rst)\n: " + ", ".join(f"`{o}`" for o in own))
    toc = fenced("toctree", "\n".join(modules()), hidden="")
    return "\n\n".join([*text, toc])


def with_chapters(text, nbs=root/"nbs"):
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


def toctrees():
    "The order of the pages, for the links to the one before and the one after"
    parts = {}
    for part, file in names.sidebar():
        if file != "index.ipynb" and file not in names.left_out: parts.setdefault(part, []).append(page_of(file))
    return "\n\n".join(fenced("toctree", "\n".join(v), hidden="", caption=k) for k, v in parts.items())


def write(src, nbs=root/"nbs"):
    "All sources in the folder `src`"
    for o in ("engine", "reference", "images"): (src/o).mkdir(parents=True)
    for p in notebooks(nbs):
        file = p.relative_to(nbs).as_posix()
        if file in names.left_out: continue
        made = list(notebook(p, file, page_of(file).replace("/", "."), src))
        if file == "index.ipynb": made.append(markdown(toctrees()))
        for i, c in enumerate(made): c["id"] = f"c{i}"
        nb = dict(cells=made, nbformat=4, nbformat_minor=5, metadata=dict(
            kernelspec=dict(name="python3", display_name="Python 3"), language_info=dict(name="python")))
        (src/f"{page_of(file)}.ipynb").write_text(json.dumps(nb), encoding="utf-8")
    for p in (nbs/"images").glob("*"): (src/"images"/p.name).write_bytes(p.read_bytes())
    for p in nbs.glob("*.md"):
        text = p.read_text(encoding="utf-8")
        _, front, body = text.split("---\n", 2)
        front = yaml.safe_load(front)
        text = f"# {front['title']}\n\n> {front['description']}\n\n{body}"
        (src/p.name).write_text(prose(with_chapters(text) if p.stem == "references" else text), encoding="utf-8")
    (src/"reference"/"index.md").write_text(index_page(), encoding="utf-8")
    for mod in modules(): (src/"reference"/f"{mod}.rst").write_text(module_page(mod), encoding="utf-8")
