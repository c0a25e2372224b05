"""The page and the sheet on which pictures are compared."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import picture

from vaecodec.cli.pages.compare_page import page
from vaecodec.cli.pages.comparison import Entry, sheet


def entries() -> list[Entry]:
    return [Entry("Original", "as it is", picture(60, 40)), Entry("</script><b>", "worse", picture(60, 40, 2))]


def test_sheet_shows_pictures_unscaled():
    drawn = np.asarray(sheet(entries(), crop=1000))
    image = picture(60, 40)
    assert any(np.array_equal(drawn[y : y + 40, 8:68], image) for y in range(drawn.shape[0] - 40))


def test_names_cannot_break_the_page():
    text = page(entries(), "a <b> & c")
    assert text.count("</script>") == 1 and "a &lt;b&gt; &amp; c" in text


@pytest.fixture
def shown(browser, tmp_path):
    """Opens a page of an original of all 200 and another picture of all 190, in a window of some width."""

    def show(width: int, side: int = 240) -> None:
        pair = [Entry(name, "", np.full((90, side, 3), v, np.uint8)) for name, v in (("Original", 200), ("other", 190))]
        (tmp_path / "page.html").write_text(page(pair, "A test"), encoding="utf-8")
        browser.open((tmp_path / "page.html").as_uri(), width, 600)

    return show


def shares(pixels: np.ndarray) -> tuple[float, float]:
    """Of the original and of the other picture."""
    return (pixels == 200).all(2).mean(), (pixels == 190).all(2).mean()


@pytest.mark.slow
def test_page_moves_its_divider_in_a_browser(browser, shown):
    shown(800)
    assert browser.evaluate("document.querySelector('h1').textContent") == "A test"
    assert shares(browser.pixels("#stage")) == pytest.approx((0.5, 0.5), abs=0.03)
    browser.set("#at", "20")
    assert shares(browser.pixels("#stage")) == pytest.approx((0.2, 0.8), abs=0.03)
    left, top, right, bottom = browser.box("#stage")
    middle = (top + bottom) / 2
    browser.drag((left + 5, middle), (left + 0.7 * (right - left), middle))
    assert shares(browser.pixels("#stage")) == pytest.approx((0.7, 0.3), abs=0.03)
    assert float(browser.evaluate("document.querySelector('#at').value")) == pytest.approx(70, abs=1)
    browser.set("#b", "0")  # the original on both sides
    assert shares(browser.pixels("#stage")) == pytest.approx((1, 0), abs=0.03)


@pytest.mark.slow
def test_page_shows_differences_in_a_browser(browser, shown):
    shown(800)
    browser.set("#diff", True)
    assert (browser.pixels("#stage") == 80).all(2).mean() == pytest.approx(1, abs=0.03)  # eight times 200 - 190
    browser.set("#b", "0")
    assert (browser.pixels("#stage") == 0).all(2).mean() == pytest.approx(1, abs=0.03)
    browser.set("#diff", False)
    assert shares(browser.pixels("#stage"))[0] == pytest.approx(1, abs=0.03)


@pytest.mark.parametrize("width", [400, 1200])
def test_page_fits_its_window(browser, shown, width):
    shown(width, side=900)
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    for name in ("h1", "#a", "#b", "#at", "#zoom", "#diff"):
        left, _, right, _ = browser.box(name)
        assert 0 <= left < right <= width, name


def test_page_loads_nothing(browser, shown):
    shown(800)
    names = browser.evaluate("performance.getEntriesByType('resource').map(entry => entry.name)")
    assert all(name.startswith("data:") for name in names), names
