"The site as its readers meet it: links, outputs, contrast, search, weight, and nothing from another host"
import ast
import json
import math
import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pytest
from test_project import chapters, edit, engine, exports

root = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(root/"tools"))
from project import cells, copy_checkout, name_of  # noqa: E402

from lmfromscratch.engine.page import node_modules  # noqa: E402

pytestmark = pytest.mark.skipif(not find_spec("sphinx"), reason="Sphinx 8.2 needs Python 3.11 or newer")
pages = {p: exports(p).replace(".", "/") + ".html" for p in chapters + engine}
each_page = pytest.mark.parametrize("nb", pages, ids=name_of)
max_weight = 1_500_000


def run(*args, cwd=root):
    cmd = [sys.executable, "tools/docs.py", *map(str, args)]
    return subprocess.run(cmd, cwd=cwd, capture_output=True, text=True)


@pytest.fixture(scope="session")
def site(tmp_path_factory):
    "The folder of a site that has just been built"
    out = tmp_path_factory.mktemp("site")/"docs"
    r = run("--check", "--out", out)
    assert r.returncode == 0, r.stdout + r.stderr
    return out


@pytest.fixture(scope="session")
def texts(site):
    "The HTML of each page of the course by its address; the playground has tests of its own"
    files = sorted(site.rglob("*.html"))
    pages = {p.relative_to(site).as_posix(): p.read_text(encoding="utf-8") for p in files}
    return {k: v for k, v in pages.items() if not k.startswith("playground/")}


def without(html, *tags):
    for t in tags: html = re.sub(rf"<{t}\b.*?</{t}>", "", html, flags=re.S)
    return html


# --- what is on the pages

def test_every_notebook_has_a_page(texts):
    wanted = {"index.html", "glossary.html", "references.html", "reference/index.html", *pages.values(),
              "404.html", "search.html", *(f"reference/{exports(o)}.html" for o in pages)}
    assert wanted == set(texts)


def side_list(html):
    return re.sub(r"\s+", " ", html.split('aria-label="Course">')[1].split("</nav>")[0])


def test_the_engine_room_stands_after_the_course(texts):
    "In the list beside the text, and by the links to the page before and after"
    before, wing = side_list(texts["index.html"]).split("Engine room<")
    assert "export.html" in before and "engine/" not in before
    assert all(f'href="{pages[p]}"' in wing for p in engine)
    last = pages[chapters[-1]]
    first = re.search(r'class="right-next"\s+href="(engine/\w+\.html)"', texts[last]).group(1)
    assert re.search(rf'class="left-prev"\s+href="../{last}"', texts[first])


def test_side_list_has_the_titles(texts):
    "A chapter has one name: beside the text, above it, and in the links from its neighbours"
    course = side_list(texts["index.html"])
    for page in pages.values():
        title = re.search(r"<h1>(.*?)<a", texts[page], re.S).group(1)
        assert f'href="{page}">{title}</a>' in course, f"{page} has another name in the side list"


def test_reference_has_its_place(texts):
    "In the side list, with links to the page before and after"
    for page, html in texts.items():
        if not page.startswith("reference/"): continue
        assert '<li class="toctree-l1 current' in side_list(html), page
        assert "left-prev" in html and "right-next" in html, page


def broken(pages):
    "`(page, what)` for each link in `pages`, address -> HTML, to a page or an anchor that is not there"
    ids = {name: set(re.findall(r'\sid="([^"]+)"', s)) for name, s in pages.items()}
    for name, s in pages.items():
        for to in re.findall(r'<a\b[^>]*\shref="([^"]*)"', s):
            if re.match(r"[a-z]+:|//|/lmfromscratch/", to): continue
            file, _, anchor = to.partition("#")
            file = os.path.normpath(os.path.join(os.path.dirname(name), file)) if file else name
            if file.startswith("playground/"): continue
            if file not in ids: yield name, f"the link {to} leads nowhere"
            elif anchor and anchor not in ids[file]: yield name, f"the page of {to} has no #{anchor}"


def test_links_and_anchors(site, texts):
    assert list(broken(texts)) == []
    assert (site/"playground"/"index.html").exists() and 'href="playground/index.html"' in texts["index.html"]
    assert 'href="/lmfromscratch/' in texts["404.html"] and 'src="../' not in texts["404.html"]


def test_pages_say_what_they_are(texts, site):
    "To those who meet a link to them elsewhere"
    for page in pages.values():
        picture, words = (re.search(rf'<meta property="og:{o}" content="(.*?)"', texts[page]).group(1)
                          for o in ("image", "description"))
        assert (site/picture.split("/lmfromscratch/")[1]).exists() and len(words) > 20, page


def test_nothing_raw_is_shown(texts):
    "No object's name beside a figure, no warning, traceback or directive, no Markdown or maths left as it is"
    for name, html in texts.items():
        shown = without(html, "style", "script", "svg")
        outputs = "".join(re.findall(r'<div class="cell_output.*?</pre>', shown, re.S))
        for o in ("&lt;Figure", "&lt;Axes", "&lt;matplotlib", "Traceback (most recent", "Warning:"):
            assert o not in outputs, f"{name} shows {o}"
        assert not re.search(r"(?m)^#\s*\|", shown), f"{name} shows a directive"
        prose = re.sub(r"<[^>]+>", "", without(shown, "pre", "code"))
        prose = re.sub(r"\\[\[(].*?\\[\])]", "", prose, flags=re.S) # KaTeX draws these
        assert not re.search(r"\]\([\w/.#-]+\)|^:::|\$\$|\\\[", prose, re.M), name


@each_page
def test_page_has_its_outputs(texts, nb):
    shown = [c for c in cells(nb, "code") if not re.search(r"^#\s*\| *(hide|export)\s*$", c["source"], re.M)]
    html = texts[pages[nb]]
    figures = sum("image/svg+xml" in o.get("data", {}) or "image/png" in o.get("data", {})
                  for c in shown for o in c["outputs"])
    captions = sum("#| fig-cap" in c["source"] for c in shown)
    assert html.count("<figure") >= captions and html.count("<figcaption") >= captions
    assert len(re.findall(r'<img alt="[^"]{10,}"', html)) >= figures, "a figure has no alternative text"
    assert html.count('<div class="cell_output') >= sum(bool(c["outputs"]) for c in shown)
    callouts = sum(c["source"].count("::: {.callout-") for c in cells(nb, "markdown"))
    assert html.count('<details class="callout">') == callouts, "a callout is missing"
    for o in ("chapter-head", ">Needs<", ">Gives<", "prev-next-area"): assert o in html
    for o in ("minutes to read", "Open in Colab"): assert (o in html) == (nb in chapters)


def exported(mod):
    "`__all__` of a module, read from its source"
    file = root/"lmfromscratch"/f"{mod.replace('.', '/')}.py"
    code = ast.parse(file.read_text(encoding="utf-8"))
    return next(ast.literal_eval(o.value) for o in code.body
                if isinstance(o, ast.Assign) and o.targets[0].id == "__all__")


def test_every_exported_name_is_in_the_reference(texts):
    ids = {name: set(re.findall(r'\sid="([^"]+)"', html)) for name, html in texts.items()}
    for nb, page in pages.items():
        mod = exports(nb)
        for name in exported(mod):
            entry = f"lmfromscratch.{mod}.{name}"
            assert entry in ids[f"reference/{mod}.html"], f"{name} is not in the reference"
            assert name.lower() in ids[page], f"{name} has no place in its notebook"
            assert f'.html#{entry}"' in texts["reference/index.html"]


def test_signatures_hold_no_markup(texts):
    for name, html in texts.items():
        for code in re.findall(r"<pre\b.*?</pre>", html, re.S):
            plain = re.sub(r"<[^>]+>", "", code)
            assert not re.search(r"\]\(https?://", plain), f"{name} shows raw links in code"


re_paper = re.compile(r"https?://(?:arxiv\.org|doi\.org|jmlr\.org|proceedings\.mlr\.press)/[^\s)\"'\]]+")


def test_papers_are_in_the_references(texts):
    cited = {}
    for p, page in pages.items():
        text = "\n".join(c["source"] for c in cells(p))
        for url in re_paper.findall(text): cited.setdefault(url.rstrip(".,"), set()).add(page)
    lines = (root/"nbs"/"references.md").read_text(encoding="utf-8").splitlines()
    shown = texts["references.html"]
    for url, by in cited.items():
        n = sum(f"({url})" in o for o in lines)
        assert n == 1, f"{url} of {', '.join(by)} stands {n} times in nbs/references.md"
        entry = shown[shown.index(f'href="{url}"'):].split("</li>")[0]
        assert all(f'href="{o}"' in entry for o in by), url
    papers = [url for o in lines for url in re_paper.findall(o)]
    assert sorted(papers) == sorted(cited), "a paper that no notebook cites"


def outputs(nb):
    "What the cells of a notebook print and show, as text"
    return "\n".join("".join(o.get("text") or o.get("data", {}).get("text/plain", ""))
                     for c in cells(root/"nbs"/nb, "code") for o in c["outputs"])


def accuracies(nb):
    "Mean, lowest and highest of each model in the first table of the ladder"
    rows = re.findall(r"(LMModel\d) +\d+ .*?((?: +0\.\d{3}){3})\n", outputs(nb) + "\n")
    return dict(rows[:7])


def test_home_quotes_the_chapters():
    "The figures of the front page are those that the cells of the chapters print"
    text = "\n".join(c["source"] for c in cells(root/"index.ipynb", "markdown"))
    rows = re.findall(r"^\|(.*)\| \[chapter \d+\]\((\w+\.ipynb)", text, re.M)
    figures = [(o, nb) for row, nb in rows for o in re.findall(r"\b\d\.\d{3}\b", row)]
    assert len(figures) > 12
    for figure, nb in figures:
        assert figure in outputs(nb), f"index.ipynb quotes {figure}, which {nb} does not print"
    for row, _ in rows: # Shakespeare has a byte for each character
        nats, bits = re.findall(r"\b\d\.\d+\b", row)[-2:]
        assert abs(float(bits) - float(nats)/math.log(2)) < 0.008, row
    verses = re.search(r"16_verses.*?is at (\d\.\d+)\.", text).group(1)
    assert verses in outputs("16_verses.ipynb")
    by_chapters = "\n".join(outputs(p.name) for p in chapters)
    for line in re.findall(r"^- \*\*.*", text, re.M):
        for o in re.findall(r"\b\d\.\d{3}\b", line): assert o in by_chapters, line
    counted = re.search(r"LMModel7 gets (\d+) words.*LMModel6 (\d+)", text)
    for model, n in zip(("LMModel7", "LMModel6"), counted.groups(), strict=True):
        assert re.search(rf"{model} +0\.\d+ +{n}\.0", outputs("08_generate.ipynb")), f"{n} words by {model}"
    here, there = accuracies("index.ipynb"), accuracies("07_train.ipynb")
    assert len(here) == 7
    for model, quoted in here.items():
        off = [abs(float(a) - float(b)) for a, b in zip(quoted.split(), there[model].split(), strict=True)]
        assert max(off) <= 0.00051, f"{model} has other figures in index.ipynb than in chapter 7"


def test_colab_finds_an_install_cell(texts):
    for p in chapters:
        assert re.search(rf'colab[^"]*/nbs/{p.name}">Open in Colab', texts[pages[p]])
        head = "".join(c["source"] for c in cells(p)[:4])
        assert "google.colab" in head and "pip" in head, f"{p.name} has no install cell: run `make export`"
    assert not [p.name for p in engine if "google.colab" in "".join(c["source"] for c in cells(p))]


def test_ids_are_unique(texts):
    for name, html in texts.items():
        ids = re.findall(r'<\w[^>]*\sid="([^"]+)"', without(html, "svg", "script"))
        assert {o for o in ids if ids.count(o) > 1} == set(), name


def test_names_have_one_anchor():
    import pages as made
    taken = {"data"}
    assert made.bar(["Data", "LM"], taken) == '{.names}\n`Data` <span id="lm"></span>`LM`\n\n'
    assert made.bar(["LM"], taken) == "{.names}\n`LM`\n\n"


# --- in a browser

@pytest.fixture(scope="session")
def base(site, serve): return serve(site)


@pytest.fixture(scope="session")
def axe():
    return (node_modules(root/"tools")/"axe-core"/"axe.min.js").read_text(encoding="utf-8")


# axe looks at each element by itself. What one function has made many times over is looked at some times on a
# page: code without a colour that is new to the page, entries of the reference, rows of a table.
simplify = """() => {
    const seen = new Set(), all = what => [...document.querySelectorAll(what)], plain = [];
    for (const o of all('div.highlight')) {
        const fresh = [...o.querySelectorAll('span')].map(s => s.className).filter(c => !seen.has(c));
        if (!fresh.length) plain.push(o);
        fresh.forEach(c => seen.add(c));
    }
    for (const o of [plain, all('dl.py')]) o.slice(10).forEach(o => o.remove());
    all('tr:nth-child(n + 20)').forEach(o => o.remove());
    all('details').forEach(o => { o.open = true; });
}"""
axe_run = """rules => axe
    .run(document, {runOnly: rules, resultTypes: ['violations'], preload: false, iframes: false})
    .then(r => r.violations.map(v => v.id + ': ' + v.nodes.slice(0, 3).map(n => n.target + ' ' +
        n.any.concat(n.all).map(a => a.message).join(' ')).join(' | ')))"""
rules = {"light": {"type": "tag", "values": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa"]},
         "dark": {"type": "rule", "values": ["color-contrast"]}}
both_screens = "index.html", "data.html", "engine/style.html", "reference/data.html"
loaded = "performance.getEntriesByType('resource').map(o => o.decodedBodySize)"


def test_pages_in_a_browser(base, browser, texts, axe):
    "Every page: nothing from another host, no error, nothing missing or too wide; readable in light and dark"
    faults, sizes, at = [], {}, ""
    def say(what): faults.append(f"{at}: {what}")
    def answered(r):
        if r.status >= 400: say(f"{r.status} {r.url}")
    def asked(r):
        if not r.url.startswith((base, "data:", "blob:")): say(f"asks another host: {r.url}")
    desk, phone = dict(width=1280, height=900), dict(width=390, height=844)
    # Without the colours between two, while a button fades from light to dark
    context = browser.new_context(viewport=desk, color_scheme="light", reduced_motion="reduce")
    page = context.new_page()
    page.on("request", asked)
    page.on("response", answered)
    page.on("requestfailed", lambda r: say(f"fails to get {r.url}"))
    page.on("console", lambda m: m.type in ("error", "warning") and say(m.text))
    page.on("pageerror", lambda e: say(str(e)))
    for at in texts:
        if at == "404.html": continue # It has absolute addresses: /lmfromscratch/
        page.goto(base + at)
        # What a first visit loads, as if nothing were in the browser's cache
        sizes[at] = len(texts[at].encode()) + sum(page.evaluate(loaded))
        maths = page.locator(".math").count()
        if page.locator(".math > .katex, .math > .katex-display").count() != maths: say("maths is not drawn")
        if page.locator(".katex-error").count(): say("KaTeX does not understand a formula")
        page.set_viewport_size(phone)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > phone["width"]: say(f"is {wide} wide on a phone")
        # The reference is made by one template of the docstrings: its first page stands for the others
        if at.startswith("reference/") and at not in both_screens:
            page.set_viewport_size(desk)
            continue
        page.evaluate(simplify)
        page.evaluate(axe)
        # The lists beside the text are alike on all pages, and a phone folds them away
        for screen in (desk, phone) if at in both_screens else (phone,):
            page.set_viewport_size(screen)
            for theme, which in rules.items():
                page.evaluate("theme => { document.documentElement.dataset.theme = theme; }", theme)
                for o in page.evaluate(axe_run, which): say(f"in {theme}: {o}")
        page.evaluate("localStorage.clear()")
        page.set_viewport_size(desk)
    context.close()
    assert faults == []
    assert {k: v for k, v in sizes.items() if v > max_weight} == {}, "heavier than 1.5 MB"


def test_theme_is_kept(base, browser):
    context = browser.new_context(color_scheme="light")
    page = context.new_page()
    page.goto(base + "index.html")
    page.click(".theme-switch-button >> visible=true")
    page.click(".theme-change-button[data-mode=dark] >> visible=true")
    page.goto(base + "rnn.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    page.goto(base + "playground/index.html")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark", "the playground's is another"
    context.close()


@pytest.mark.parametrize("words, page", [
    ("StreamLoader", "reference/data.html#lmfromscratch.data.StreamLoader"),
    ("load_run", "reference/engine.run_files.html#lmfromscratch.engine.run_files.load_run"),
    ("vanish explode", "deep.html"), ("temperature", "glossary.html#temperature"),
    ("tokenizer", "glossary.html"), ("attention", "glossary.html"), ("nucleus sampling", "glossary.html"),
    ("playground", "glossary.html#playground")])
def test_search(base, browser, words, page):
    tex = {o for p in pages for c in cells(p, "markdown") for maths in re.findall(r"\$[^$]+\$", c["source"])
           for o in re.findall(r"\\[a-zA-Z]{2,}", maths)}
    tab = browser.new_page()
    tab.goto(base + "state.html")
    tab.keyboard.press("Control+k")
    tab.keyboard.type(words)
    tab.wait_for_selector("#search-results li p.context, #search-results li span")
    found = tab.eval_on_selector_all("#search-results li > a", "as => as.map(a => a.href)")
    found = [o.removeprefix(base).split("?")[0] for o in found]
    assert any(o.startswith(page) for o in found[:8]), found
    tab.wait_for_timeout(300)
    shown = tab.inner_text("#search-results")
    assert not [o for o in tex if o in shown] and not re.search(r"\\[(\[]", shown), "raw TeX"
    tab.close()


def test_copy_wrap_and_folds(base, browser):
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto(base + "rnn.html")
    block = page.locator(".cell_input .highlight").nth(3)
    block.hover()
    block.locator(".copybtn").click()
    page.wait_for_selector(".copybtn.success")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.strip() == block.locator("pre").inner_text().strip()
    fold = page.locator("details.callout:has(.highlight)").first
    assert not fold.locator(".highlight").first.is_visible()
    fold.locator("summary").click()
    assert fold.locator(".highlight").first.is_visible()
    for wanted in ("pre-wrap", "pre", "pre"): # At first, after a click, after the page was loaded again
        assert block.locator("pre").evaluate("o => getComputedStyle(o).whiteSpace") == wanted
        if wanted == "pre": page.reload()
        else: page.click(".wrap")
    context.close()


# --- a build that must fail

@pytest.fixture(scope="module")
def checkout(tmp_path_factory): return copy_checkout(tmp_path_factory.mktemp("site-checkout"))


def test_bad_sources_are_named(checkout):
    nb = checkout/"nbs"/"03_state.ipynb"
    good = nb.read_text(encoding="utf-8")
    def fails_with(*words, args=()):
        r = run("--check", "--out", "never", *args, cwd=checkout)
        assert r.returncode == 1 and all(o in r.stderr for o in words), r.stderr
        assert not (checkout/"never").exists()
    d = json.loads(good)
    for c in d["cells"]:
        if c["cell_type"] == "code": c["outputs"] = []
    nb.write_text(json.dumps(d), encoding="utf-8")
    fails_with("nbs/03_state.ipynb", "no outputs", "make notebooks NB=03_state")
    nb.write_text(good, encoding="utf-8")
    for new in ("99_new", "engine/new"):
        (checkout/"nbs"/f"{new}.ipynb").write_text(good, encoding="utf-8")
        fails_with(f"nbs/{new}.ipynb", "Add it to nbs/sidebar.yml")
        (checkout/"nbs"/f"{new}.ipynb").unlink()
    edit(checkout/"nbs"/"sidebar.yml", "03_state.ipynb", "03_status.ipynb")
    fails_with("nbs/03_state.ipynb", "there is no nbs/03_status.ipynb")
    fails_with("there is no nbs/03_status.ipynb", args=["--draft"])
    edit(checkout/"nbs"/"sidebar.yml", "03_status.ipynb", "03_state.ipynb")
    edit(checkout/"index.ipynb", "# lmfromscratch", "# lmfromscratch, changed")
    fails_with("README.md", "make readme")


def test_broken_links_are_named(tmp_path):
    "By Sphinx, when it builds, and by the test of the built pages"
    import docs
    (tmp_path/"src").mkdir()
    (tmp_path/"src"/"index.md").write_text("# Home\n\n[one](none.md), [two](#no), [three](#home)\n\n"
                                           "```{toctree}\nself\n```\n")
    said = docs.sphinx(tmp_path/"src", tmp_path/"out")
    assert len(said) == 2 and "none.md" in said[0] and "no" in said[1], said
    site = {"a.html": '<a href="sub/b.html#here"></a> <a href="none.html"></a> <a href="#no"></a>',
            "sub/b.html": '<p id="here"></p> <a href="../a.html"></a> <a href="../a.html#no"></a>'}
    assert list(broken(site)) == [
        ("a.html", "the link none.html leads nowhere"), ("a.html", "the page of #no has no #no"),
        ("sub/b.html", "the page of ../a.html#no has no #no")]


def test_notebooks_are_prepared():
    "Quarto's callouts and options as Sphinx reads them; a table of pandas with one row of heads"
    import pages as made
    note = made.prose('::: {.callout-tip collapse="true"}\n## One `x`\nText [a](../02_rnn.ipynb#b)\n:::')
    assert note == ('<details class="callout">\n<summary>\n\n~~~{rubric} One `x`\n~~~\n\n</summary>\n\n'
                    "Text [a](../rnn.ipynb#b)\n</details>\n")
    def cell(source):
        return made.shown(dict(source=source, outputs=[]), dict(made.re_directive.findall(source)))
    assert cell("#| echo: false\n#| fig-cap: A\nf()")["metadata"]["tags"] == ["remove-input"]
    assert cell("#| fig-cap: A `b`\nf()")["metadata"]["mystnb"] == dict(figure=dict(caption="A `b`"))
    for source, fold in (("from a import *\nimport b", "Imports"), ("test_eq(1, 1)", "Checks"),
                         ("#| code-fold: true\nf()", "Code"), ("f()\ng()\ntest_eq(1, 1)", None)):
        assert cell(source)["metadata"]["mystnb"].get("code_prompt_show") == fold
    html = made.table("<style>x</style>" + pd.DataFrame(
        dict(word=["a"], x=[3.1e-02]), index=pd.Index(["m"], name="model")).to_html())
    assert html.count("<tr") == 2 and "<th>model</th>" in html and '<td class="number">0.031</td>' in html
    assert "<td>a</td>" in html and "style>" not in html
    assert [made.slug(o) for o in ("2. Is 1.6 good?", "`a_b` – c")] == ["is-1.6-good", "a_b--c"]


def test_workflow_is_careful():
    text = (root/".github"/"workflows"/"site.yml").read_text(encoding="utf-8")
    uses = re.findall(r"uses: (\S+)", text)
    assert uses and all(re.fullmatch(r"actions/[\w-]+@v\d+(\.\d+)*", o) for o in uses)
    assert "secrets." not in text and "permissions:\n  contents: read" in text
    assert "make test" in text and "make docs" in text and "must run" in text
    assert os.path.exists(root/"Makefile")


@pytest.mark.parametrize("theme", rules)
def test_playground_can_be_read_by_all(base, browser, axe, theme):
    "axe on the page that runs the models: as it opens, and when it has written, coloured and shown its bars"
    context = browser.new_context(viewport=dict(width=390, height=844), color_scheme=theme)
    page = context.new_page()
    page.goto(base + "playground/index.html?model=model7&pace=full&n=60&seed=1")
    page.wait_for_selector("html[data-state=ready]")
    page.evaluate(axe)
    both = {"type": "tag", "values": rules["light"]["values"]}
    assert page.evaluate(axe_run, both) == []
    for colour in ("bits", "unit"):
        page.select_option("#colour", colour)
        page.click("#write") # The state is busy when this returns
        page.wait_for_selector("html[data-state=ready] #text .t:nth-of-type(60)")
        page.hover("#text .t:nth-of-type(20)")
        assert page.evaluate(axe_run, both) == []
    page.click("#tab-score")
    assert page.evaluate(axe_run, both) == []
    context.close()
