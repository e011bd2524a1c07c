"""The page in Chromium: what it shows, when it changes, and that it sends nothing elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from edge.config import StatusConfig
from tests.chromium import Page, chromium, find_chromium
from tests.statuses import TOKEN, Box, make_camera, make_status, serving, token_file

pytestmark = pytest.mark.slow

pytest.importorskip("websockets", reason="websockets is not installed (extra test)")
PROGRAM = find_chromium()
if PROGRAM is None:
    pytest.skip("no Chromium is installed (Debian: chromium)", allow_module_level=True)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Page]]:
    assert PROGRAM is not None
    with chromium(PROGRAM, tmp_path_factory.mktemp("profile")) as make:
        yield make


@pytest.fixture
def new_page(browser: Callable[[], Page]) -> Iterator[Callable[[], Page]]:
    """Opens a tab that is closed after the test."""
    pages = []

    def make() -> Page:
        pages.append(browser())
        return pages[-1]

    yield make
    for page in pages:
        page.close()


@pytest.fixture
def box() -> Iterator[Box]:
    with serving(StatusConfig(port=0)) as running:
        yield running


def opened(new_page: Callable[[], Page], box: Box) -> Page:
    page = new_page()
    page.show_as(1000, 700)
    page.open(box.address)
    page.wait("document.querySelector('#state')?.textContent.includes('Ready')")
    return page


def assert_clean(page: Page, box: Box) -> None:
    """No complaint in the console, which also lists CSP violations, and no request elsewhere."""
    page.evaluate("1")  # processes pending events
    assert page.complaints == []
    assert page.requests
    for url in page.requests:
        assert url.startswith((f"{box.address}/", f"blob:{box.address}/", "data:,", "about:blank")), url


def test_it_shows_the_status(new_page: Callable[[], Page], box: Box) -> None:
    page = opened(new_page, box)
    text = page.text("body").replace("\t", " ")
    for part in (
        "Ready, 1 of 1 cameras live", "front", "rtsp://192.0.2.10/stream", "100", "90", "not due 8",
        "stale 2",
        "40", "5 held", "face-fast", "cpu", "12 s ago", "always", "full", "62 °C", "/var/lib/edge/images",
        "12,345 images, 5.0 GiB", "20.0 GiB", "1 d 2 h", "1.2.3", "abababababababab", "18.2", "36.9",
        "front 20 pixels 13 8.3 6.5 142", "This page shows no pictures",
    ):  # fmt: skip
        assert part in text, part
    assert page.evaluate("document.title") == "Edge anonymizer"
    assert_clean(page, box)


def test_counts_are_refreshed(new_page: Callable[[], Page], box: Box) -> None:
    page = opened(new_page, box)
    box.status = make_status(make_camera(captured=1_000_123, written=777))
    page.wait("document.querySelector('#cameras').innerText.includes('1,000,123')")
    assert "777" in page.text("#cameras")
    assert_clean(page, box)


def test_a_camera_that_is_down_stands_out(new_page: Callable[[], Page], box: Box) -> None:
    page = opened(new_page, box)
    down = make_camera("yard", state="down", last_error="no frame within 5 seconds", checked_seconds_ago=None)
    box.status = make_status(make_camera(), down)
    page.wait("document.querySelector('#cameras .bad')")
    assert page.text("#cameras .bad") == "✕ down"
    assert "no frame within 5 seconds" in page.text("#cameras")
    assert "never" in page.text("#cameras")
    assert "Ready, but only 1 of 2 cameras live" in page.text("#state")
    assert page.evaluate("document.title").startswith("(!)")
    late = make_camera(checked_seconds_ago=95.0)
    box.status = make_status(late, problems=["no camera is live"], degraded=["load: lower rate"])
    page.wait("document.querySelector('#state').textContent.includes('Not ready')")
    assert "⚠ 1 min 35 s ago" in page.text("#cameras .bad")
    assert page.text("#notes").splitlines() == ["✕ no camera is live", "⚠ load: lower rate"]
    box.status = make_status(healthy=False)
    page.wait("document.querySelector('#state').textContent.includes('Not healthy')")
    assert_clean(page, box)


def test_a_dead_appliance_is_reported_and_old_figures_are_grey(new_page: Callable[[], Page]) -> None:
    with serving(StatusConfig(port=0)) as box:
        page = opened(new_page, box)
        assert page.evaluate("getComputedStyle(document.querySelector('#main')).opacity") == "1"
    page.wait("document.querySelector('#state').textContent.includes('does not answer')")
    assert "the figures below are from" in page.text("#state")
    assert float(page.evaluate("getComputedStyle(document.querySelector('#main')).opacity")) < 1
    assert page.evaluate("document.title").startswith("(!)")
    # and it recovers
    port = int(box.address.rsplit(":", 1)[1])
    with serving(StatusConfig(port=port)):
        page.wait("document.querySelector('#state').textContent.includes('Ready')")
        assert page.evaluate("getComputedStyle(document.querySelector('#main')).opacity") == "1"


def test_an_error_of_the_appliance_is_reported(new_page: Callable[[], Page], box: Box) -> None:
    page = opened(new_page, box)

    def fail() -> None:
        raise RuntimeError

    box.read = fail  # type: ignore[assignment]
    page.wait("document.querySelector('#state').textContent.includes('answer 500')")


def test_text_from_a_camera_stays_text(new_page: Callable[[], Page], box: Box) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    camera = make_camera(evil, source=evil, state="down", last_error=evil, dropped={evil: 1})
    box.status = make_status(
        camera, problems=[evil], degraded=[evil], detector=evil, provider=evil, store_folder=evil
    )
    page = new_page()
    page.open(box.address)
    page.wait("document.querySelector('#cameras')?.innerText.includes('onerror')")
    assert page.evaluate("document.querySelectorAll('main img, main script').length") == 0
    assert page.evaluate("document.title") != "owned"
    for selector in ("#cameras", "#notes", "#facts"):
        assert "<img src=x onerror=" in page.text(selector)
    assert_clean(page, box)


def test_the_policy_forbids_script_and_style_from_elsewhere(new_page: Callable[[], Page], box: Box) -> None:
    page = opened(new_page, box)
    page.evaluate(
        "const style = document.createElement('style'); style.textContent = 'h1 {color: red}';"
        "document.head.append(style)"
    )
    page.evaluate(
        "fetch('http://127.0.0.1:9/').catch(() => 0).then(() => new Promise(r => setTimeout(r, 50)))"
    )
    assert page.evaluate("getComputedStyle(document.querySelector('h1')).color") != "rgb(255, 0, 0)"
    complaints = "\n".join(page.complaints)
    assert "style-src" in complaints
    assert "connect-src" in complaints


def test_the_token_is_asked_for(new_page: Callable[[], Page], tmp_path: Path) -> None:
    with serving(StatusConfig(port=0, token_file=token_file(tmp_path))) as box:
        page = new_page()
        page.open(box.address)
        page.wait("document.querySelector('#login:not([hidden])')")
        assert page.text("#state") == "A token is needed"
        assert not page.evaluate("document.querySelector('#main').checkVisibility()")
        for wrong in ("wrong", "schlüssel", TOKEN + "x"):
            enter(page, wrong)
            page.wait("document.querySelector('#state').textContent.includes('This token is wrong')")
            page.evaluate("document.querySelector('#state').textContent = ''")
        assert page.evaluate("sessionStorage.getItem('token')") is None
        enter(page, TOKEN)
        page.wait("document.querySelector('#state').textContent.includes('Ready')")
        assert page.evaluate("document.querySelector('#login').hidden")
        assert page.evaluate("document.querySelector('#token').value") == ""
        assert page.evaluate("location.href") == f"{box.address}/"
        # kept for this tab, not for the browser
        page.evaluate("document.querySelector('#state').textContent = ''")
        page.send("Page.reload")
        page.wait("document.querySelector('#state')?.textContent.includes('Ready')")
        assert page.evaluate("localStorage.length") == 0
        assert page.evaluate("document.cookie") == ""
        assert not [url for url in page.requests if TOKEN in url]
        # the browser itself notes each 401
        others = [text for text in page.complaints if not re.search(r"status of 401", text)]
        assert others == []


def enter(page: Page, token: str) -> None:
    page.evaluate(
        f"document.querySelector('#token').value = {token!r}; document.querySelector('#login button').click()"
    )


@pytest.mark.parametrize("wants_token", [False, True])
def test_previews_are_the_stored_images(
    new_page: Callable[[], Page], tmp_path: Path, wants_token: bool
) -> None:
    file = token_file(tmp_path) if wants_token else None
    with serving(StatusConfig(port=0, preview=True, token_file=file)) as box:
        image = tmp_path / "image.jpg"
        image.write_bytes(cv2.imencode(".jpg", np.full((30, 40, 3), 99, np.uint8))[1].tobytes())
        box.images["front"] = image
        box.status = make_status(make_camera(), make_camera("yard", last_image=None), preview=True)
        page = new_page()
        page.show_as(1000, 700)
        page.open(box.address)
        if wants_token:
            page.wait("document.querySelector('#login:not([hidden])')")
            enter(page, TOKEN)
        page.wait("document.querySelector('#pictures img')?.naturalWidth === 40")
        assert page.text("#pictures").splitlines() == ["front, 2024-05-06 07:08:09 UTC", "yard: no image"]
        assert page.evaluate("document.querySelector('#pictures img').alt") == (
            "last anonymized image of camera front"
        )
        assert "read back from the store" in page.text("#footer")
        assert [url for url in page.requests if "preview/yard" in url] == []
        if not wants_token:
            assert_clean(page, box)


def test_no_picture_is_asked_for_unless_previews_are_on(new_page: Callable[[], Page], box: Box) -> None:
    page = opened(new_page, box)
    assert page.evaluate("document.querySelector('#previews').hidden")
    assert page.evaluate("document.images.length") == 0
    assert not [url for url in page.requests if "preview" in url]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1000])
def test_it_fits_and_can_be_read(new_page: Callable[[], Page], box: Box, width: int, scheme: str) -> None:
    long = make_camera(
        "a-camera-with-quite-a-long-name1",
        source="rtsp://192.0.2.10/" + "stream" * 20,
        state="down",
        last_error="cannot be opened " + "x" * 120,
        captured=1_234_567_890,
        dropped={"no_lookahead": 123_456_789, "detector_timeout": 1},
        covered_whole={"overflow": 3},
        regrown=5,
        escalated=2,
    )
    box.status = make_status(
        make_camera(), long, make_camera("b", state="stale"), make_camera("c", state="connecting"),
        make_camera("d", state="ended"), degraded=["load"], problems=["y" * 200], store_folder="/" + "z" * 90,
    )  # fmt: skip
    page = new_page()
    page.show_as(width, 800, scheme)
    page.open(box.address)
    page.wait("document.querySelector('#cameras .bad')")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    colours = page.evaluate(CONTRASTS)
    assert len(colours) > 30
    for colour, ground, text in colours:
        assert contrast(colour, ground) >= 4.5, (colour, ground, text)
    labels = page.evaluate("[...document.querySelectorAll('th')].every(th => th.scope)")
    assert labels
    assert page.evaluate("document.querySelector('#state').getAttribute('role')") == "status"


CONTRASTS = """[...document.querySelectorAll('body *')].filter(e => e.checkVisibility() &&
  [...e.childNodes].some(n => n.nodeType === 3 && n.textContent.trim())).map(e => {
    let at = e;
    while (at && getComputedStyle(at).backgroundColor === 'rgba(0, 0, 0, 0)') at = at.parentElement;
    return [getComputedStyle(e).color, getComputedStyle(at || document.body).backgroundColor, e.textContent];
  })"""


def contrast(one: str, other: str) -> float:
    """Contrast of two CSS colours, from 1 to 21 (WCAG 2.2, contrast ratio)."""
    high, low = sorted((luminance(one), luminance(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
