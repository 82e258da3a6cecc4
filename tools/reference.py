"What the package exports, as pages: signature, parameters, errors, source, and the notebook it is from"
import ast
import html
import importlib
import inspect
import re
import textwrap
from functools import cache
from pathlib import Path

import yaml
from fastcore.docments import docments
from nbdev.config import get_config
from project import root

lib = "lmfromscratch"
re_code = re.compile(r"`([^`]+)`")
missing = inspect.Parameter.empty


# --- the course and the engine room: their notebooks and modules

left_out = set() # Files of sidebar.yml that a draft does without


def leave_out(files):
    left_out.update(files)
    sidebar.cache_clear()


@cache
def sidebar(nbs=root/"nbs"):
    "`(part, file, title)` of each page that sidebar.yml lists; the part is '' outside a section"
    res = []
    def walk(items, part):
        for o in items:
            if "section" in o: walk(o["contents"], o["section"])
            elif o["href"] not in left_out: res.append((part, o["href"], str(o["text"])))
    d = yaml.safe_load((nbs/"sidebar.yml").read_text(encoding="utf-8"))
    walk(d["website"]["sidebar"]["contents"], "")
    return res


def page_of(file):
    "The address that nbdev's links use: 01_data.ipynb is data.html, engine/runs.ipynb is engine/runs.html"
    return re.sub(r"^\d+_", "", file.rpartition(".")[0]) + ".html"


@cache
def modules():
    "`module: (file, title)` of each chapter in the order of the course, then of the engine room"
    found = {page_of(f).removesuffix(".html").replace("/", "."): (f, t) for _, f, t in sidebar()
             if re.match(r"\d+_|engine/", f)}
    return dict(sorted(found.items(), key=lambda o: in_engine(o[0])))


def in_engine(mod): return mod.startswith("engine.")


def up(mod):
    "The way from a module's page to the site's first folder"
    return "../" * mod.count(".")


def place(mod):
    "Where a module comes from, in a word or two, as a link from a page of the reference"
    file, title = modules()[mod]
    text = "engine room" if in_engine(mod) else f"chapter {title.split('.')[0]}"
    return f'<a href="../{page_of(file)}">{text}</a>'


@cache
def module(name): return importlib.import_module(f"{lib}.{name}")


@cache
def symbols(mod):
    "Names that `mod` exports, those in `__all__` and public methods, in the order of the source"
    m = module(mod)
    syms = importlib.import_module(f"{lib}._modidx").d["syms"].get(f"{lib}.{mod}", {})
    names = list(m.__all__)
    classes = {o for o in names if inspect.isclass(getattr(m, o))}
    for o in syms:
        name = o.removeprefix(f"{lib}.{mod}.")
        cls, _, meth = name.partition(".")
        if not meth or meth.startswith("_") or cls.startswith("_") or name not in nodes(mod): continue
        if cls in classes or inspect.isclass(getattr(m, cls, None)): names.append(name)
    # Methods stand under their class, where the class is from this module
    def place(o): return line_of(mod, o.split(".")[0]) or line_of(mod, o), "." in o, line_of(mod, o)
    return sorted(dict.fromkeys(names), key=place)


def get(mod, name):
    obj = module(mod)
    for o in name.split("."):
        obj = inspect.getattr_static(obj, o) if inspect.isclass(obj) else getattr(obj, o)
    if isinstance(obj, (classmethod, staticmethod)): obj = obj.__func__
    if isinstance(obj, property): obj = obj.fget
    return inspect.unwrap(obj) if callable(obj) else obj


@cache
def tree(mod): return ast.parse(Path(module(mod).__file__).read_text(encoding="utf-8"))


def patched_class(node):
    "The class to which `@patch` adds the function `node`, or None"
    if not any("patch" in ast.unparse(o) for o in getattr(node, "decorator_list", [])): return
    args = node.args.posonlyargs + node.args.args
    return ast.unparse(args[0].annotation) if args and args[0].annotation else None


def assigned(node):
    "The names that a statement gives a value: `a`, `b` and `C.d` in `a, b = ...` and `C.d = ...`"
    if not isinstance(node, (ast.Assign, ast.AnnAssign)): return []
    targets = getattr(node, "targets", None) or [node.target]
    flat = [p for o in targets for p in (o.elts if isinstance(o, ast.Tuple) else [o])]
    return [ast.unparse(o) for o in flat if isinstance(o, (ast.Name, ast.Attribute))]


@cache
def nodes(mod):
    "The definition of each name in the source of `mod`"
    res = {}
    for o in tree(mod).body:
        if isinstance(o, (ast.FunctionDef, ast.ClassDef)):
            cls = patched_class(o)
            res[f"{cls}.{o.name}" if cls else o.name] = o
            for p in getattr(o, "body", []):
                if isinstance(o, ast.ClassDef) and isinstance(p, ast.FunctionDef):
                    res[f"{o.name}.{p.name}"] = p
        for name in assigned(o): res.setdefault(name, o)
    return res


def line_of(mod, name): return getattr(nodes(mod).get(name), "lineno", 0)


def source_url(mod, name=None):
    cfg = get_config()
    at = f"#L{line_of(mod, name)}" if name and line_of(mod, name) else ""
    return f"{cfg.git_url}/blob/{cfg.branch}/{lib}/{mod.replace('.', '/')}.py{at}"


@cache
def home(name):
    "`(module, name)` of an exported name as it stands between backticks, or None"
    name = re.sub(r"\(.*\)$", "", name)
    for mod in modules():
        if name in symbols(mod): return mod, name


def anchor(name): return name.lower()


# --- one name

def inline(s, up=""):
    "A line of a docstring or docment as HTML: code between backticks, linked if its name is exported"
    def code(m):
        text = f"<code>{m.group(1)}</code>"
        at = home(html.unescape(m.group(1)))
        return f'<a href="{up}reference/{at[0]}.html#{anchor(at[1])}">{text}</a>' if at else text
    return re_code.sub(code, html.escape(s or "", quote=False))


def type_name(o):
    if o in (missing, None): return ""
    if isinstance(o, str): return o
    s = o.__name__ if inspect.isclass(o) and "[" not in str(o) else str(o)
    return re.sub(r"\b(?:typing|pathlib|collections\.abc)\.", "", s)


def value_name(o):
    if o is missing: return ""
    if inspect.isclass(o) or inspect.isfunction(o) or inspect.isbuiltin(o): return o.__name__
    s = repr(o)
    s = re.sub(r" at 0x[0-9a-f]+", "", s)
    return s if len(s) <= 40 else s[:37] + "..."


def params(obj):
    "`(name, type, default, meaning)` of each parameter, and `(type, meaning)` of what is returned"
    try:
        sig = inspect.signature(obj)
        docs = docments(obj, full=True)
    except (TypeError, ValueError): return [], ("", "")
    rows = []
    for i, (k, p) in enumerate(sig.parameters.items()):
        if i == 0 and k in ("self", "cls"): continue
        d = docs.get(k) or {}
        star = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        rows.append((star + k, type_name(p.annotation), value_name(p.default), d.get("docment") or ""))
    d = docs.get("return") or {}
    returns = "" if inspect.isclass(obj) else type_name(sig.return_annotation)
    return rows, (returns, "" if inspect.isclass(obj) else d.get("docment") or "")


def signature(name, obj, is_property=False):
    "`obj`'s signature: names and defaults; types and meanings stand in the table"
    try: sig = inspect.signature(obj)
    except (TypeError, ValueError): return name
    if is_property: return name
    parts, star = [], False
    for i, (k, p) in enumerate(sig.parameters.items()):
        if i == 0 and k in ("self", "cls"): continue
        if p.kind == p.KEYWORD_ONLY and not star: parts, star = [*parts, "*"], True
        if p.kind == p.VAR_POSITIONAL: k, star = f"*{k}", True
        if p.kind == p.VAR_KEYWORD: k = f"**{k}"
        parts.append(k if p.default is missing else f"{k}={value_name(p.default)}")
    ret = "" if inspect.isclass(obj) else type_name(sig.return_annotation)
    tail = f") -> {ret}" if ret else ")"
    one = f"{name}({', '.join(parts)}{tail}"
    if len(one) <= 84: return one
    body = textwrap.fill(", ".join(parts), 80, initial_indent="    ", subsequent_indent="    ",
                         break_long_words=False, break_on_hyphens=False)
    return f"{name}(\n{body}\n{tail}"


def errors(mod, name):
    "The exceptions that the source of `name` raises by name"
    node = nodes(mod).get(name)
    if node is None: return []
    body = [node]
    if isinstance(node, ast.ClassDef):
        body = [o for o in node.body if isinstance(o, ast.FunctionDef) and o.name == "__init__"]
    res = []
    for o in (n for b in body for n in ast.walk(b)):
        if isinstance(o, ast.Raise) and o.exc is not None:
            exc = o.exc.func if isinstance(o.exc, ast.Call) else o.exc
            if isinstance(exc, (ast.Name, ast.Attribute)): res.append(ast.unparse(exc))
    return [o for o in dict.fromkeys(res) if re.search(r"(?:^|\.)[A-Z]", o)]


def kind(mod, name):
    obj = inspect.getattr_static(get_class(mod, name), name.split(".")[-1]) if "." in name else get(mod, name)
    if isinstance(obj, property): return "property"
    if "." in name: return "method"
    if inspect.isclass(obj): return "error" if issubclass(obj, BaseException) else "class"
    return "function" if callable(obj) else "value"


def get_class(mod, name): return getattr(module(mod), name.split(".")[0])


def own_doc(mod, name):
    "The docstring that stands at `name` itself; a dataclass makes one up, and a subclass inherits one"
    node = nodes(mod).get(name)
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)): return ast.get_docstring(node) or ""
    return ""


def summary(mod, name): return own_doc(mod, name).split("\n")[0]


def table(mod, name, up=""):
    rows, (ret, meaning) = params(get(mod, name))
    errs = errors(mod, name)
    shown = [o for o in rows if any(o[1:])]
    if not shown and not ret and not meaning and not errs: return ""
    def cell(s, tag="td", **attrs):
        return f"<{tag}{''.join(f' {k}={chr(34)}{v}{chr(34)}' for k, v in attrs.items())}>{s}</{tag}>"
    def code(s): return f"<code>{html.escape(s, quote=False)}</code>" if s else ""
    out = ['<table class="api-params">',
           "<thead><tr><th>Parameter</th><th>Type</th><th>Default</th><th>Meaning</th></tr></thead>",
           "<tbody>"]
    for k, t, d, m in rows:
        out.append("<tr>" + cell(code(k), "th", scope="row") + cell(code(t)) + cell(code(d)) +
                   cell(inline(m, up)) + "</tr>")
    if ret or meaning:
        out.append('<tr class="api-returns">' + cell("Returns", "th", scope="row") + cell(code(ret)) +
                   cell("") + cell(inline(meaning, up)) + "</tr>")
    if errs:
        links = ", ".join(inline(f"`{o}`", up) for o in errs)
        out.append('<tr class="api-raises">' + cell("Raises", "th", scope="row") +
                   cell(links, colspan=3) + "</tr>")
    return "\n".join([*out, "</tbody></table>"])


def raw(s): return f"```{{=html}}\n{s}\n```"


def body(mod, name, up=""):
    "Signature, docstring and table of `name`, in Markdown"
    res = []
    k = kind(mod, name)
    if k == "value":
        obj = get(mod, name)
        n = f" of {len(obj)}" if hasattr(obj, "__len__") and not isinstance(obj, str) else ""
        res.append(raw(f"<p>A <code>{type(obj).__name__}</code>{n}.</p>"))
        src = ast.unparse(nodes(mod)[name]) if name in nodes(mod) else ""
        if src and len(src) <= 300: res.append(f"```python\n{src}\n```")
        return "\n\n".join(res)
    res.append(f"```python\n{signature(name, get(mod, name), k == 'property')}\n```")
    doc = own_doc(mod, name)
    if doc: res.append(raw("".join(f"<p>{inline(' '.join(p.split()), up)}</p>" for p in doc.split("\n\n"))))
    t = table(mod, name, up)
    if t: res.append(raw(f'<div class="table-scroll">{t}</div>'))
    return "\n\n".join(res)


# --- the pages

def module_doc(mod):
    return (module(mod).__doc__ or "").strip()


def module_page(mod):
    "The page of one module"
    file, title = modules()[mod]
    page, wing = page_of(file), "engine room" if in_engine(mod) else "chapter"
    front = yaml.safe_dump(dict(title=f"{lib}.{mod}", description=module_doc(mod)), width=10**6)
    res = [f"---\n{front}---"]
    res.append(raw(f'<p class="api-home">From the {wing}: '
                   f'<a href="../{page}">{html.escape(title)}</a>. '
                   f'<a href="{source_url(mod)}">Source of the module</a>.</p>'))
    for name in symbols(mod):
        level = "###" if "." in name else "##"
        res.append(f"{level} {name} {{#{anchor(name)} .api-heading}}")
        res.append(raw(f'<p class="api-links"><span class="api-kind">{kind(mod, name)}</span> '
                       f'<a href="../{page}#{anchor(name)}" aria-label="{name} in the {wing}">'
                       f'in the {wing}</a> <a href="{source_url(mod, name)}" aria-label="Source of {name}">'
                       'source</a></p>'))
        res.append(body(mod, name, "../"))
    return "\n\n".join(res) + "\n"


def index_page():
    "All names on one page"
    def module_list(mods):
        res = []
        for mod in mods:
            links = " ".join(f'<a href="{mod}.html#{anchor(o)}"><code>{o}</code></a>'
                             for o in symbols(mod) if "." not in o)
            res.append(f'<dt><a href="{mod}.html"><code>{mod}</code></a> {inline(module_doc(mod), "../")} '
                       f'<span class="api-from">{place(mod)}</span></dt><dd>{links}</dd>')
        return raw('<dl class="api-modules">' + "\n".join(res) + "</dl>")
    rows = sorted(((o, mod) for mod in modules() for o in symbols(mod)), key=lambda o: (o[0].lower(), o[0]))
    table = "\n".join(
        f'<tr><th scope="row"><a href="{mod}.html#{anchor(o)}"><code>{o}</code></a></th>'
        f'<td>{kind(mod, o)}</td><td>{inline(summary(mod, o), "../")}</td><td>{place(mod)}</td></tr>'
        for o, mod in rows)
    return "\n\n".join([
        '---\ntitle: "API reference"\ndescription: "Every name that the package exports: signature, '
        'parameters, errors, source, and the notebook that introduces it"\n---',
        f"Everything below comes with `from {lib}.all import *`, the command line aside. Types, shapes and "
        "units are those of the docstrings; each name links to the notebook that builds it.",
        "## Modules of the chapters", module_list(o for o in modules() if not in_engine(o)),
        "## Modules of the engine room", module_list(filter(in_engine, modules())),
        "## All names", f"{len(rows)} names, methods included.",
        raw('<div class="table-scroll"><table class="api-index"><thead><tr><th>Name</th><th>Kind</th>'
            '<th>What it is</th><th>From</th></tr></thead>'
            f'<tbody>{table}</tbody></table></div>')]) + "\n"


def write(folder):
    "The reference as Markdown pages in `folder`"
    folder.mkdir(parents=True, exist_ok=True)
    (folder/"index.md").write_text(index_page(), encoding="utf-8")
    for mod in modules(): (folder/f"{mod}.md").write_text(module_page(mod), encoding="utf-8")
