"Take the picture of the page that chapter 19 shows: what the page writes there must be what Python writes"
import argparse
import shutil
import sys
import tempfile
import threading
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

from lmfromscratch.engine.exported import load_onnx
from lmfromscratch.engine.page import build_page, page_server
from lmfromscratch.generate import generate
from project import root

chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
prompt, seed, n, look_at, wide = "<", 1, 300, "Simeon", 1200
query = f"?model=bible&prompt=%3C&seed={seed}&n={n}&temperature=1&pace=full&stop=1"


def take(p, address, out):
    "The text that the page writes; its picture goes to `out`"
    browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page(viewport=dict(width=wide, height=1200), color_scheme="light",
                            reduced_motion="reduce")
    page.goto(address + query)
    page.wait_for_selector("html[data-state=ready]")
    page.click("#write")
    page.wait_for_selector("html[data-state=ready]")
    text = page.eval_on_selector("#text", "o => o.textContent")
    if look_at in text: page.locator("#text .t").nth(text.index(look_at)).hover()
    page.wait_for_timeout(300)  # Until the bars have grown
    top, last = page.locator("#models").bounding_box()["y"] - 16, page.locator("#text").bounding_box()
    page.screenshot(path=out, clip=dict(x=0, y=top, width=wide, height=last["y"] + last["height"] + 12 - top))
    browser.close()
    return text


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", default=root/"nbs"/"images"/"page.png", type=Path, help="the picture")
    out = parser.parse_args().out
    if not chromium: sys.exit("There is no Chromium here: install the package chromium.")
    with tempfile.TemporaryDirectory() as tmp:
        build_page(["bible", "shakespeare", "model7"], f"{tmp}/site")
        model, vocab = load_onnx(f"{tmp}/site/models/bible")
        want = prompt + generate(model, vocab, prompt, n, seed=seed).split("\n")[0] + "\n"
        with page_server(f"{tmp}/site") as server, sync_playwright() as p:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            got = take(p, f"http://127.0.0.1:{server.server_port}/", out)
            server.shutdown()
    # A picture of few colours: a palette makes it a third as large
    Image.open(out).convert("RGB").quantize(200, dither=Image.Dither.NONE).save(out, optimize=True)
    print(f"The page:  {got}Python:    {want}", end="")
    if got != want: sys.exit("The page writes something else than Python.")
    if out.stat().st_size > 150_000: sys.exit(f"{out} has more than 150 kB.")


if __name__ == "__main__": main()
