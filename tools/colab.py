"Give each chapter a link to Colab, and a cell that installs the package there. Both are hidden on the site"
import json

from project import chapters, joined, root, settings

link_id, install_id = "c01ab000", "c01ab001"


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
    old = [c for c in nb["cells"] if not any(o in joined(c["source"]) for o in marks)]
    return nb | dict(cells=[old[0], *cells(name, cfg), *old[1:]])


def write(root=root):
    "Where a chapter lacks the cells. The engine room is read on the site, and run from a checkout"
    cfg = settings(root)
    for p in chapters(root/"nbs"):
        nb = json.loads(p.read_text(encoding="utf-8"))
        new = with_cells(nb, p.name, cfg)
        if new == nb: continue
        p.write_text(json.dumps(new, ensure_ascii=False, indent=1, sort_keys=True) + "\n", encoding="utf-8")
        yield p.name


if __name__ == "__main__":
    for o in write(): print(f"  {o}: link to Colab and install cell")
