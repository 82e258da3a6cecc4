"The rules by which the house is built: which way the arrows point, how long a module may be, what is shown"
import ast
import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest
import yaml

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root/"tools"))
from project import cells, chapters, name_of, notebooks  # noqa: E402

lib = root/"lmfromscratch"
files = [p for p in sorted(lib.rglob("*.py")) if p.name not in ("__init__.py", "_modidx.py", "all.py")]
modules = {".".join(p.relative_to(lib).with_suffix("").parts): p for p in files}
trees = {m: ast.parse(p.read_text(encoding="utf-8")) for m, p in modules.items()}
each_chapter = pytest.mark.parametrize("nb", chapters(), ids=name_of)
max_lines, max_silent = 250, 0.4


def imports(mod):
    "`(module, name)` for each name that `mod` imports from the package, anywhere; no name: the module itself"
    for node in ast.walk(trees[mod]):
        if isinstance(node, ast.Import):
            yield from ((o.name.removeprefix("lmfromscratch."), "") for o in node.names)
        if not isinstance(node, ast.ImportFrom): continue
        here = mod.split(".")[:-node.level] if node.level else []
        parts = here + (node.module or "").split(".")
        if not node.level and parts.pop(0) != "lmfromscratch": continue
        for o in node.names: # A name, or a module of the package's folder
            of, name = ".".join(filter(None, parts)), o.name
            inner = f"{of}.{name}".strip(".")
            yield (inner, "") if inner in modules else (of, name)


def test_arrows_point_one_way():
    graph = {m: {of for of, _ in imports(m)} & modules.keys() for m in modules}
    assert graph["train"] and graph["engine.cli"], "the imports were not understood"
    try: list(TopologicalSorter(graph).static_order())
    except CycleError as e: pytest.fail("modules import each other in a circle: " + " <- ".join(e.args[1]))


def test_no_module_takes_anothers_underscored_names():
    found = sorted(f"{m} takes {name} from {of}" for m in modules for of, name in imports(m)
                   if name.startswith("_") and not name.startswith("__"))
    assert not found, "\n".join(["what two modules need has a name without an underscore:", *found])


@each_chapter
def test_chapters_module_is_short(nb):
    n = len((lib/f"{nb.stem[3:]}.py").read_text(encoding="utf-8").splitlines())
    assert n <= max_lines, f"{nb.stem[3:]}.py has {n} lines: what is only to be used goes to the engine room"


def shown(cell):
    "If a reader sees the code of the cell, or what it prints"
    flags = dict(re.findall(r"^#\s*\|\s*([\w-]+):? *(\S*)", cell["source"], re.M))
    return not {"hide", "export", "default_exp"} & flags.keys() and flags.get("include") != "false"


@each_chapter
def test_chapter_shows_what_its_code_does(nb):
    code = [c for c in cells(nb, "code") if shown(c)]
    silent = [c["id"] for c in code if not c["outputs"]]
    share = len(silent) / len(code)
    assert share <= max_silent, (f"{nb.stem}: {len(silent)} of {len(code)} visible cells show nothing "
                                 f"({share:.0%}, {max_silent:.0%} may): {' '.join(silent)}")


def faults(c):
    "What would make a bad page of one code cell"
    options = "\n".join(re.findall(r"(?m)^#\| *([\w-]+:.*)$", c["source"]))
    try: options = yaml.safe_load(options) or {}
    except yaml.YAMLError:
        yield f"{c['id']} has #| options that are not YAML: is there a colon in a caption?"
    for o in c["outputs"]:
        if o["output_type"] == "error": yield f"{c['id']} stores an error, {o['ename']}: mend and run it."
        drawn = any(k.startswith("image/") for k in o.get("data", {}))
        if drawn and "fig-alt" not in options: yield f"{c['id']} shows a picture: add a #| fig-alt."


@pytest.mark.parametrize("nb", notebooks(), ids=name_of)
def test_cells_make_good_pages(nb): assert [o for c in cells(nb, "code") for o in faults(c)] == []


def test_bad_cells_are_named():
    picture = dict(output_type="display_data", data={"image/svg+xml": "<svg/>"})
    def said(source, *outputs): return " ".join(faults(dict(id="x", source=source, outputs=outputs)))
    assert said("#| fig-alt: A line\n#| slow\nplot()", picture) == ""
    assert "fig-alt" in said("plot()", picture)
    assert "colon" in said("#| fig-cap: One: two\nplot()")
    assert "KeyError" in said("d[1]", dict(output_type="error", ename="KeyError"))


def test_no_model_is_probed():
    "What a model may lack has a written default in `LM`"
    [wrapper] = [o for o in trees["state"].body if isinstance(o, ast.ClassDef) and o.name == "Windowed"]
    wrapper = {id(o) for o in ast.walk(wrapper)}
    found = [f"{m}, line {o.lineno}: {ast.unparse(o)}" for m, tree in trees.items() for o in ast.walk(tree)
             if isinstance(o, ast.Call) and ast.unparse(o.func) in ("getattr", "hasattr")
             and re.search(r"(?:^|\.)model$", ast.unparse(o.args[0]))
             and id(o) not in wrapper] # `Windowed` makes an `LM` of a module that has no defaults
    assert not found, "\n".join(["give the attribute a default in `LM`, and ask for it plainly:", *found])
