"How large the page with models is, how soon it writes, and how fast, in a real browser"
import argparse
import gzip
import platform
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path

import torch
from playwright.sync_api import sync_playwright

from lmfromscratch.data import Vocab
from lmfromscratch.engine.exported import export_onnx, load_onnx
from lmfromscratch.engine.page import build_page, page_server
from lmfromscratch.engine.runs import machine
from lmfromscratch.runs import CharLSTM

# Presses the button as soon as it can be pressed, and notes when the first new token stands in the page
watch = """
new MutationObserver((_, me) => {
  const text = document.querySelector('#text'), write = document.querySelector('#write')
  if (!window.pressed && write && !write.disabled) { window.pressed = performance.now(); write.click() }
  if (window.pressed && text.querySelectorAll('.t').length > 1) {
    window.first = performance.now()
    me.disconnect()
  }
}).observe(document, {childList: true, subtree: true, attributes: true})
"""


def sizes(folder):
    "Bytes of a page as they are, and as a server that compresses sends them"
    files = [o.read_bytes() for o in Path(folder).rglob("*") if o.is_file()]
    return sum(map(len, files)), sum(len(gzip.compress(o, 9)) for o in files)


def cold_start(p, chromium, address):
    "Milliseconds from the beginning of the navigation until the first character, in a browser that is new"
    browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page()
    page.add_init_script(watch)
    page.goto(f"{address}?model=bible&prompt=%3C&pace=full&n=200")
    while (first := page.evaluate("window.first")) is None: page.wait_for_timeout(20)
    version = browser.version
    browser.close()
    return first, version


def writing(p, chromium, address, model, n):
    "Tokens a second as the page says, and characters a second from the click to the end"
    browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page()
    page.goto(f"{address}?model={model}&pace=full&n={n}&temperature=1")
    page.wait_for_selector("html[data-state=ready]")
    if page.is_visible("#stop-line"): page.set_checked("#stop-line", False)
    told, seen = [], []
    for seed in range(3):
        page.fill("#seed", str(seed))
        before = page.evaluate("performance.now()")
        page.click("#write")
        page.wait_for_selector("html[data-state=busy]")
        page.wait_for_selector("html[data-state=ready]", timeout=120_000)
        seen.append(n / (page.evaluate("performance.now()") - before) * 1000)
        facts = page.text_content("#facts")
        told.append(float(facts.split("tokens per second")[0].split("Speed")[-1].replace(",", "")))
    browser.close()
    return statistics.median(told), statistics.median(seen)


@torch.no_grad()
def native(folder, steps=500):
    "Tokens a second of ONNX Runtime itself on the same file, one thread, best of three"
    model, _ = load_onnx(folder)
    x, state, times = torch.tensor([[3]]), None, []
    for _ in range(3):
        start = time.perf_counter()
        for _ in range(steps): _, state = model.unroll(x, state)
        times.append(time.perf_counter() - start)
    return steps/min(times)


def main():
    a = argparse.ArgumentParser(description=__doc__)
    a.add_argument("--starts", type=int, default=5, help="cold starts, of which the median is given")
    args = a.parse_args()
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not chromium: raise SystemExit("This benchmark needs Chromium.")
    with tempfile.TemporaryDirectory() as tmp, sync_playwright() as p:
        tmp = Path(tmp)
        build_page(["bible"], tmp/"bible_page")
        raw, small = sizes(tmp/"bible_page")
        print(f"The Bible's page: {raw/1e6:.1f} MB, compressed with gzip -9 {small/1e6:.1f} MB")
        raw, small = sizes_of_all(tmp)
        print(f"With all models of the package: {raw/1e6:.1f} MB, compressed {small/1e6:.1f} MB")
        torch.manual_seed(0)
        letters = Vocab([chr(i) for i in range(40, 120)], sep="")
        export_onnx(CharLSTM(80, 512, 3, n_emb=128), letters, tmp/"big", prompts=["abc"])
        build_page([tmp/"big"], tmp/"big_page")
        with page_server(tmp/"bible_page") as bible, page_server(tmp/"big_page") as big:
            addresses = []
            for o in (bible, big):
                threading.Thread(target=o.serve_forever, daemon=True).start()
                addresses.append(f"http://127.0.0.1:{o.server_port}/")
            starts = [cold_start(p, chromium, addresses[0]) for _ in range(args.starts)]
            times = [o[0]/1000 for o in starts]
            print(f"Chromium {starts[0][1]}, {machine()}, Python {platform.python_version()}")
            print(f"First character after {statistics.median(times):.2f} s, the median of {len(times)} cold "
                  f"starts ({min(times):.2f} to {max(times):.2f})")
            for i, (name, model, n) in enumerate((("Bible, 1 x 384", "bible", 4000),
                                                  ("3 x 512, untrained", "big", 2000))):
                before = native(tmp/f"{model}_page"/"models"/model)
                told, seen = writing(p, chromium, addresses[i], model, n)
                after = native(tmp/f"{model}_page"/"models"/model)
                print(f"{name}: {told:,.0f} tokens/s in the worker, {seen:,.0f} characters/s seen")
                print(f"  ONNX Runtime without a browser: {before:,.0f} just before, {after:,.0f} after")
            for o in (bible, big): o.shutdown()


def sizes_of_all(tmp):
    build_page(out=tmp/"all")
    return sizes(tmp/"all")


if __name__ == "__main__": main()
