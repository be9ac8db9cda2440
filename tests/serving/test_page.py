"""The page of a served model, in a real browser: dropped, chosen or pasted photographs, with the keyboard alone."""

from __future__ import annotations

import http.client
import os
import re
import shutil
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from birdsod.image import encode

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from birdsod.serving import Server

FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

# Playwright's own loop leaves sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start Chromium, which BIRDSOD_CHROMIUM may name."""
    program = os.environ.get("BIRDSOD_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    if program is None:
        pytest.skip("there is no Chromium on this machine (BIRDSOD_CHROMIUM may name one)")
    api = pytest.importorskip("playwright.sync_api", reason="playwright drives the browser")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program, args=FLAGS)
        yield started
        started.close()


@pytest.fixture
def page(browser: Browser, server: Server) -> Iterator[Page]:
    """Open the page; whatever it asks of another machine, and every fault of its script, fails the test."""
    context = browser.new_context(viewport={"width": 1200, "height": 800}, reduced_motion="reduce")
    opened = context.new_page()
    faults: list[str] = []
    opened.on("pageerror", lambda error: faults.append(str(error)))
    opened.on("request", lambda request: faults.append(request.url) if not is_local(request.url, server) else None)
    opened.on("console", lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None)
    # Listened to from the start: a dialog that opens before somebody listens is not told.
    opened.on("filechooser", lambda _: None)
    opened.goto(server.url)
    yield opened
    context.close()
    assert faults == []


def is_local(url: str, server: Server) -> bool:
    return url.startswith((server.url, "blob:", "data:"))


@pytest.fixture
def photograph(tmp_path: Path) -> Path:
    rows, columns = np.mgrid[0:300, 0:400]
    path = tmp_path / "garden.jpg"
    path.write_bytes(encode(np.stack([rows // 2, columns // 3, (rows + columns) // 4], axis=-1).astype(np.uint8)))
    return path


def status(page: Page, words: str) -> None:
    page.locator("#status").filter(has_text=re.compile(words)).wait_for()


def table(page: Page) -> list[str]:
    return [" ".join(text.split()) for text in page.locator("#rows tr").all_inner_texts()]


def color(page: Page, x: int, y: int) -> list[int]:
    """Return the color that the picture has there."""
    script = "([x, y]) => [...document.getElementById('picture').getContext('2d').getImageData(x, y, 1, 1).data]"
    found: list[int] = page.evaluate(script, [x, y])
    return found[:3]


def focused(page: Page) -> str:
    found: str = page.evaluate("document.activeElement.id || document.activeElement.textContent.trim()")
    return found


def test_it_says_what_the_model_knows(page: Page) -> None:
    page.get_by_text("Knows 017.Cardinal, 036.Northern_Flicker.").wait_for()


def test_a_chosen_photograph_gets_its_boxes(page: Page, photograph: Path, tmp_path: Path) -> None:
    page.set_input_files("#file", photograph)
    status(page, "Found: 036.Northern_Flicker$")
    assert table(page) == ["036.Northern_Flicker 88 % 100, 150 to 300, 300"]
    assert page.locator("#name").inner_text() == "garden.jpg, 400 \u00d7 300"
    assert page.locator("#picture").get_attribute("aria-label") == "Photograph with boxes around 036.Northern_Flicker"
    # The left side of the box, half way down, has the color of the second class; the picture itself is dark.
    assert color(page, 100, 220) == [78, 168, 255]
    picture = tmp_path / "page.png"
    page.screenshot(path=picture)
    assert picture.stat().st_size > 10_000


def test_the_threshold_shows_more_or_less(page: Page, photograph: Path) -> None:
    page.set_input_files("#file", photograph)
    status(page, "Flicker$")
    page.locator("#threshold").fill("20")
    status(page, "Found: 036.Northern_Flicker, 017.Cardinal")
    assert len(table(page)) == 2
    page.locator("#threshold").fill("95")
    status(page, "Nothing found at this confidence")
    assert page.locator("#picture").get_attribute("aria-label") == "Photograph without boxes"


def test_the_keyboard_alone_is_enough(page: Page, photograph: Path) -> None:
    page.keyboard.press("Tab")
    assert focused(page) == "choose"
    with page.expect_file_chooser() as chooser:
        page.keyboard.press("Enter")
    chooser.value.set_files(photograph)
    status(page, "Flicker$")
    # The button that was pressed is gone; the next Tab goes to what comes behind it.
    page.keyboard.press("Tab")
    assert focused(page) == "threshold"
    for _ in range(20):
        page.keyboard.press("ArrowLeft")
    status(page, "Cardinal")
    page.keyboard.press("Tab")
    assert focused(page) == "036.Northern_Flicker"
    # The other box fades where one has the focus: its left upper corner is no longer in full color.
    assert color(page, 100, 220) == [78, 168, 255]
    assert color(page, 0, 60) != [255, 176, 0]
    page.keyboard.press("Tab")
    assert focused(page) == "017.Cardinal"
    assert color(page, 100, 220) != [78, 168, 255]
    page.keyboard.press("Tab")
    assert focused(page) == "again"
    with page.expect_file_chooser() as second:
        page.keyboard.press("Space")
    second.value.set_files(photograph)
    status(page, "Cardinal")
    page.keyboard.press("Tab")
    assert focused(page) == "save"
    with page.expect_download() as download:
        page.keyboard.press("Enter")
    assert download.value.suggested_filename == "garden-boxes.png"


def test_the_focus_can_be_seen(page: Page) -> None:
    page.keyboard.press("Tab")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"


DROP = """([type, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "dropped", { type }));
  document.body.dispatchEvent(new DragEvent("dragover", { dataTransfer: data, bubbles: true, cancelable: true }));
  document.body.dispatchEvent(new DragEvent("drop", { dataTransfer: data, bubbles: true, cancelable: true }));
}"""
PASTE = """(bytes) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "image.png", { type: "image/png" }));
  document.dispatchEvent(new ClipboardEvent("paste", { clipboardData: data, bubbles: true }));
}"""


def test_a_dropped_photograph_is_looked_at(page: Page, jpeg: bytes) -> None:
    page.evaluate(DROP, ["image/jpeg", list(jpeg)])
    status(page, "Flicker$")
    assert table(page) == ["036.Northern_Flicker 88 % 20, 30 to 60, 60"]


def test_a_pasted_photograph_is_looked_at(page: Page, png: bytes) -> None:
    page.evaluate(PASTE, list(png))
    status(page, "Flicker$")


def test_another_kind_of_picture_is_sent_as_jpeg(page: Page, predictor: Any, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "bird.webp"
    Image.new("RGB", (120, 90)).save(path)
    page.set_input_files("#file", path)
    status(page, "Flicker$")
    assert predictor.seen == [(120, 90)]


def test_a_photograph_above_the_limit_is_made_smaller(page: Page, predictor: Any, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1600, 2000, 3)).astype(np.uint8)
    path = tmp_path / "noise.png"
    path.write_bytes(encode(noise, encoding=".png", quality=1))
    assert path.stat().st_size > 6_291_456
    page.set_input_files("#file", path)
    status(page, "Flicker$")
    assert table(page) == ["036.Northern_Flicker 88 % 500, 800 to 1500, 1600"]
    assert len(predictor.seen) == 1


def test_a_turned_photograph_is_shown_upright(page: Page, predictor: Any, tmp_path: Path) -> None:
    from PIL import Image

    path = tmp_path / "turned.jpg"
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("RGB", (120, 90)).save(path, exif=turned)
    page.set_input_files("#file", path)
    status(page, "Flicker$")
    assert page.locator("#name").inner_text() == "turned.jpg, 90 \u00d7 120"
    assert predictor.seen == [(90, 120)]


def test_what_is_no_image_is_told_in_words(page: Page, tmp_path: Path) -> None:
    path = tmp_path / "letter.txt"
    path.write_text("no picture")
    page.set_input_files("#file", path)
    page.get_by_role("alert").filter(has_text="letter.txt is no image that can be read here").wait_for()


def test_a_failing_model_is_told_in_words(
    page: Page, predictor: Any, photograph: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    predictor.failure = RuntimeError("inside")
    page.set_input_files("#file", photograph)
    page.get_by_role("alert").filter(has_text="The server refused: the model failed on this image.").wait_for()
    assert "inside" in capfd.readouterr().err


def test_a_server_that_is_gone_is_told_in_words(page: Page, server: Server, photograph: Path) -> None:
    server.stop()
    page.set_input_files("#file", photograph)
    page.get_by_role("alert").filter(has_text="The server does not answer. Is it still running?").wait_for()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1200])
def test_nothing_is_cut_off(browser: Browser, server: Server, photograph: Path, scheme: str, width: int) -> None:
    colors: Any = scheme
    context = browser.new_context(viewport={"width": width, "height": 780}, color_scheme=colors)
    page = context.new_page()
    page.goto(server.url)
    page.set_input_files("#file", photograph)
    status(page, "Flicker$")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert ground == {"light": "rgb(246, 245, 241)", "dark": "rgb(20, 24, 22)"}[scheme]
    context.close()


def test_the_page_may_ask_nobody_else(server: Server) -> None:
    connection = http.client.HTTPConnection(*server.address, timeout=20)
    for path in ("/", "/page.css", "/page.js"):
        connection.request("GET", path)
        answer = connection.getresponse()
        assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; script-src 'self'")
        assert b"://" not in answer.read()
    connection.close()
