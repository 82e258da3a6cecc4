"The sources that Sphinx reads: the notebooks as readers see them, and the reference, a page for each module"
import ast
import json
import re
import shutil
from itertools import takewhile

import names
from bs4 import BeautifulSoup
from names import cfg, lib, modules, page_of, symbols, title_of
from project import cells, joined, name_of, notebooks, root
from readme import re_directive, re_number

from lmfromscratch.engine.page import page_models

re_hidden = re.compile(r"^#\| *(hide|export|default_exp|echo: false)\b", re.M)
nbs, address = root/"nbs", cfg["doc_host"] + cfg["doc_baseurl"]


def markdown(s): return dict(cell_type="markdown", metadata={}, source=s)


def slug(title):
    "The anchor of a heading as Quarto makes it"
    return re.sub(r"^[^a-z]+", "", re.sub(r"\s", "-", re.sub(r"[^\w\s.-]", "", title.lower())))


def prose(s):
    "Markdown as MyST reads it. Callouts may end in another cell, so HTML stands before and after their text"
    start = '<details class="callout">\n<summary>\n\n~~~{rubric} \\1\n~~~\n\n</summary>\n'
    s = re.sub(r"^::: *\{\.callout-.*\}\n+#+ +(.*)", start, s, flags=re.M)
    s = re.sub(r"^:::$", "</details>\n", s, flags=re.M)
    s = s.replace("](../playground/", f"]({address}/playground/")
    return re.sub(r"(\]\((?:\.\./)?)\d\d_(\w+\.ipynb)", r"\1\2", s)


def table(html):
    "A table of pandas: its index's name in the blank corner of the head, figures marked, no style of its own"
    soup = BeautifulSoup(html, "html.parser")
    for o in soup("style"): o.decompose()
    for t in soup("table", "dataframe"):
        del t["border"]
        head = t.thead("tr")
        if len(head) == 2 and not any(o.text.strip() for o in [head[0].th, *head[1]("th")[1:]]):
            head[0].th.replace_with(head[1].th)
            head[1].decompose()
        for column in zip(*[o(["th", "td"]) for o in t("tr")]):
            if all(re_number.fullmatch(o.text.strip()) for o in column[1:]):
                for o in column: o["class"] = "number"
    return str(soup)


def shown(c, options):
    "A code cell as myst-nb reads it: tags and metadata for what Quarto reads from the options"
    source, tags, meta = re_directive.sub("", c["source"]).strip("\n"), [], {}
    body, fold = ast.parse(source).body, "Code" if options.get("code-fold") == "true" else ""
    tests = [o for o in body if isinstance(o, ast.Assert) or re.match(r"test_\w+\(", ast.unparse(o))]
    if body and all(isinstance(o, (ast.Import, ast.ImportFrom)) for o in body): fold = "Imports"
    elif tests and 2*len(tests) >= len(body): fold = "Checks"
    if options.get("echo") == "false": tags = ["remove-input"]
    elif fold: tags, meta = ["hide-input"], dict(code_prompt_show=fold, code_prompt_hide=fold)
    if "fig-cap" in options: meta["figure"] = dict(caption=options["fig-cap"])
    for data in (o.get("data", {}) for o in c["outputs"]):
        if "text/html" in data: data["text/html"] = table(joined(data["text/html"]))
        kind = "themed" if 'class="themed"' in joined(data.get("image/svg+xml", "")) else "drawn"
        if "fig-alt" in options: meta["image"] = dict(alt=options["fig-alt"], classes=kind)
    return c | dict(source=source, metadata=dict(tags=tags, mystnb=meta), execution_count=None)


def bar(own, taken):
    "The names that a cell exports, each with an anchor that no heading and no cell before has taken"
    marks = [f'<span id="{o.lower()}"></span>`{o}`' if o.lower() not in taken else f"`{o}`" for o in own]
    taken.update(o.lower() for o in own)
    return "{.names}\n" + " ".join(marks) + "\n\n"


def signature(source, node):
    "A definition up to where its work begins: docments and docstring, of a class with its `__init__`"
    made = next((o for o in getattr(node, "body", []) if getattr(o, "name", "") == "__init__"), node)
    first = getattr(made, "body", [node])[0]
    end = first.end_lineno if isinstance(first, ast.Expr) else max(made.lineno, first.lineno - 1)
    return "````python\n" + "\n".join(source.splitlines()[node.lineno - 1:end]) + "\n````"


def notebook(file, mod, src):
    "The cells of a notebook that a reader sees"
    title, *rest = cells(nbs/file)
    taken = {slug(o) for c in rest for o in re.findall(r"^#+ (.*)", c["source"], re.M)}
    yield markdown(f"# {title_of(file)}\n" + prose(title["source"].partition("\n")[2]))
    if mod in modules(): yield markdown(head(rest, file, mod))
    for c in rest:
        options, is_code = dict(re_directive.findall(c["source"])), c["cell_type"] == "code"
        skip = {"hide", "default_exp"} & options.keys() or options.get("include") == "false"
        if is_code and skip or c["source"].startswith("[Open in Colab]"): continue
        exports = {"export", "exports"} & options.keys()
        found = names.defined(ast.parse(c["source"]).body) if exports else {}
        own = [o for o in found if o in symbols(mod)]
        if "export" in options:
            for o in own: yield markdown(bar([o], taken) + signature(c["source"], found[o]))
            continue
        if own: yield markdown(bar(own, taken))
        if to := options.get("fig-link"):
            svg, picture = joined(c["outputs"][0]["data"]["image/svg+xml"]), f"images/{c['id']}.svg"
            (src/picture).write_text(svg, encoding="utf-8")
            yield markdown(f"[![{options['fig-alt']}]({picture}){{.themed}}]({to})")
        else: yield shown(c, options) if is_code else c | dict(source=prose(c["source"]))


def minutes(rest):
    "Reading time up to the questions, to five minutes: 200 words of prose or 20 lines of code a minute"
    main = takewhile(lambda c: not re.search("^## Questions", c["source"], re.M), rest)
    took = [len(c["source"].split())/200 if c["cell_type"] == "markdown" else (c["source"].count("\n") + 1)/20
            for c in main if not re_hidden.search(c["source"])]
    return max(5, round(sum(took)/5) * 5)


def gives(mod): return ", ".join(f"`{o}`" for o in symbols(mod) if "." not in o)


def head(rest, file, mod):
    "What stands under the title: time, links, what the notebook needs, uses and gives"
    up, at = "../" * mod.count("."), f"{cfg['user']}/{cfg['repo']}/blob/{cfg['branch']}/nbs/{file}"
    code = "\n".join(c["source"] for c in rest if not re.match(r"#\| hide\n(?!#\| export)", c["source"]))
    used = set(re.findall(rf"^\s*(?:from|import) {lib}\.([\w.]+)", code, re.M)) - {mod}
    links = {o: f"[{title_of(f)}]({up}{page_of(f)}.ipynb)" for o, f in modules().items() if o in used}
    need, use = (", ".join(v for k, v in links.items() if ("." in k) == side) for side in (False, True))
    items = [f"[Notebook](https://github.com/{at})", f"[Reference of {mod}]({up}reference/{mod}.rst)"]
    if "." not in mod:
        colab = f"[Open in Colab](https://colab.research.google.com/github/{at})"
        items = [f"About {minutes(rest)} minutes to read, exercises aside", colab, *items]
    if f"{page_of(file)}.html" in {o[2] for o in page_models.values()} | {"engine/page.html"}:
        items.append(f"[Playground]({address}/playground/index.html)")
    rows = [" · ".join(items), f"**Needs** {need or 'Python and PyTorch'}", *[f"**Uses** {use}"]*bool(use)]
    return "{.chapter-head}\n" + "\\\n".join([*rows, f"**Gives** {gives(mod)}"])


def module_page(mod):
    "In reStructuredText, which is what autodoc writes"
    top = f"{mod}\n{'=' * len(mod)}\n\n``{lib}.{mod}``: {names.rst(names.module(mod).__doc__)}\n\n"
    top += f"From :doc:`/{page_of(modules()[mod])}`.\n\n"
    return top + "\n".join(f".. auto{names.kind(mod, o)}:: {lib}.{mod}.{o}\n" for o in symbols(mod))


def index_page():
    def part(engine):
        found = [o for o in modules() if ("." in o) == engine]
        return "".join(f"[{o}]({o}.rst): {names.module(o).__doc__}\n: {gives(o)}\n\n" for o in found)
    return (f"# API reference\n\nAll comes with `from {lib}.all import *`, the command line aside.\n\n"
            f"## The chapters\n\n{part(False)}## The engine room\n\n{part(True)}")


def with_chapters(text):
    "references.md, and after each entry the notebooks that cite its link"
    source = {name_of(p): "".join(c["source"] for c in cells(p)) for p in notebooks()}
    def cited(m):
        urls = [re.escape(o) + r"(?![\w/])" for o in re.findall(r"\]\((https?://[^)\s]+)\)", m[0])]
        by = [k for k, s in source.items() if any(re.search(o, s) for o in urls)]
        titles = {k: re.sub(r"^(\d+)\..*", r"chapter \1", title_of(k + ".ipynb")) for k in by}
        return m[0] + f" Cited in {', '.join(f'[{v}]({k}.ipynb)' for k, v in titles.items())}."*bool(by)
    return re.sub(r"^- .*", cited, text, flags=re.M)


def toctrees():
    "The order of the pages, in parts: the list beside the text, and the links to the page before and after"
    parts = {}
    for part, file in names.sidebar(): parts.setdefault(part, []).append(page_of(file))
    parts["Reference"] += [f"reference/{o}" for o in modules()]
    form = "```{{toctree}}\n:hidden:\n:caption: {}\n{}\n```\n"
    return "\n".join(form.format(k, "\n".join(v)) for k, v in parts.items() if k)


def write(src):
    "All sources in the folder `src`"
    shutil.copytree(nbs/"images", src/"images")
    for o in ("engine", "reference"): (src/o).mkdir()
    for p in notebooks():
        file = f"{name_of(p)}.ipynb"
        made = list(notebook(file, page_of(file).replace("/", "."), src))
        if file == "index.ipynb": made.append(markdown(toctrees()))
        for i, c in enumerate(made): c["id"] = f"c{i}"
        summary = re.search(r"^> (.*)", made[0]["source"], re.M)
        meta = {"language_info": {"name": "python"}, "og:description": summary[1] if summary else ""}
        nb = dict(cells=made, nbformat=4, nbformat_minor=5, metadata=meta)
        (src/f"{page_of(file)}.ipynb").write_text(json.dumps(nb), encoding="utf-8")
    for p in nbs.glob("*.md"):
        text = p.read_text(encoding="utf-8")
        text = re.sub('---\n.*\ndescription: "(.*)"\n---\n', r"\g<0>\n> \1\n", text)
        if p.stem == "references": text = with_chapters(text)
        (src/p.name).write_text(prose(text), encoding="utf-8")
    (src/"reference"/"index.md").write_text(index_page(), encoding="utf-8")
    for mod in modules(): (src/"reference"/f"{mod}.rst").write_text(module_page(mod), encoding="utf-8")
