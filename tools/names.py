"What the package exports: its modules and names, and their docstrings and docments as autodoc's fields"
import ast
import importlib
import inspect
import re
from functools import cache
from operator import attrgetter
from pathlib import Path

import yaml
from fastcore.docments import docments
from project import cells, root, settings

lib, cfg = "lmfromscratch", settings()


@cache
def sidebar(nbs=root/"nbs"):
    "`(part, file)` of each page that sidebar.yml lists; the part is '' outside a section"
    listed = yaml.safe_load((nbs/"sidebar.yml").read_text(encoding="utf-8"))["website"]["sidebar"]["contents"]
    return [(o.get("section", ""), p["href"]) for o in listed for p in o.get("contents", [o])]


def page_of(file):
    "The address that nbdev's links use, without .html: 01_data.ipynb is data"
    return re.sub(r"^\d+_", "", file.rpartition(".")[0])


@cache
def modules():
    "`module: file` of each chapter in the order of the course, then of the engine room, with a dot"
    found = {page_of(f).replace("/", "."): f for _, f in sidebar() if re.match(r"\d+_|engine/", f)}
    return dict(sorted(found.items(), key=lambda o: "." in o[0]))


@cache
def title_of(file):
    "The title of a notebook, after its number if it is a chapter"
    number = re.match(r"0*(\d+)_", file)
    title = cells(root/"nbs"/file)[0]["source"].splitlines()[0].lstrip("# ")
    return f"{number[1]}. {title}" if number else title


def module(mod): return importlib.import_module(f"{lib}.{mod}")


@cache
def symbols(mod):
    "Names that `mod` exports, and public methods of its classes and of those it patches, as in the source"
    def public(name, node): return re.fullmatch(r"[^\W_]\w*\.[^\W_]\w*", name) and hasattr(node, "args")
    found = [k for k, v in nodes(mod).items() if k in module(mod).__all__ or public(k, v)]
    return found + [o for o in module(mod).__all__ if o not in found] # From another package


def defined(body):
    "`name: definition` for the statements of a module or a cell, methods included"
    res = {}
    for o in body:
        for t in getattr(o, "targets", [getattr(o, "target", None)]): # `a`, `b`, `C.d` in `a, b = C.d = ...`
            for p in getattr(t, "elts", [t]):
                if isinstance(p, (ast.Name, ast.Attribute)): res.setdefault(ast.unparse(p), o)
        if not isinstance(o, (ast.FunctionDef, ast.ClassDef)): continue
        patch = any("patch" in ast.unparse(p) for p in o.decorator_list) and o.args.args[0].annotation
        res[f"{ast.unparse(patch)}.{o.name}" if patch else o.name] = o
        if isinstance(o, ast.ClassDef):
            res |= {f"{o.name}.{p.name}": p for p in o.body if isinstance(p, ast.FunctionDef)}
    return res


@cache
def nodes(mod): return defined(ast.parse(Path(module(mod).__file__).read_text(encoding="utf-8")).body)


@cache
def home(name):
    "`(module, name)` of an exported name as it stands between backticks, or None"
    return next(((mod, o) for mod in modules() if (o := re.sub(r"\(.*\)$", "", name)) in symbols(mod)), None)


def kind(mod, name):
    "What autodoc calls it"
    obj = attrgetter(name)(module(mod))
    if "." in name: return "property" if isinstance(obj, property) else "method"
    if inspect.isclass(obj): return "exception" if issubclass(obj, BaseException) else "class"
    return "function" if inspect.isroutine(obj) else "data"


def rst(s):
    "Text with code between backticks as reStructuredText that means the same"
    parts = re.split(r"`([^`]+)`", s or "")
    parts[::2] = [re.sub(r"([*_|\\<>`])", r"\\\1", o) for o in parts[::2]]
    parts[1::2] = [rf"\ ``{o}``\ " for o in parts[1::2]]
    return "".join(parts)


def errors(node):
    "The exceptions that a definition raises by name, a class in its `__init__`"
    body = node.body if isinstance(node, ast.ClassDef) else [node]
    made = [o for o in body if o is node or getattr(o, "name", "") == "__init__"]
    raised = [n.exc for o in made for n in ast.walk(o) if isinstance(n, ast.Raise) and n.exc]
    found = dict.fromkeys(ast.unparse(getattr(o, "func", o)) for o in raised)
    return [o for o in found if re.search(r"(?:^|\.)[A-Z]", o)]


def doc_lines(mod, name, obj):
    "The docstring that stands at `name` itself, and fields for its docments and its errors"
    node = nodes(mod).get(name)
    if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        n = f" of {len(obj)}" if isinstance(obj, (dict, list, tuple, set)) else ""
        return [f"A ``{type(obj).__name__}``{n}.", ""]
    try: docs = docments(obj, full=True)
    except (TypeError, ValueError): docs = {}
    says = {"returns" if k == "return" else f"param {k}": rst(" ".join(d["docment"].split()))
            for k, d in docs.items() if k not in ("self", "cls") and d.get("docment")}
    if raised := errors(node): says["raises"] = ", ".join(f"``{o}``" for o in raised)
    return [*rst(ast.get_docstring(node)).splitlines(), "", *(f":{k}: {v}" for k, v in says.items()), ""]
