"Run notebooks from top to bottom, slow cells too, each in a fresh kernel, one a core; store their outputs"
import argparse
import json
import os
import re
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import matplotlib.font_manager  # noqa: F401  Built here, so that no cell prints that it builds the font cache.
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
# What nbdev_clean does to one notebook has no public name. Without these, tests/test_project.py cannot start
from nbdev.clean import _clean_cell_output, _nbdev_clean  # Cleaning one notebook has no public name
from nbdev.process import extract_directives
from execnb.nbio import nb2str
from project import joined, name_of, notebooks, root

nbs = root/"nbs"
max_image = 100_000

re_bar_style = re.compile(r"<style>(?:(?!</style>).)*?progress(?:(?!</style>).)*</style>", re.S)
re_bar = re.compile(r"<progress\b.*?</progress>[^<]*", re.S)
re_visible = re.compile(r"<(?:img|svg|table|canvas|iframe|video|audio|input|hr|object)\b")
re_tqdm = re.compile(r"^.*\d+%\|.*\|.*\[.*\][ \t]*\n?", re.M)
re_ansi = re.compile(r"\x1b\[[0-9;]*m")
re_clock = re.compile(r"\b\d+:\d\d(?::\d\d)?\b")
re_styler = re.compile(r"\bT_[0-9a-f]{5}(?=\b|_)")


# --- what runs

class Client(NotebookClient):
    "Runs what `nbdev_test --flags slow` runs, and knows at which cell it is"
    at = 0

    async def async_execute_cell(self, cell, cell_index, **kwargs):
        self.at = cell_index
        if not runs(cell): return cell
        return await super().async_execute_cell(cell, cell_index, **kwargs)


def runs(cell):
    if cell.cell_type != "code" or "nbdev_export(" in cell.source: return False
    flags = extract_directives(cell, remove=False)
    return (flags.get("eval:") or [""])[0].lower() != "false"


def kernel_env(tmp):
    "Settings that make two runs give the same outputs, whatever the user's own settings are"
    (tmp/"matplotlibrc").write_text("svg.hashsalt: lmfromscratch\n")
    threads = os.environ.get("OMP_NUM_THREADS") or "1"
    return os.environ | {
        "PYTHONHASHSEED": "0", "SOURCE_DATE_EPOCH": "0", "MATPLOTLIBRC": str(tmp/"matplotlibrc"),
        "OMP_NUM_THREADS": threads, "MKL_NUM_THREADS": threads, "OPENBLAS_NUM_THREADS": threads,
        "IPYTHONDIR": str(tmp/"ipython"), "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }


# --- what is stored

def tidy_html(s, cell):
    "Without finished progress bars, and with pandas' random style names replaced"
    s = re_bar.sub("", re_bar_style.sub("", s))
    return re_styler.sub("T_" + re.sub(r"\W", "", cell.id)[:8], s)


def is_empty(html): return not re_visible.search(html) and not re.sub(r"<[^>]*>|&nbsp;", "", html).strip()


def tidy(cell):
    "The outputs worth keeping: no progress bars, widgets or empty outputs, no addresses of objects"
    _clean_cell_output(cell, True)
    res = []
    for o in cell.outputs:
        if o.output_type == "stream":
            if o.name == "stderr": o.text = re_tqdm.sub("", o.text)
            if o.text.strip(): res.append(o)
            continue
        if o.output_type in ("display_data", "execute_result"):
            for k in [k for k in o.data if "widget" in k]: del o.data[k]
            if "text/html" in o.data:
                # fastprogress shows its source three times; the text and Markdown of it are of no use
                if o.data.get("text/plain") == o.data["text/html"]: del o.data["text/plain"]
                if o.data.get("text/markdown", "").startswith("```html"): del o.data["text/markdown"]
                o.data["text/html"] = tidy_html(o.data["text/html"], cell)
                if is_empty(o.data["text/html"]): o.data.clear()
            if not any(joined(v).strip() if k.startswith("text") else v for k, v in o.data.items()): continue
        res.append(o)
    return res


def parts(outputs):
    "Text and tables, then pictures, as comparable lists"
    text, pics = [], []
    for o in outputs:
        if o.output_type == "stream": text.append(o.text)
        elif o.output_type == "error": text.append(o.evalue)
        else:
            for k, v in sorted(o.data.items()): (text if k.startswith("text") else pics).append(joined(v))
    return text, pics


def without_clock(text): return [re_clock.sub("0:00", o) for o in text]


def settle(cell, old):
    "Store `cell`'s outputs. Where they differ from the stored ones by a duration alone, keep those"
    if old is None: return bool(parts(cell.outputs)[0])
    new_text, new_pics = parts(cell.outputs)
    old_text, old_pics = parts(old)
    if without_clock(new_text) != without_clock(old_text): return True
    if new_pics == old_pics: cell.outputs = old
    return False


def picture_sizes(cell):
    "Bytes of each picture as it stands in the notebook"
    for o in cell.outputs:
        for k, v in o.get("data", {}).items():
            if k.startswith("image/"): yield k, len(joined(v).encode())


def warnings(nb):
    machine = {str(root), sys.prefix, str(Path.home())} - {"/"}
    for i, c in enumerate(nb.cells):
        if c.cell_type != "code": continue
        for k, n in picture_sizes(c):
            if n > max_image: yield f"cell {i} ({c.id}): {k} of {n/1000:.0f} KB, over {max_image/1000:.0f}"
        text = "".join(map(joined, parts(c.outputs)[0]))
        for o in machine:
            if o in text: yield f"cell {i} ({c.id}): its output names a path of this machine: {o}"


def write(nb, path):
    "Cleaned as by nbdev_clean; all or nothing"
    d = json.loads(nbformat.writes(nb))
    _nbdev_clean(d)
    tmp = path.with_name(f".{path.name}.tmp")
    tmp.write_text(nb2str(d), encoding="utf-8")
    os.replace(tmp, path)


# --- one notebook, all notebooks

def first_line(cell):
    return next((o for o in cell.source.splitlines() if o.strip() and not re.match(r"\s*#\s*\|", o)), "")


def computed():
    "Seconds that the processor spent on kernels that have ended"
    o = resource.getrusage(resource.RUSAGE_CHILDREN)
    return o.ru_utime + o.ru_stime


def run_nb(path, env, dry_run=False):
    "Run the notebook at `path`; True if every cell ran. Nothing is written otherwise"
    name, folder, path = name_of(path, nbs), path.parent, path.resolve()
    nb = nbformat.read(path, as_version=4)
    code = [c for c in nb.cells if c.cell_type == "code"]
    stored = {c.id: list(c.outputs) for c in code}
    nb.metadata.pop("widgets", None)
    client = Client(nb, timeout=None, kernel_name="python3", extra_arguments=["--log-level=ERROR"],
                    record_timing=False, store_widget_state=False, coalesce_streams=True,
                    resources={"metadata": {"path": str(folder)}})
    start, before = time.perf_counter(), computed()
    try: client.execute(env=env)
    except Exception as e:
        cell = nb.cells[client.at]
        why = e.traceback if isinstance(e, CellExecutionError) else repr(e)
        if not sys.stdout.isatty(): why = re_ansi.sub("", why)
        print(f"{name}: FAILED after {time.perf_counter()-start:.0f} s at cell {client.at} ({cell.id}): "
              f"{first_line(cell)}\n{why}\n{name}: left as it was", flush=True)
        return False
    seconds = time.perf_counter() - start
    changed, n_text = [], 0
    for i, c in enumerate(nb.cells):
        if c.cell_type != "code": continue
        c.outputs = tidy(c)
        if settle(c, stored[c.id] or None): changed.append((i, c))
        n_text += bool(parts(c.outputs)[0])
    if not dry_run: write(nb, path)
    print(f"{name}: {seconds:.1f} s, {computed()-before:.0f} s of computing, {len(code)} code cells, "
          f"{n_text} with text or tables, {len(changed)} of them changed", flush=True)
    for i, c in changed: print(f"    changed: cell {i} ({c.id}) {first_line(c)}")
    for o in warnings(nb): print(f"    warning: {o}")
    return True


def wants_all(path):
    "Does the notebook time several threads? It runs when no other does"
    return re.search(r"threads=2|set_num_threads\(2", path.read_text(encoding="utf-8")) is not None


def find(names):
    "Notebooks by path, by name with or without number, or by how the name begins: 02 is nbs/02_rnn.ipynb"
    known = {name_of(p, nbs): p for p in notebooks(nbs)}
    res = []
    for o in names or known:
        path = Path(o).absolute()
        name = name_of(path, nbs) if path.is_relative_to(nbs) else o.removesuffix(".ipynb")
        found = [k for k in known if name in (k, Path(k).name, re.sub(r"^\d+_", "", k))]
        if name in known: found = [name]
        if len(found) > 1: sys.exit(f"{o} is {' or '.join(found)}: name one of them")
        found = found or [k for k in known if k.startswith(name)]
        if not found: sys.exit(f"No notebook {o} in nbs/ or nbs/engine/")
        res += [known[k] for k in found]
    return res


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("names", nargs="*", help="notebooks to run; all if none is given")
    p.add_argument("--dry-run", action="store_true", help="run and compare, write nothing")
    p.add_argument("--jobs", type=int, default=os.cpu_count(), help="notebooks at once, if not one a core")
    args = p.parse_args()
    paths = find(args.names)
    os.chdir(root)
    start, ran = time.perf_counter(), {}
    alone = [o for o in paths if wants_all(o)]
    with tempfile.TemporaryDirectory() as tmp:
        env = kernel_env(Path(tmp))
        with ProcessPoolExecutor(args.jobs) as pool:
            ran |= {o: pool.submit(run_nb, o, env, args.dry_run) for o in paths if o not in alone}
        ran = {o: job.result() for o, job in ran.items()} | {o: run_nb(o, env, args.dry_run) for o in alone}
    failed = [name_of(o, nbs) for o in paths if not ran[o]]
    print(f"{len(paths) - len(failed)} of {len(paths)} notebooks in {time.perf_counter()-start:.0f} s")
    if failed: sys.exit("Failed: " + ", ".join(failed))


if __name__ == "__main__": main()
