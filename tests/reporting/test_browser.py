"""The page in a browser: with 300 runs, on a phone, light and dark, on paper."""

import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from src import report
from tests.helpers.reports import add_figures, fake_run

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a sweep of 300 runs of 60 epochs, with images of noise."""
    sweep, random = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    losses = tuple(500 * 0.97**e for e in range(61))
    pattern = add_figures(fake_run(sweep / "0", terms=random.normal(-100, 9, 500), losses=losses))
    betas, sizes, models = (0.5, 1.0, 2.0, 4.0, 8.0), (2, 4, 8, 16, 32), ("mlp", "conv")
    settings = [(b, d, m, s) for b in betas for d in sizes for m in models for s in range(6)]
    for i, (beta, latent_dim, model, seed) in enumerate(settings):
        terms = random.normal(-100 - beta, 9, 500)
        options = {"beta": beta, "latent_dim": latent_dim, "model": model, "seed": seed, "losses": losses}
        folder = fake_run(
            sweep / "runs" / str(i), elbo=terms.mean(), kl=20 / beta + random.normal(), terms=terms, **options
        )
        (folder / "figures").symlink_to(pattern / "figures")
    assert report.main([str(sweep / "runs")]) == 0
    return sweep / "runs" / "report.html"


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a few runs, with a matrix."""
    sweep = tmp_path_factory.mktemp("small")
    for i, (beta, latent_dim) in enumerate((b, d) for b in (1.0, 4.0) for d in (2, 8, 16)):
        fake_run(sweep / str(i), elbo=-90.0 - i, kl=20.0 - i, beta=beta, latent_dim=latent_dim)
    assert report.main([str(sweep)]) == 0
    return sweep / "report.html"


@pytest.fixture(scope="module")
def open_page() -> Iterator[Callable[..., Any]]:
    """Opens a page of a browser, whose errors must be none at the end."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    said: list[str] = []
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])

        def opened(**options: Any) -> Any:
            page = browser.new_page(**options)
            page.on("console", lambda message: said.append(message.text))
            page.on("pageerror", lambda error: said.append(str(error)))
            return page

        yield opened
        browser.close()
    assert not said


def draw_first_chart(page: Any) -> Any:
    """Scroll to the first chart, and return it when it is drawn."""
    plot = page.locator(".plot").first
    plot.scroll_into_view_if_needed()
    plot.locator(".main-svg").first.wait_for(timeout=20_000)
    return plot


def style(locator: Any, name: str) -> str:
    """A property of an element as the browser has computed it."""
    return locator.evaluate("(element, name) => getComputedStyle(element)[name]", name)


@pytest.mark.slow
def test_300_runs_fit_a_page(large):
    assert 1_200_000 < large.stat().st_size < 16_000_000


@pytest.mark.slow
def test_the_charts_follow_the_theme(small, open_page):
    page = open_page(viewport={"width": 1280, "height": 400}, color_scheme="dark")
    page.goto(small.as_uri())
    plot = draw_first_chart(page)
    dark, light = ("rgb(13, 17, 23)", "rgb(155, 165, 176)"), ("rgb(255, 255, 255)", "rgb(89, 99, 110)")

    def colours() -> tuple[str, str]:
        return style(page.locator("body"), "backgroundColor"), style(plot.locator(".xtitle"), "fill")

    assert colours() == dark
    page.get_by_role("button", name="Light", exact=True).click()
    assert colours() == light
    page.get_by_role("button", name="Auto", exact=True).click()
    assert colours() == dark
    page.emulate_media(color_scheme="light")
    assert colours() == light
    page.get_by_role("button", name="Dark", exact=True).click()
    assert colours() == dark
    undrawn = page.locator(".plot:not(:has(.main-svg))")
    assert undrawn.count() > 0
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    assert colours() == light
    assert undrawn.count() == 0
    page.evaluate("dispatchEvent(new Event('afterprint'))")
    assert colours() == dark


@pytest.mark.slow
def test_on_a_phone_tables_scroll_in_a_box_that_shows_it(small, open_page):
    page = open_page(viewport={"width": 400, "height": 900})
    page.goto(small.as_uri())
    draw_first_chart(page)
    assert page.evaluate("document.documentElement.scrollWidth") == 400
    box = page.locator(".box").first
    assert box.get_attribute("data-more") == "right"
    assert box.evaluate("element => getComputedStyle(element, '::after').content") == '"\u203a"'
    box.locator(".scroll").evaluate("element => element.scrollTo(9999, 0)")
    page.wait_for_timeout(200)
    assert box.get_attribute("data-more") == "left"


@pytest.mark.slow
def test_the_tool_bar_of_a_chart_appears_on_hover_alone(small, open_page):
    page = open_page(viewport={"width": 1280, "height": 900})
    page.goto(small.as_uri())
    plot = draw_first_chart(page)
    page.mouse.move(1, 1)
    page.wait_for_timeout(600)
    assert style(plot.locator(".modebar-group").first, "opacity") == "0"
    plot.hover()
    page.wait_for_timeout(600)
    assert style(plot.locator(".modebar-group").first, "opacity") == "1"


@pytest.mark.slow
def test_the_matrix_is_of_the_chosen_quantity(small, open_page):
    page = open_page(viewport={"width": 1280, "height": 900})
    page.goto(small.as_uri())
    assert page.locator(".matrix:visible").get_attribute("data-quantity") == "elbo"
    page.get_by_role("button", name="KL", exact=True).last.click()
    assert page.locator(".matrix:visible").get_attribute("data-quantity") == "kl"


@pytest.mark.slow
def test_in_a_browser(large, open_page):
    page = open_page(viewport={"width": 1280, "height": 900})
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    began = time.perf_counter()
    page.goto(large.as_uri())
    assert time.perf_counter() - began < 3
    rows = page.locator("table.runs tbody tr:visible")
    assert rows.count() == 300

    page.locator("table.runs th button", has_text="KL").click()
    values = [
        float(value)
        for value in page.locator("table.runs tbody td:nth-child(6)").evaluate_all("all => all.map(e => e.dataset.v)")
    ]
    assert values == sorted(values)
    page.locator("table.runs th", has_text="beta").locator("select").select_option("4")
    assert rows.count() == 60
    page.locator("input[type=search]").fill("conv")
    assert rows.count() == 30
    assert page.locator(".matches").inner_text() == "30 of 300 runs"

    assert draw_first_chart(page).locator(".points path").count() == 30
    page.locator("input[type=search]").fill("")
    page.get_by_role("button", name="Active units").click()
    page.locator("select.knob").select_option("model")
    assert page.locator(".legend li").all_inner_texts() == ["conv", "mlp"]
    assert page.locator("article:visible").count() == 10  # of 6 seeds the first
    assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [large.as_uri()]
