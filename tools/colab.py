"Give each chapter a link to Colab, and a cell that installs the package there. Both are hidden on the site"
import json
from configparser import ConfigParser
from pathlib import Path

root = Path(__file__).resolve().parent.parent
link_id, install_id = "c01ab000", "c01ab001"


def settings(root):
    ini = ConfigParser(delimiters=["="])
    ini.read(root/"settings.ini", encoding="utf-8")
    return ini["DEFAULT"]


def cells(name, cfg):
    "The two cells for the notebook `name`"
    where = f"{cfg['user']}/{cfg['repo']}"
    link = f"[Open in Colab](https://colab.research.google.com/github/{where}/blob/{cfg['branch']}/nbs/{name})"
    package = f"{cfg['lib_name']}[bible,web] @ git+{cfg['git_url']}"
    install = ["#| hide\n", "#| eval: false\n", "if 'google.colab' in str(get_ipython()):\n",
               f"    package = '{package}'\n",
               "    get_ipython().run_line_magic('pip', f'install -q \"{package}\"')"]
    return [dict(cell_type="markdown", id=link_id, metadata={}, source=[link]),
            dict(cell_type="code", id=install_id, metadata={}, source=install,
                 execution_count=None, outputs=[])]


def with_cells(nb, name, cfg):
    "`nb` with the two cells after its title, or as it is if they are there"
    marks = "[Open in Colab](", "if 'google.colab' in str(get_ipython())"
    old = [c for c in nb["cells"] if not any(o in "".join(c["source"]) for o in marks)]
    return nb | dict(cells=[old[0], *cells(name, cfg), *old[1:]])


def stale(root=root):
    "The chapters that lack the cells, and what they should be"
    cfg, res = settings(root), {}
    for p in sorted((root/"nbs").glob("[0-9][0-9]_*.ipynb")):
        nb = json.loads(p.read_text(encoding="utf-8"))
        new = with_cells(nb, p.name, cfg)
        if new != nb: res[p] = new
    return res


def write(root=root):
    for p, nb in stale(root).items():
        p.write_text(json.dumps(nb, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        yield p.name


if __name__ == "__main__":
    for o in write(): print(f"  {o}: link to Colab and install cell")
