"A browser and a web server for the tests that look at pages as their readers do"
import os
import shutil
import threading

import pytest

names = "chromium", "chromium-browser", "google-chrome"
chromium = next(filter(None, map(shutil.which, names)), None)
# Set where the browser tests must run: there a missing browser is an error, no reason to skip
needed = os.environ.get("LMFS_BROWSER_TESTS") == "must run"


def pytest_terminal_summary(terminalreporter):
    skipped = [o for o in terminalreporter.stats.get("skipped", []) if "no Chromium" in str(o.longrepr)]
    if not skipped: return
    terminalreporter.line(f"{len(skipped)} browser tests left out: no Chromium on this machine.")


@pytest.fixture(scope="session")
def browser():
    "A Chromium of the system, driven by Playwright"
    if not chromium:
        if needed: pytest.fail("There is no Chromium, and the browser tests must run: install chromium.")
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright
    with sync_playwright() as p:
        b = p.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        yield b
        b.close()


@pytest.fixture(scope="session")
def page_site(tmp_path_factory):
    "The page with the models that the package carries, built once"
    from lmfromscratch.engine.page import build_page
    out = tmp_path_factory.mktemp("page")/"site"
    build_page(out=out)
    return out


@pytest.fixture(scope="session")
def serve():
    "A function: the address at which a folder is served, for as long as the tests run"
    from lmfromscratch.engine.page import page_server
    servers = []

    def start(folder):
        server = page_server(folder)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"
    yield start
    for o in servers:
        o.shutdown()
        o.server_close()
