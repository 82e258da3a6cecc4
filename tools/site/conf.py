"Sphinx's settings for the site, and what it learns from us: links of names, and docments"
import re
import sys
from pathlib import Path

from docutils import nodes
from sphinx import addnodes

here = Path(__file__).resolve().parent
sys.path.insert(0, str(here.parent))
import names
import pages
from names import cfg

from lmfromscratch.engine.page import node_modules

project = html_title = cfg["title"]
extensions = ["sphinx.ext.autodoc", "sphinx.ext.linkcode", "sphinx.ext.mathjax", "myst_nb",
              "sphinx.ext.githubpages", "sphinx_copybutton", "notfound.extension", "sphinxext.opengraph"]
myst_enable_extensions = ["dollarmath", "amsmath", "deflist", "attrs_inline", "attrs_block"]
myst_heading_anchors, myst_heading_slug_func = 4, "pages.slug"
myst_dmath_double_inline = myst_title_to_header = True
nb_execution_mode, nb_output_stderr = "off", "remove"
autodoc_default_options = {"no-value": True}
autodoc_typehints_format, autodoc_preserve_defaults, autodoc_inherit_docstrings = "short", True, False
python_maximum_signature_line_length, add_module_names, default_role = 84, False, "code"
toc_object_entries_show_parents = "hide"
# KaTeX stands where MathJax would: the scripts come from npm, and site.js calls it
mathjax_path, katex = "katex.min.js", node_modules(here.parent)/"katex"

html_theme = "pydata_sphinx_theme"
html_theme_options = dict(
    navbar_center=[], navbar_end=["playground", "theme-switcher", "github"],
    secondary_sidebar_items=["page-toc"], article_header_start=[], article_header_end=["wrap"],
    footer_start=[], footer_end=[], show_toc_level=1, back_to_top_button=False,
    search_bar_text="Search names and text", pygments_light_style="a11y-high-contrast-light")
html_sidebars = {"**": ["course"]}
html_context = dict(default_mode="auto", git_url=cfg["git_url"])
templates_path = [str(here/"templates")]
html_static_path = [f"{here}/static", f"{katex}/dist", f"{katex}/LICENSE"]
exclude_patterns = ["**.ttf", "**.woff", "**.mjs", "**katex.[cj]s*", "**swap*", "**contrib", "**README.md"]
html_css_files, html_js_files = ["site.css", "katex.min.css"], ["site.js"]
html_favicon = str(here/"static"/"icon.svg")
html_baseurl = ogp_site_url = pages.address + "/"
html_copy_source = html_use_index = html_domain_indices = html_show_sphinx = False
ogp_image, ogp_social_cards, ogp_description_length = "_images/page.png", {"enable": False}, 160
notfound_urls_prefix, copybutton_selector = cfg["doc_baseurl"] + "/", "div:not(.output) > div.highlight > pre"


def linkcode_resolve(domain, info):
    mod = info["module"].removeprefix(names.lib + ".")
    at = getattr(names.nodes(mod).get(info["fullname"]), "lineno", 1)
    return f"{cfg['git_url']}/blob/{cfg['branch']}/{names.lib}/{mod.replace('.', '/')}.py#L{at}"


def finish(app, doctree):
    "Pictures load in sight, the playground has a relative address, and names lead to the reference"
    for o in list(doctree.findall(nodes.image))[1:]: o["loading"] = "lazy"
    for o in doctree.findall(nodes.reference):
        if o.get("refuri", "").startswith(html_baseurl):
            o["refuri"] = "../" * app.env.docname.count("/") + o["refuri"].removeprefix(html_baseurl)
    outer = nodes.title, nodes.rubric, nodes.reference, addnodes.pending_xref, addnodes.download_reference
    for o in list(doctree.findall(nodes.literal)):
        within = isinstance(o.parent, outer) or isinstance(o.parent.parent, outer)
        if within or not (at := names.home(o.astext())): continue
        target = dict(reftype="obj", reftarget=f"{names.lib}.{'.'.join(at)}", refdoc=app.env.docname)
        ref = addnodes.pending_xref("", refdomain="py", refexplicit=False, refwarn=True, **target)
        o.replace_self(ref)
        ref += o


def docstring(app, what, name, obj, options, lines):
    lines[:] = names.doc_lines(*re.match(rf"{names.lib}\.((?:engine\.)?\w+)\.(.*)", name).groups(), obj)


def lighter(app, pagename, templatename, context, doctree):
    "KaTeX's style only where there are formulas, and no script that a page waits for but the search's"
    context["script_files"] = [o for o in context["script_files"] if o.filename]
    maths = any("katex" in o.filename for o in context["script_files"])
    context["css_files"] = [o for o in context["css_files"] if maths or "katex" not in o.filename]
    for o in context["script_files"]:
        o.attributes["defer"] = "defer" if pagename != "search" or o.filename.endswith("site.js") else None


def setup(app):
    app.connect("html-page-context", lighter, priority=900)
    app.connect("autodoc-process-docstring", docstring)
    app.connect("doctree-read", finish)
