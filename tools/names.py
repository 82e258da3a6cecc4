"What the package exports: the pages of the course, the names of each module, and what their docments say"
import ast
import importlib
import inspect
import re
from functools import cache
from pathlib import Path

import yaml
from fastcore.docments import docments
from project import cells, root, settings

lib = "lmfromscratch"
cfg = settings()
left_out = set() # Files of sidebar.yml that a draft does without


# --- the course and the engine room: their notebooks and modules

@cache
def sidebar(nbs=root/"nbs"):
    "`(part, file)` of each page that sidebar.yml lists; the part is '' outside a section"
    res = []
    def walk(items, part):
        for o in items:
            if "section" in o: walk(o["contents"], o["section"])
            else: res.append((part, o["href"]))
    walk(yaml.safe_load((nbs/"sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"], "")
    return res


def page_of(file):
    "The address that nbdev's links use, without .html: 01_data.ipynb is data, engine/runs.ipynb is engine/runs"
    return re.sub(r"^\d+_", "", file.rpartition(".")[0])


@cache
def modules():
    "`module: file` of each chapter in the order of the course, then of the engine room"
    found = {page_of(f).replace("/", "."): f for _, f in sidebar()
             if re.match(r"\d+_|engine/", f) and f not in left_out}
    return dict(sorted(found.items(), key=lambda o: in_engine(o[0])))


def in_engine(mod): return mod.startswith("engine.")


@cache
def title_of(file, nbs=root/"nbs"):
    "The title of a notebook, after its number if it is a chapter"
    number = re.match(r"0*(\d+)_", file)
    return (f"{number[1]}. " if number else "") + cells(nbs/file)[0]["source"].splitlines()[0].lstrip("# ")


# --- the names of a module

@cache
def module(name): return importlib.import_module(f"{lib}.{name}")


@cache
def symbols(mod):
    "Names that `mod` exports, those in `__all__` and public methods, in the order of the source"
    m = module(mod)
    syms = importlib.import_module(f"{lib}._modidx").d["syms"].get(f"{lib}.{mod}", {})
    names = list(m.__all__)
    for o in syms:
        name = o.removeprefix(f"{lib}.{mod}.")
        cls, _, meth = name.partition(".")
        if not meth or meth.startswith("_") or cls.startswith("_") or name not in nodes(mod): continue
        if inspect.isclass(getattr(m, cls, None)): names.append(name)
    # Methods stand under their class, where the class is from this module
    def place(o): return line_of(mod, o.split(".")[0]) or line_of(mod, o), "." in o, line_of(mod, o)
    return sorted(dict.fromkeys(names), key=place)


def patched_class(node):
    "The class to which `@patch` adds the function `node`, or None"
    if not any("patch" in ast.unparse(o) for o in getattr(node, "decorator_list", [])): return
    args = node.args.posonlyargs + node.args.args
    return ast.unparse(args[0].annotation) if args and args[0].annotation else None


def defined(body):
    "`name: definition` for the statements of a module or a cell, methods included"
    res = {}
    for o in body:
        if isinstance(o, (ast.FunctionDef, ast.ClassDef)):
            cls = patched_class(o)
            res[f"{cls}.{o.name}" if cls else o.name] = o
            if isinstance(o, ast.ClassDef):
                res |= {f"{o.name}.{p.name}": p for p in o.body if isinstance(p, ast.FunctionDef)}
        for t in getattr(o, "targets", [getattr(o, "target", None)]): # `a`, `b` and `C.d` in `a, b = ...` and `C.d = ...`
            for p in getattr(t, "elts", [t]):
                if isinstance(p, (ast.Name, ast.Attribute)): res.setdefault(ast.unparse(p), o)
    return res


@cache
def nodes(mod): return defined(ast.parse(Path(module(mod).__file__).read_text(encoding="utf-8")).body)


def line_of(mod, name): return getattr(nodes(mod).get(name), "lineno", 0)


def source_url(mod, name):
    line = line_of(mod, name)
    at = f"#L{line}" if line else ""
    return f"{cfg['git_url']}/blob/{cfg['branch']}/{lib}/{mod.replace('.', '/')}.py{at}"


@cache
def home(name):
    "`(module, name)` of an exported name as it stands between backticks, or None"
    name = re.sub(r"\(.*\)$", "", name)
    return next(((mod, name) for mod in modules() if name in symbols(mod)), None)


def kind(mod, name):
    "What autodoc calls it"
    first, *more = name.split(".")
    obj = getattr(module(mod), first)
    if more: return "property" if isinstance(inspect.getattr_static(obj, more[0]), property) else "method"
    if inspect.isclass(obj): return "exception" if issubclass(obj, BaseException) else "class"
    return "function" if inspect.isroutine(obj) else "data"


# --- what docstrings and docments say, as autodoc's fields

def rst(s):
    "A line with code between backticks as reStructuredText that means the same"
    parts = re.split(r"`([^`]+)`", s or "")
    return "".join(rf"\ ``{o}``\ " if i % 2 else re.sub(r"([*_|\\<>`])", r"\\\1", o) for i, o in enumerate(parts))


def errors(node):
    "The exceptions that a definition raises by name"
    body = [node] if isinstance(node, ast.FunctionDef) else [
        o for o in node.body if getattr(o, "name", "") == "__init__"]
    raised = [n.exc for b in body for n in ast.walk(b) if isinstance(n, ast.Raise) and n.exc is not None]
    names = [ast.unparse(getattr(o, "func", o)) for o in raised]
    return [o for o in dict.fromkeys(names) if re.search(r"(?:^|\.)[A-Z]", o)]


def written(anno):
    "A type as the source has it"
    if isinstance(anno, type) and not getattr(anno, "__args__", ()): return anno.__name__
    return re.sub(r"\b(?:typing|pathlib|collections\.abc)\.", "", str(anno))


def doc_lines(mod, name, obj):
    "The docstring that stands at `name` itself, and fields for its docments and its errors"
    node = nodes(mod).get(name)
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        n = f" of {len(obj)}" if isinstance(obj, (dict, list, tuple, set)) else ""
        return [f"A ``{type(obj).__name__}``{n}.", ""]
    res = [*rst(ast.get_docstring(node)).splitlines(), ""]
    try: docs = docments(obj, full=True)
    except (TypeError, ValueError): docs = {}
    for k, d in docs.items():
        says, of = rst(" ".join((d.get("docment") or "").split())), d.get("anno", inspect.Parameter.empty)
        anno = f"``{written(of)}``" if of not in (None, inspect.Parameter.empty) else ""
        if k in ("self", "cls") or not says and not anno or k == "return" and isinstance(node, ast.ClassDef): continue
        if k == "return": res.append(f":returns: {' – '.join(filter(None, [anno, says]))}")
        else: res += [f":param {k}: {says}", *[f":type {k}: {anno}"]*bool(anno)]
    raised = ", ".join(f"``{o}``" for o in errors(node))
    return [*res, *[f":raises: {raised}"]*bool(raised), ""]


def slug(title):
    "The anchor of a heading as Quarto makes it"
    return re.sub(r"^[^a-z]+", "", re.sub(r"\s", "-", re.sub(r"[^\w\s.-]", "", title.lower())))
