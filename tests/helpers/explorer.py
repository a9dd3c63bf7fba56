"""Drives the page of task=explore in a browser, and compares what it computes with PyTorch."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pytest
import torch

from src.apply import apply
from src.build import Run
from src.config.options import CONF
from src.tasks.explore.functions import ACCEPTED, functions

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)


@contextmanager
def browser() -> Iterator[Any]:
    """The system's Chromium; the test is skipped where there is none."""
    if CHROMIUM is None:
        pytest.skip("there is no Chromium")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


def write_page(run: Path) -> Path:
    """The page that task=explore writes of a run."""
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        apply(hydra.compose("apply", [f"run={run}", "task=explore"]))
    return run / "tasks" / "explore" / "latest" / "explorer.html"


class Explorer:
    """The page of a run in a browser; `run` computes what it should show."""

    def __init__(self, opened: Any, path: Path, run: Run, **options: Any) -> None:
        self.run, self.said, self.asked = run, [], []
        self.functions = {name: function.compute for name, function in functions(run.vae).items()}
        self.page = opened.new_page(**({"viewport": {"width": 1400, "height": 1000}} | options))
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.url = path.as_uri()
        self.page.goto(self.url)
        self.page.wait_for_selector("html[data-ready]")

    def check_silence(self) -> None:
        """Nothing was said on the console, nothing asked of the network or the disk, and the results are PyTorch's."""
        self.page.wait_for_selector("html[data-checked]")
        assert "within" in self.page.locator("#check").inner_text()
        assert self.page.locator(".alarm").count() == 0
        assert self.said == []
        assert [url for url in self.asked if not url.startswith(("data:", "blob:"))] == [self.url]

    def value(self, expression: str) -> Any:
        """The value of an expression of the page's script; arrays of numbers become lists."""
        return self.page.evaluate(
            f"() => {{ const v = {expression}; return ArrayBuffer.isView(v) ? Array.from(v) : v; }}"
        )

    def state(self, name: str) -> torch.Tensor:
        """A code, an image or a number of the page's state, as a batch of one."""
        value = torch.tensor(self.value(f"explorer.state.{name}"), dtype=torch.long if name == "y" else torch.float32)
        return value.reshape(1, *self.run.vae.shape) if name in ("x", "decoded") else value.reshape(1, -1).squeeze(-1)

    def code(self) -> torch.Tensor:
        """The current code (1, D)."""
        return self.state("z").reshape(1, -1)

    def check_decoded(self) -> np.ndarray:
        """The decoded mean is PyTorch's, in the page's numbers and on its canvas; returns the canvas."""
        expected = self.functions["decode"](self.code(), self.state("y"))[0]
        assert (self.state("decoded") - expected).abs().max() < ACCEPTED["pixel"]
        shown = self.canvas("#decoded")
        levels = (expected[0, 0].clamp(0, 1) * 255).numpy()
        assert np.abs(shown - levels).max() < 1.5
        return shown

    def canvas(self, selector: str) -> np.ndarray:
        """The levels of the first channel of a canvas, (H, W)."""
        pixels = self.page.evaluate(
            """selector => {
              const canvas = document.querySelector(selector), {width, height} = canvas;
              const context = new OffscreenCanvas(width, height).getContext("2d", {willReadFrequently: true});
              context.drawImage(canvas, 0, 0);
              return [width, height, Array.from(context.getImageData(0, 0, width, height).data)];
            }""",
            selector,
        )
        return np.array(pixels[2], dtype=float).reshape(pixels[1], pixels[0], 4)[..., 0]

    def check_nats(self) -> None:
        """The nats of the current image are PyTorch's at the image that the page encoded."""
        z, _, recon, kl = self.functions["describe"](self.state("x"), self.state("y"))
        assert (self.code() - z).abs().max() < 2e-3 * (1 + z.abs().max())
        assert float(recon) == pytest.approx(float(self.state("recon")), abs=ACCEPTED["nats"])
        assert float(kl) == pytest.approx(float(self.state("kl")), abs=ACCEPTED["nats"])
        text = self.page.locator("#nats").inner_text().replace("\N{MINUS SIGN}", "-")
        shown = re.search(r"([-\d.]+) nats", text)
        assert float(shown[1]) == pytest.approx(float(recon + kl), abs=0.1)

    def check_prior(self) -> None:
        """-log p(z) of the current code is PyTorch's."""
        expected = -float(self.functions["log_prior"](self.code(), self.state("y"))[0])
        found = self.value("explorer.model.priorNats(explorer.state.z, explorer.state.y)")
        assert found == pytest.approx(expected, abs=ACCEPTED["nats"])
        text = f"{found:.1f}".replace("-", "\N{MINUS SIGN}")
        assert text in self.page.locator("#now").inner_text()

    def place(self, row: int) -> tuple[float, float]:
        """Where a followed image is in the window."""
        x, y = self.value(
            f"explorer.map.screenOf([explorer.space.last[{2 * row}], explorer.space.last[{2 * row + 1}]])"
        )
        box = self.page.locator("#map").bounding_box()
        return box["x"] + x, box["y"] + y

    def open_tab(self, name: str) -> None:
        """Open a tab, and wait until its images are painted."""
        self.page.locator(f"#tab-{name}").click()
        self.page.wait_for_timeout(400)


def drive(explorer: Explorer) -> None:
    """Use every part of the page: hover, click, slide, draw, path, sample, replay, game. All is as PyTorch has it."""
    check_map(explorer)
    check_sliders(explorer)
    check_drawing(explorer)
    check_path(explorer)
    check_samples(explorer)
    check_replay(explorer)
    check_game(explorer)
    explorer.check_silence()


def check_map(explorer: Explorer) -> None:
    """A point shows a card when it is pointed at, and becomes the current code by a click; so does a place."""
    page = explorer.page
    explorer.check_decoded()
    before = explorer.canvas("#decoded")
    row = (explorer.value("explorer.state.row") + 7) % explorer.value("explorer.space.points")
    page.mouse.move(*explorer.place(row))
    page.wait_for_timeout(150)
    assert "image" in page.locator("#card").inner_text()
    page.mouse.click(*explorer.place(row))
    page.wait_for_timeout(150)
    chosen = explorer.value("explorer.state.row")
    assert chosen is not None  # a point that covers another may be meant
    assert (explorer.check_decoded() != before).any()
    explorer.check_prior()
    recon = explorer.functions["recon"]
    x = torch.tensor(explorer.value(f"explorer.followed.x({chosen})"), dtype=torch.float32)
    x = x.reshape(1, *explorer.run.vae.shape)
    assert float(recon(x, explorer.code(), explorer.state("y"))[0]) == pytest.approx(
        float(explorer.state("recon")), abs=ACCEPTED["nats"]
    )
    box = page.locator("#map").bounding_box()
    page.mouse.click(box["x"] + 15, box["y"] + 15)
    page.wait_for_timeout(150)
    assert explorer.value("explorer.state.row") is None
    explorer.check_decoded()
    page.locator("#search input").fill("image 3")
    page.locator("#search button").click()
    assert explorer.value("explorer.state.row") == 3
    if classes := page.locator("#legend button").count():
        page.locator("#legend button").first.click()
        assert explorer.value("explorer.hidden.size") == classes - 2
        page.locator("#legend button", has_text="All").click()
        assert explorer.value("explorer.hidden.size") == 0


def check_sliders(explorer: Explorer) -> None:
    """A slider changes one number of the code, and the image."""
    explorer.open_tab("sliders")
    before, z = explorer.canvas("#decoded"), explorer.code()
    slider = explorer.page.locator("#panel-sliders input[type=range]").first
    dimension = int(slider.get_attribute("data-dimension"))
    slider.focus()
    for _ in range(60):
        explorer.page.keyboard.press("ArrowLeft" if z[0, dimension] > 0 else "ArrowRight")
    explorer.page.wait_for_timeout(100)
    moved = (explorer.code() != z)[0]
    assert moved[dimension] and moved.sum() == 1
    assert (explorer.check_decoded() != before).any()


def check_drawing(explorer: Explorer) -> None:
    """A drawing is encoded, and its nats are PyTorch's."""
    explorer.open_tab("draw")
    explorer.page.locator("#pad").scroll_into_view_if_needed()
    box = explorer.page.locator("#pad").bounding_box()
    explorer.page.mouse.move(box["x"] + 90, box["y"] + 70)
    explorer.page.mouse.down()
    for i in range(12):
        explorer.page.mouse.move(box["x"] + 90 + 10 * i, box["y"] + 70 + (i % 2) * 4)
    for i in range(12):
        explorer.page.mouse.move(box["x"] + 200 - 6 * i, box["y"] + 70 + 12 * i)
    explorer.page.mouse.up()
    explorer.page.wait_for_timeout(600)
    assert explorer.value("explorer.state.x !== null")
    explorer.check_decoded()
    explorer.check_nats()
    assert "%" in explorer.page.locator("#nats").inner_text()
    assert explorer.value("explorer.map.ellipse.radii[0] > 0")


def check_path(explorer: Explorer) -> None:
    """Two ends make a path, whose steps are decoded."""
    explorer.open_tab("between")
    explorer.page.wait_for_selector("#panel-between .chart polyline", state="attached")
    images = explorer.page.locator("#panel-between .strip canvas")
    assert images.count() in (11, 22)
    assert explorer.page.locator("#panel-between .chart polyline").count() >= 2
    images.nth(5).click()
    assert "50 % of the linear path" in explorer.page.locator("#now").inner_text()
    explorer.check_decoded()
    explorer.check_prior()


def check_samples(explorer: Explorer) -> None:
    """Samples are codes from the prior, decoded."""
    explorer.open_tab("samples")
    explorer.page.locator("#from-prior").click()
    explorer.page.wait_for_timeout(700)
    explorer.page.locator("#panel-samples .grid canvas").nth(3).click()
    explorer.check_decoded()
    explorer.check_prior()
    explorer.page.locator("#more-like-this").click()
    explorer.page.wait_for_timeout(700)
    explorer.page.locator("#panel-samples .grid canvas").first.click()
    explorer.check_decoded()


def check_replay(explorer: Explorer) -> None:
    """The replay moves the points, and ends where they were."""
    epoch = explorer.page.locator("#epoch")
    if not epoch.is_visible():
        return
    explorer.page.locator("#play").click()
    explorer.page.wait_for_timeout(500)
    assert 0 < float(epoch.input_value()) < float(epoch.get_attribute("max"))
    during = explorer.value("document.querySelector('#map').toDataURL()")
    explorer.page.locator("#play").click()
    epoch.evaluate("each => { each.value = each.max; each.dispatchEvent(new Event('input')); }")
    explorer.page.wait_for_timeout(200)
    assert explorer.value("document.querySelector('#map').toDataURL()") != during
    assert explorer.value("explorer.map.time === explorer.space.frames - 1")


def check_game(explorer: Explorer) -> None:
    """A round of the game ends with a score."""
    explorer.open_tab("game")
    sliders = explorer.page.locator("#panel-game input[type=range]")
    assert explorer.page.locator("#game-start").is_disabled()
    sliders.first.focus()
    for _ in range(30):
        explorer.page.keyboard.press("ArrowRight")
    assert explorer.value("explorer.state.text") == "your code in the game"
    explorer.page.locator("#game-start").click()
    assert "Best of 1:" in explorer.page.locator("#score").inner_text()
    assert explorer.page.locator("#panel-game li").count() == 1
    explorer.check_decoded()
