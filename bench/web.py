"How large the page with models is, how soon it writes, and how fast, in a real browser"
import argparse
import gzip
import platform
import shutil
import statistics
import tempfile
import threading
import time
from functools import partial
from pathlib import Path

import torch
from playwright.sync_api import sync_playwright

from lmfromscratch.data import Vocab
from lmfromscratch.engine.exported import export_onnx, load_onnx
from lmfromscratch.engine.page import build_page, page_server
from lmfromscratch.engine.runs import machine
from lmfromscratch.runs import CharLSTM

# Notes when the first token of the model's own stands in the page: it writes by itself
watch = """
new MutationObserver((_, me) => {
  if (!document.querySelector('#text .t:not(.given)')) return
  window.first = performance.now()
  me.disconnect()
}).observe(document, {childList: true, subtree: true})
"""


def sizes(folder):
    "Bytes of a page, the second engine left out, as they are and as a server that compresses sends them"
    files = [o.read_bytes() for o in Path(folder).rglob("*") if o.is_file() and "vendor" not in o.parts]
    return sum(map(len, files)), sum(len(gzip.compress(o, 9)) for o in files)


def cold_start(p, chromium, address, mbits=None, engine="light"):
    "Milliseconds from the beginning of the navigation until the first character, in a browser that is new"
    browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page()
    page.set_default_timeout(90_000)
    if mbits:
        line = page.context.new_cdp_session(page)
        line.send("Network.enable")
        rate = dict(downloadThroughput=mbits*125_000, uploadThroughput=mbits*125_000)
        line.send("Network.emulateNetworkConditions", dict(offline=False, latency=40, **rate))
    page.add_init_script(watch)
    page.goto(f"{address}?model=bible&engine={engine}")
    while (first := page.evaluate("window.first")) is None: page.wait_for_timeout(20)
    browser.close()
    return first


def writing(p, chromium, address, model, n, engine):
    "Tokens a second as the page says, and characters a second from the click to the end"
    browser = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
    page = browser.new_page()
    page.emulate_media(reduced_motion="reduce")  # Else it writes before it is asked
    page.goto(f"{address}?model={model}&pace=full&n={n}&temperature=1&stop=0&engine={engine}")
    page.wait_for_selector("html[data-state=ready]")
    page.eval_on_selector("#settings", "o => { o.open = true }")
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
    a.add_argument("--starts", type=int, default=3, help="cold starts, of which the median is given")
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
            print(f"Chromium {p.chromium.launch(executable_path=chromium).version}, {machine()}, "
                  f"Python {platform.python_version()}")
            for engine in ("light", "onnx"):
                for mbits in (None, 10):
                    start = partial(cold_start, p, chromium, addresses[0], mbits, engine)
                    times = [start()/1000 for _ in range(args.starts)]
                    line = f"at {mbits} Mbit/s, 40 ms" if mbits else "on this machine"
                    print(f"{engine}: first character {line} after {statistics.median(times):.2f} s, "
                          f"median of {len(times)} cold starts ({min(times):.2f} to {max(times):.2f})")
            for i, (name, model, n) in enumerate((("Bible, 1 x 384", "bible", 2000),
                                                  ("3 x 512, untrained", "big", 300))):
                for engine in ("light", "onnx"):
                    told, seen = writing(p, chromium, addresses[i], model, n, engine)
                    print(f"{name}, {engine}: {told:,.0f} tokens/s in the worker, "
                          f"{seen:,.0f} characters/s seen")
                alone = native(tmp/f"{model}_page"/"models"/model)
                print(f"  ONNX Runtime without a browser: {alone:,.0f}")
            for o in (bible, big): o.shutdown()


def sizes_of_all(tmp):
    build_page(out=tmp/"all")
    return sizes(tmp/"all")


if __name__ == "__main__": main()
