"""A page of 300 runs, in a browser."""

import shutil
import time
from pathlib import Path

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


@pytest.mark.slow
def test_300_runs_fit_a_page(large):
    assert 5_000_000 < large.stat().st_size < 20_000_000


@pytest.mark.slow
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")
def test_in_a_browser(large):
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        said, asked = [], []
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("request", lambda request: asked.append(request.url))
        began = time.perf_counter()
        page.goto(large.as_uri())
        assert time.perf_counter() - began < 3
        rows = page.locator("table.runs tbody tr:visible")
        assert rows.count() == 300

        page.locator("table.runs th button", has_text="KL").click()
        values = [
            float(value)
            for value in page.locator("table.runs tbody td:nth-child(10)").evaluate_all(
                "all => all.map(e => e.dataset.v)"
            )
        ]
        assert values == sorted(values)
        page.locator("table.runs th", has_text="beta").locator("select").select_option("4")
        assert rows.count() == 60
        page.locator("input[type=search]").fill("conv")
        assert rows.count() == 30
        assert page.locator(".matches").inner_text() == "30 of 300 runs"

        page.locator(".plot").first.scroll_into_view_if_needed()
        page.locator(".plot .main-svg").first.wait_for(timeout=20_000)
        assert page.locator(".plot").first.locator(".points path").count() == 30
        page.locator("input[type=search]").fill("")
        page.get_by_role("button", name="Active units").click()
        page.locator("select.knob").select_option("model")
        assert page.locator(".legend li").all_inner_texts() == ["conv", "mlp"]
        assert page.locator("article:visible").count() == 10  # of 6 seeds the first
        assert not said
        assert [url for url in asked if not url.startswith(("data:", "blob:"))] == [large.as_uri()]
        browser.close()
