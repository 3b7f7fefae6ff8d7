"""A real demo shop in a process of its own, and a real browser to look at it.

Invariant: both are gone when the tests end. A machine without Chromium skips, and says so.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, sync_playwright

READY_WITHIN_S = 60.0
RTP = (sys.executable, "-c", "from rtp_monolith.cli.main import main; main()")
CHROMIUM_ARGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip

OpenPage = Callable[..., "Visit"]

# Without motion: drawing it is most of what a page costs on a machine without a graphics card.
DESKTOP: dict[str, Any] = {"viewport": {"width": 1440, "height": 1000}, "reduced_motion": "reduce"}


class Visit:
    """A page with what must not happen on it: console errors, script errors, requests to another origin."""

    def __init__(self, page: Page, url: str, path: str = "") -> None:
        self.page = page
        self.url = url
        self.loads = 0
        self.wrong: list[str] = []
        page.on("console", lambda message: self._wrong(message.type in ("error", "warning"), message.text))
        page.on("pageerror", lambda error: self._wrong(True, str(error)))
        page.on("request", lambda request: self._wrong(not request.url.startswith((url, "data:")), request.url))
        page.on("load", lambda _: self._count())
        page.goto(url + path)
        self.settled("")

    def _wrong(self, is_wrong: bool, text: str) -> None:
        if is_wrong:
            self.wrong.append(text)

    def _count(self) -> None:
        self.loads += 1

    @property
    def turn(self) -> str:
        """Changes whenever all shelves have been drawn anew."""
        return self.page.locator("html").get_attribute("data-turn") or ""

    @property
    def path(self) -> str:
        return self.page.url.removeprefix(self.url.rstrip("/"))

    def settled(self, before: str) -> None:
        self.page.wait_for_function("was => (document.documentElement.dataset.turn ?? '') !== was", arg=before)

    def act(self, action: Callable[[], object]) -> None:
        before = self.turn
        action()
        self.settled(before)

    def shelf(self, name: str) -> Locator:
        return self.page.locator(f"[data-shelf={name}]")

    def items(self, shelf: str = "home") -> list[tuple[str, str]]:
        """(id, category) of the cards of a shelf, in order."""
        cards = self.shelf(shelf).locator("[data-item]")
        return [tuple(pair) for pair in cards.evaluate_all("l => l.map(c => [c.dataset.item, c.dataset.category])")]

    def open(self, item: str, shelf: str = "home") -> None:
        """Clicks a card, which leads to the page of its product."""
        self.act(lambda: self.shelf(shelf).locator(f'[data-item="{item}"] .open').click())

    def follow(self, selector: str, text: str) -> None:
        """Follows a link within the shop."""
        self.act(lambda: self.page.locator(selector, has_text=text).click())

    def back(self) -> None:
        self.act(lambda: self.page.evaluate("history.back()"))

    def home(self) -> None:
        self.follow("#departments .chip", "Everything")

    def search(self, words: str) -> None:
        """Types words and waits for their results, then says that this was the search."""
        self.act(lambda: self.page.locator("#q").fill(words))
        self.act(lambda: self.page.locator("#q").press("Enter"))


@pytest.fixture(scope="session")
def shop_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder = tmp_path_factory.mktemp("demo")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    log = folder / "log"
    size = ("--items", "600", "--events", "12000")
    with log.open("wb") as output:
        command = [*RTP, "demo", "--port", str(port), "--data", str(folder / "shop"), *size]
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT)
    try:
        _wait(process, f"http://127.0.0.1:{port}/readyz", log)
        yield f"http://127.0.0.1:{port}/"
        process.terminate()
        assert process.wait(10) == 0, log.read_text()
    finally:
        process.kill()
        process.wait()


def _wait(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    give_up = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < give_up and process.poll() is None:
        with contextlib.suppress(OSError), urllib.request.urlopen(address, timeout=1) as reply:
            if reply.status == 200:
                return
        time.sleep(0.05)
    pytest.fail(f"rtp demo was not ready:\n{log.read_text()}")


# Not for the session: while Playwright's synchronous calls are open its loop counts as running, and no asynchronous
# test could run after them.
@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    path = shutil.which("chromium") or shutil.which("chromium-browser")
    if path is None:
        pytest.skip("Chromium is not installed: the shop was not looked at (apt-get install chromium)")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=CHROMIUM_ARGS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def contexts(chromium: Browser) -> Callable[..., BrowserContext]:
    """One context for each kind of visitor: pages of a context share what was fetched, never who is looking."""
    made: dict[str, BrowserContext] = {}

    def context(**options: Any) -> BrowserContext:
        key = repr(sorted(options.items()))
        if key not in made:
            made[key] = chromium.new_context(**options)
            made[key].set_default_timeout(10_000)
        return made[key]

    return context


@pytest.fixture
def visit(contexts: Callable[..., BrowserContext], shop_url: str) -> Iterator[OpenPage]:
    """Opens the shop as somebody new; at the end nothing wrong may have happened."""
    opened: list[Visit] = []

    def open_page(path: str = "", **options: Any) -> Visit:
        shown = Visit(contexts(**options).new_page(), shop_url, path)
        opened.append(shown)
        return shown

    yield open_page
    for shown in opened:
        shown.page.close()
        assert shown.wrong == []
