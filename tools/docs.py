"Build the site into `_docs` and README.md beside it, and check every link. No Quarto, no network but npm's"
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import yaml
from project import cells, joined, name_of, notebooks, root

tools = root/"tools"
re_page = re.compile(r"(?<![\w-])(\d\d_\w+)\.html")


def stop(*lines): sys.exit("\n".join(lines))


# --- before: what would make a bad page

def cell_faults(c):
    "What is wrong with one code cell"
    lines = re.findall(r"(?m)^#\| *([\w-]+:.*)$", c["source"])
    try: options = yaml.safe_load("\n".join(lines)) or {}
    except yaml.YAMLError:
        yield "has #| options that are not YAML, so none of them counts. Is there a colon in a caption?"
        options = {}
    for o in c["outputs"]:
        if o["output_type"] == "error": yield f"stores an error, {o['ename']}. Mend and run it."
        drawn = any(k.startswith("image/") for k in o.get("data", {}))
        if drawn and not options.get("fig-alt"): yield "shows a picture without words. Add a #| fig-alt."


def faults(nbs=root/"nbs"):
    "What is wrong with the sources: each line names a file and what to do"
    import reference
    listed = [f for _, f, _ in reference.sidebar(nbs)]
    for p in notebooks(nbs):
        name, code = name_of(p, nbs), cells(p, "code")
        if f"{name}.ipynb" not in listed:
            yield f"nbs/{name}.ipynb: no page of the site leads to it. Add it to nbs/sidebar.yml."
        if code and not any(c["outputs"] for c in code):
            yield f"nbs/{name}.ipynb: no outputs are stored. Run `make notebooks NB={name}`."
        for c in code:
            for o in cell_faults(c): yield f"nbs/{name}.ipynb: cell {c['id']} {o}"
    for f in listed:
        if not (nbs/f).exists() and not f.startswith("reference/"):
            yield f"nbs/sidebar.yml: there is no nbs/{f}. Remove it there, or add the file."


# --- the pages

def process(src, base):
    "The notebooks as the site shows them, and the reference, as sources for smalldocs in `src`"
    import nbdev.serve
    import pages
    import reference
    from nbdev.quarto import refresh_quarto_yml
    refresh_quarto_yml()
    shutil.rmtree(src, ignore_errors=True)
    nbdev.serve.FilterDefaults = pages.Show
    shutil.copytree(nbdev.serve.proc_nbs(force=True, n_workers=0), src)
    reference.write(src/"reference")
    def links(s):
        s = s.replace("](../playground/", f"]({base}/playground/")
        # nbdev makes a link of each exported name, of one that stands in a link as well: that link goes
        s = re.sub(r"\[\[(`[^`\]]+`)\]\([^)]*\)\]\(", r"[\1](", s)
        for f in reference.left_out:
            s = re.sub(rf"\[([^\]]*)\]\((?:\.\./)?(?:engine/)?{re.escape(Path(f).name)}[^)]*\)", r"\1", s)
        return s
    cites = src/"references.md"
    cites.write_text(pages.with_chapters(cites.read_text(encoding="utf-8"), root/"nbs"), encoding="utf-8")
    for p in src.glob("*.md"): p.write_text(links(p.read_text(encoding="utf-8")), encoding="utf-8")
    for p in src.rglob("*.ipynb"):
        nb = json.loads(p.read_text(encoding="utf-8"))
        for c in nb["cells"]:
            if c["cell_type"] == "markdown": c["source"] = links(joined(c["source"]))
            # nbdev names the page in the front matter; smalldocs would show it, so `rename` does it instead
            if c["cell_type"] == "raw":
                c["source"] = re.sub(r"^output-file:.*\n", "", joined(c["source"]), flags=re.M)
            # A drawing begins with <svg, or smalldocs does not give it its alternative text
            for o in c.get("outputs", []):
                data = o.get("data", {})
                if drawing := joined(data.get("image/svg+xml", "")):
                    data["image/svg+xml"] = re.sub(r"^.*?(?=<svg)", "", drawing, flags=re.S)
        p.write_text(json.dumps(nb), encoding="utf-8")
    # The site has a frame and a style sheet of its own
    (src/"sidebar.yml").write_text("website: {}\n")
    q = src/"_quarto.yml"
    settings = q.read_text(encoding="utf-8")
    q.write_text(re.sub(r"theme:\n( +(?:light|dark):.*\n)+", "theme: default\n", settings), encoding="utf-8")


def smalldocs(src):
    r = subprocess.run([sys.executable, "-m", "smalldocs.cli", "render", "--quiet", "--strict", str(src)],
                       capture_output=True, text=True)
    out = (r.stdout + r.stderr).strip().replace("warning: ", "")
    out = out.replace(": broken link ", ": this link leads nowhere: ")
    out = re.sub(r"(?<![\w/])((?:engine/)?\w+\.(?:ipynb|md)): ", r"nbs/\1: ", out)
    if r.returncode: stop(out, "The site was not built: mend what stands above, and run `make docs` again.")


def finish(src, out, cfg):
    "The pages in `out`, with the site's own frame, under nbdev's names: 01_data.html is data.html"
    import shell
    base = cfg.doc_host + cfg.doc_baseurl
    about = SimpleNamespace(title=cfg.title, description=cfg.description, git_url=cfg.git_url)
    shutil.rmtree(out, ignore_errors=True)
    made = []
    for p in sorted(src.rglob("*.html")):
        name = p.relative_to(src)
        name = (name.parent/re.sub(r"^\d+_", "", name.name)).as_posix()
        text = re_page.sub(lambda m: re.sub(r"^\d+_", "", m.group()), p.read_text(encoding="utf-8"))
        page = shell.read(text, name, base)
        (out/name).parent.mkdir(parents=True, exist_ok=True)
        (out/name).write_text(shell.whole(page, about), encoding="utf-8")
        made.append(page)
    (out/"search.json").write_text(shell.search_index(made), encoding="utf-8")
    listed = [o[0] for o in shell.order()]
    made.sort(key=lambda p: listed.index(p.name) if p.name in listed else len(listed))
    urls = "\n".join(f"<url><loc>{base}/{p.name}</loc></url>" for p in made)
    (out/"sitemap.xml").write_text('<?xml version="1.0" encoding="UTF-8"?>\n<urlset xmlns='
                                   f'"http://www.sitemaps.org/schemas/sitemap/0.9">\n{urls}\n</urlset>\n')
    (out/".nojekyll").touch()
    for p in src.rglob("*"):
        if p.suffix in (".svg", ".png", ".gif", ".jpg", ".webp") and "site_libs" not in p.parts:
            to = out/p.relative_to(src)
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(p, to)


def node_modules():
    "The packages that tools/package-lock.json names"
    from lmfromscratch.engine.page import node_modules
    return node_modules(tools)


def assets(out):
    "Everything that a page loads: the style sheet, the script, and KaTeX with its fonts"
    shutil.copytree(tools/"site", out/"site")
    katex = node_modules()/"katex"/"dist"
    (out/"site"/"katex"/"fonts").mkdir(parents=True)
    shutil.copy2(katex/"katex.min.js", out/"site"/"katex")
    css = (katex/"katex.min.css").read_text(encoding="utf-8")
    # woff2 is what every browser of the last ten years takes
    css = re.sub(r",url\([^)]*\.(?:woff|ttf)\) format\(\"\w+\"\)", "", css)
    (out/"site"/"katex"/"katex.min.css").write_text(css, encoding="utf-8")
    for f in (katex/"fonts").glob("*.woff2"): shutil.copy2(f, out/"site"/"katex"/"fonts")
    shutil.copy2(katex.parent/"LICENSE", out/"site"/"katex")


def playground(out):
    "The page that runs the trained models, with links back to their chapters"
    from lmfromscratch.engine.page import build_page
    build_page(out=out/"playground", chapters="..")


# --- after: what a reader would run into

def broken(out):
    "`(page, what)` for each link in `out` to a page, a file or an anchor that is not there"
    files = sorted(out.rglob("*.html"))
    pages = {p.relative_to(out).as_posix(): p.read_text(encoding="utf-8") for p in files}
    ids = {name: set(re.findall(r'\sid="([^"]+)"', s)) for name, s in pages.items()}
    for name, s in pages.items():
        if name.startswith("playground/"): continue
        for to in re.findall(r'<a\b[^>]*\shref="([^"]*)"', s):
            if re.match(r"[a-z]+:|//", to): continue
            file, _, anchor = to.partition("#")
            file = file.partition("?")[0]
            file = os.path.normpath(os.path.join(os.path.dirname(name), file)) if file else name
            if not (out/file).is_file(): yield name, f"the link {to} leads nowhere"
            elif anchor and file in ids and anchor not in ids[file]:
                yield name, f"the page of {to} has no #{anchor}"


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--check", action="store_true", help="fail if README.md is stale, instead of writing it")
    p.add_argument("--out", type=Path, help="folder for the site; _docs if none is given")
    p.add_argument("--draft", action="store_true", help="leave out the notebooks that are not ready")
    args = p.parse_args()
    start = time.perf_counter()
    if not find_spec("smalldocs"): stop("The site needs smalldocs, which needs Python 3.11 or newer.")
    os.chdir(root)
    import readme
    import reference
    import shell
    from nbdev.config import get_config
    bad = list(faults())
    if args.check and readme.stale(): bad.append("README.md: differs from index.ipynb. Run `make readme`.")
    if bad and not args.draft: stop(*bad, "The site was not built.")
    if not args.check: readme.write()
    cfg = get_config()
    if args.draft: reference.leave_out({o.split(":")[0][4:] for o in bad if o.startswith("nbs/")})
    out, src = args.out or cfg.doc_path, root/"_site"
    process(src, cfg.doc_host + cfg.doc_baseurl)
    if args.draft:
        for f in reference.left_out: (src/f).unlink(missing_ok=True)
        print(*bad, "Left out of this draft, with the links to them: the notebooks above.", sep="\n")
    smalldocs(src)
    new = src/"_new"
    finish(src/cfg.doc_path.name, new, cfg)
    assets(new)
    playground(new)
    shutil.rmtree(out, ignore_errors=True)
    shutil.move(new, out)
    shutil.rmtree(src)
    source = {shell.page_of(f): f"nbs/{f}" for _, f, _ in reference.sidebar()}
    bad = [f"{source.get(name, name)}: {what}" for name, what in broken(out)]
    if bad and not args.draft:
        stop(*bad, f"The site is in {out.name}, but a reader would meet what stands above. Mend the links.")
    n = len(list(out.rglob("*.html")))
    print(f"{n} pages in {out.name}/ in {time.perf_counter() - start:.0f} s")


if __name__ == "__main__": main()
