"Write README.md from index.ipynb: its text, code and stored outputs, as GitHub shows them. No Quarto needed"
import argparse
import base64
import re
import sys
from html import unescape

from project import cells, joined, root

images = "nbs/images"
note = "<!-- Made from index.ipynb by `make readme`. Edit the notebook, not this file. -->\n\n"
# For GitHub alone: the site asks no other host for anything
home = "https://github.com/lmfromscratch/lmfromscratch"
badges = f"""[![Tests]({home}/actions/workflows/site.yml/badge.svg)]({home}/actions/workflows/site.yml)
[![Python 3.10 to 3.13](https://img.shields.io/badge/Python-3.10%20to%203.13-0072b2)]({home}/blob/main/settings.ini)
[![Licence: Apache 2.0](https://img.shields.io/badge/licence-Apache%202.0-0072b2)]({home}/blob/main/LICENSE)"""
re_directive = re.compile(r'^#\| *([\w-]+):? *"?(.*?)"?(?:\n|$)', re.M)
re_link = re.compile(r"^```.*?^```|(\]\()([^)\s#]+)", re.M | re.S)
re_callout = re.compile(r"^::: *\{\.callout-(\w+)[^}]*\}\n(.*?)\n:::[ \t]*$", re.M | re.S)
re_number = re.compile(r"[-+\d.,:%e]*|nan")


def markdown_table(html):
    "A table in Markdown, with numbers on the right. pandas puts the index's name in a second row of the head"
    def text(cell): return " ".join(unescape(re.sub(r"<[^>]+>", " ", cell)).replace("|", "\\|").split())
    rows = [[text(o) for o in re.findall(r"<t[hd]\b.*?</t[hd]>", row, re.S)]
            for row in re.findall(r"<tr\b.*?</tr>", html, re.S)]
    n = html[:html.index("</thead>")].count("<tr")
    head, body = ["".join(o) for o in zip(*rows[:n], strict=True)], rows[n:]
    rule = ["---:" if all(map(re_number.fullmatch, o)) else ":---" for o in zip(*body, strict=True)]
    return "\n".join("| " + " | ".join(o) + " |" for o in [head, rule, *body])


def prose(s, root):
    "Markdown with GitHub's callouts, and links from where README.md stands"
    def callout(m):
        text = re.sub(r"^#+ +(.*)$", r"**\1**", m[2].strip(), flags=re.M)
        return "\n".join(f"> {o}".rstrip() for o in [f"[!{m[1].upper()}]", *text.splitlines()])

    def link(m):
        here = m[2] and (root/"nbs"/m[2]).exists() and not (root/"nbs"/m[2]).is_symlink()
        return f"{m[1]}nbs/{m[2]}" if here else m[0]
    return re_link.sub(link, re_callout.sub(callout, s)).strip()


def output(o, alt, pictures):
    "One output in Markdown. A picture goes into `pictures`, by the name of its file"
    data = {k: joined(v) for k, v in o.get("data", {}).items()}
    for kind, ext in (("image/svg+xml", "svg"), ("image/png", "png")):
        if kind not in data: continue
        name = f"{images}/readme-{len(pictures) + 1}.{ext}"
        pictures[name] = data[kind].encode() if ext == "svg" else base64.b64decode(data[kind])
        return f"![{alt}]({name})"
    if "<table" in data.get("text/html", ""): return markdown_table(data["text/html"])
    text = data.get("text/plain", joined(o.get("text", ""))) if o.get("name") != "stderr" else ""
    return "\n".join(f"    {o}".rstrip() for o in text.rstrip().splitlines())


def made(root=root):
    "What `make readme` writes: bytes by path"
    parts, pictures = [], {}
    for c in cells(root/"index.ipynb", "markdown", "code"):
        if c["cell_type"] == "markdown":
            parts.append(prose(c["source"], root))
            continue
        flags = dict(re_directive.findall(c["source"]))
        if "hide" in flags: continue
        if flags.get("echo") != "false": parts.append(f"```python\n{re_directive.sub('', c['source'])}\n```")
        shown = [output(o, flags.get("fig-alt", "").strip(), pictures) for o in c["outputs"]]
        parts += [f"[{o}]({flags['fig-link']})" if "fig-link" in flags else o for o in shown]
    title, *rest = filter(None, parts)
    text = note + "\n\n".join([title, badges, *rest]) + "\n"
    return {"README.md": text.encode(), **pictures}


def stale(root=root):
    "Paths that `make readme` would write or remove"
    new = made(root)
    old = {p.relative_to(root).as_posix(): p.read_bytes()
           for p in [root/"README.md", *(root/images).glob("readme-*")] if p.exists()}
    return sorted(o for o in new.keys() | old.keys() if new.get(o) != old.get(o))


def write(root=root):
    new = made(root)
    for f in stale(root):
        print(f"  {f}")
        if f in new: (root/f).write_bytes(new[f])
        else: (root/f).unlink()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--check", action="store_true", help="write nothing; exit 1 if README.md is stale")
    args = p.parse_args()
    files = stale()
    if not files: print("README.md is up to date with index.ipynb")
    elif args.check: sys.exit(f"README.md is stale ({', '.join(files)}): run `make readme`.")
    else:
        print("Writing README.md from index.ipynb")
        write()


if __name__ == "__main__": main()
