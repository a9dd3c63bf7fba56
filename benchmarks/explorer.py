"""Size, seconds to load, and milliseconds an image of pages of task=explore, also on a slowed processor.

Needs Chromium, and playwright of `pip install -e '.[dev]'`.
"""

import argparse
import shutil
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import command
from src.support.errors import UserError

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SLOWER = (1, 4)  # factors by which Chromium slows its processor
REPEATS = 7
CALLS = {
    "decode": "explorer.model.decode(explorer.state.z, 0)",
    "encode": "explorer.model.describe(explorer.followed.x(0), 0)",
    "slide": "explorer.state.show({ z: explorer.state.z.slice() })",
}


def main(words: Sequence[str] | None = None) -> None:
    """Print a table of the pages that the command line names. Raises UserError without a page or a browser."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.explorer", description=__doc__)
    parser.add_argument("pages", nargs="+", type=Path, help="RUN/tasks/explore/latest/explorer.html")
    pages = parser.parse_args(words).pages
    if missing := [path for path in pages if not path.is_file()]:
        raise UserError(f"{missing[0]}: no such file; python -m src.apply run=RUN task=explore writes one")
    chromium = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    if chromium is None:
        raise UserError("there is no Chromium to open the pages with")
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        raise UserError("there is no playwright: pip install -e '.[dev]'") from None
    names = "".join(f"{name} ms".rjust(11) for name in CALLS)
    print("run".ljust(24), "MB".rjust(6), "slower".rjust(8), "load s".rjust(8), names)
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for path in pages:
            for slower in SLOWER:
                load, times = measure(browser, path, slower)
                run, size = path.resolve().parents[3].name, path.stat().st_size / 1e6
                cells = "".join(f"{times[name]:11.1f}" for name in CALLS)
                print(run.ljust(24), f"{size:6.2f}", f"{slower:8d}", f"{load:8.2f}", cells, flush=True)


def measure(browser: Any, path: Path, slower: int) -> tuple[float, dict[str, float]]:
    """Seconds until a page has decoded its first image, and milliseconds of each call, the median of REPEATS."""
    page = browser.new_page(viewport={"width": 1400, "height": 1000})
    page.context.new_cdp_session(page).send("Emulation.setCPUThrottlingRate", {"rate": slower})
    page.goto(path.resolve().as_uri())
    page.wait_for_selector("html[data-checked]", timeout=120_000)
    load = int(page.locator("html").get_attribute("data-ready")) / 1000
    page.wait_for_timeout(1500)  # the strips of the sliders are painted
    page.locator("#tab-numbers").click()
    times = {}
    for name, call in CALLS.items():
        timed = f"() => {{ const t = performance.now(); {call}; return performance.now() - t; }}"
        times[name] = statistics.median(page.evaluate(timed) for _ in range(REPEATS))
    page.close()
    return load, times


if __name__ == "__main__":
    command.run(main)
