"Write README.md from index.ipynb: its text, code and stored outputs, as GitHub shows them. No Quarto needed"
import argparse
import base64
import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

root = Path(__file__).resolve().parent.parent
images = "nbs/images"
note = "<!-- Made from index.ipynb by `make readme`. Edit the notebook, not this file. -->\n\n"

re_directive = re.compile(r"^\s*#\s*\|\s*([\w-]+)\s*:?\s*(.*)$")
re_ansi = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
re_fence = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.M | re.S)
re_link = re.compile(r"(\]\(|\b(?:src|href)=\")([^)\s\"#]+)(?=[)\s\"#])")
re_callout = re.compile(r"^::: *\{\.callout-(\w+)[^}]*\}\n(.*?)^:::[ \t]*$", re.M | re.S)


def joined(s): return s if isinstance(s, str) else "".join(s)


class Table(HTMLParser):
    "The cells of an HTML table, row by row; `plain` is False if a cell spans several"
    def __init__(self):
        super().__init__()
        self.rows, self.n_head, self.plain, self.cell = [], 0, True, None

    def handle_starttag(self, tag, attrs):
        if tag == "tr": self.rows.append([])
        if tag in ("td", "th"):
            self.cell = []
            if {"colspan", "rowspan"} & dict(attrs).keys(): self.plain = False
        if tag == "br" and self.cell is not None: self.cell.append(" ")

    def handle_endtag(self, tag):
        if tag == "thead": self.n_head = len(self.rows)
        if tag in ("td", "th") and self.cell is not None:
            self.rows[-1].append(" ".join("".join(self.cell).split()))
            self.cell = None

    def handle_data(self, data):
        if self.cell is not None: self.cell.append(data)


def is_number(s): return bool(re.fullmatch(r"[-+]?[\d,]*\.?\d+(e[-+]?\d+)?\s?%?|\d+:\d\d|nan|", s, re.I))


def markdown_table(html):
    "`html`'s table in Markdown, or None where Markdown cannot say it"
    if len(re.findall("<table", html)) != 1: return
    t = Table()
    t.feed(html)
    n = max(map(len, t.rows), default=0)
    if not (n and t.plain and t.n_head and all(len(o) == n for o in t.rows)): return
    # pandas puts the index's name in a second header row
    head = [next((o for o in col if o), "") for col in zip(*t.rows[:t.n_head], strict=True)]
    body = t.rows[t.n_head:]
    right = [all(is_number(o) for o in col) for col in zip(*body, strict=True)] or [False]*n
    # a default index 0, 1, 2 ... says nothing
    if not head[0] and [o[0] for o in body] == [str(i) for i in range(len(body))]:
        head, right, body = head[1:], right[1:], [o[1:] for o in body]
    def row(cells): return "| " + " | ".join(o.replace("|", "\\|") for o in cells) + " |"
    rule = row("---:" if o else ":---" for o in right)
    return "\n".join([row(head), rule, *map(row, body)])


def clean_html(html):
    "GitHub shows no style blocks and no classes"
    html = re.sub(r"<(style|script)\b.*?</\1>", "", html, flags=re.S)
    html = re.sub(r'\s(?:border|class|style)="[^"]*"', "", html)
    return "\n".join(o.strip() for o in html.splitlines() if o.strip())


def indented(s):
    s = re_ansi.sub("", s).rstrip()
    return "\n".join(("    " + o).rstrip() for o in s.splitlines()) if s.strip() else ""


class Readme:
    def __init__(self, root=root):
        self.root, self.images = root, {}
        self.nb = json.loads((root/"index.ipynb").read_text(encoding="utf-8"))

    def link(self, m):
        "A link is written for the pages beside the chapters; the README stands one folder up"
        pre, to = m.groups()
        if re.match(r"[a-z]+:|/", to) or not (self.root/"nbs"/to).exists(): return m.group()
        if (self.root/"nbs"/to).is_symlink(): return pre + to
        return f"{pre}nbs/{to}"

    def prose(self, s):
        def callout(m):
            kind, text = m.groups()
            text = re.sub(r"^#+ +(.*)$", r"**\1**", text.strip(), flags=re.M)
            return f"> [!{kind.upper()}]\n" + "\n".join(f"> {o}".rstrip() for o in text.splitlines())
        def one(s): return re_link.sub(self.link, re_callout.sub(callout, s))
        parts, at = [], 0
        for m in re_fence.finditer(s):
            parts += [one(s[at:m.start()]), m.group()]
            at = m.end()
        return "".join(parts) + one(s[at:])

    def image(self, data, ext):
        name = f"{images}/readme-{len(self.images) + 1}.{ext}"
        self.images[name] = data
        return f"![{self.alt}]({name})"

    def output(self, o):
        kind = o["output_type"]
        if kind == "stream": return indented(joined(o["text"])) if o["name"] == "stdout" else ""
        if kind == "error": return indented("\n".join(o["traceback"]))
        data = {k: joined(v) for k, v in o["data"].items() if not k.endswith("json")}
        if "image/svg+xml" in data: return self.image(data["image/svg+xml"].encode(), "svg")
        if "image/png" in data: return self.image(base64.b64decode(data["image/png"]), "png")
        if "text/markdown" in data: return self.prose(data["text/markdown"]).strip()
        plain = data.get("text/plain", "")
        if "text/html" in data:
            html = clean_html(data["text/html"])
            if "<table" in html: return markdown_table(html) or html
            if not plain or re.fullmatch(r"<IPython[\w.]+ object>", plain.strip()): return html
        return indented(plain)

    def code(self, cell):
        lines = joined(cell["source"]).splitlines()
        flags, self.alt = {}, ""
        while lines and (m := re_directive.match(lines[0])):
            flags[m.group(1)] = m.group(2).strip().lower()
            if m.group(1) == "fig-alt": self.alt = m.group(2).strip()
            lines.pop(0)
        if "hide" in flags or flags.get("include") == "false": return ""
        res = []
        if flags.get("echo") != "false" and "hide_input" not in flags:
            src = "\n".join(lines).strip()
            if src: res.append(f"```python\n{src}\n```")
        if flags.get("output") != "false" and "hide_output" not in flags:
            res += map(self.output, cell["outputs"])
        return "\n\n".join(o for o in res if o)

    def text(self):
        res = []
        for c in self.nb["cells"]:
            s = joined(c["source"])
            if c["cell_type"] == "markdown": res.append(self.prose(s).strip())
            if c["cell_type"] == "code": res.append(self.code(c))
        return note + "\n\n".join(o for o in res if o) + "\n"


def made(root=root):
    "What `make readme` writes: bytes by path"
    r = Readme(root)
    text = r.text()
    return {"README.md": text.encode(), **r.images}


def stale(root=root):
    "Paths that `make readme` would write or remove"
    new = made(root)
    old = {p.relative_to(root).as_posix(): p.read_bytes()
           for p in [root/"README.md", *(root/images).glob("readme-*")] if p.exists()}
    return sorted(o for o in new.keys() | old.keys() if new.get(o) != old.get(o))


def write(root=root):
    new = made(root)
    for f in stale(root):
        if f in new:
            (root/f).parent.mkdir(parents=True, exist_ok=True)
            (root/f).write_bytes(new[f])
        else: (root/f).unlink()
        print(f"  {f}")


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
