"""One HTML page of groups of runs: tables, charts, figures, and all it needs to work from a file, offline."""

from collections import Counter
from datetime import datetime
from functools import partial
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from jinja2 import Environment, FileSystemLoader
from markupsafe import Markup

from src.reporting import formats
from src.reporting.charts import Chart, draw_charts
from src.reporting.groups import Group, is_number
from src.reporting.layout import HEIGHT
from src.reporting.matrix import draw_matrices
from src.reporting.palette import colours
from src.reporting.runs import Run
from src.reporting.tables import QUANTITIES, run_rows, seed_means, select_setting, setting_rows
from src.run.options import as_text
from src.run.status import State

HERE = Path(__file__).parent
PLOTLY = HERE / "vendored" / "plotly-basic.min.js"
KINDS = {"samples": "Samples", "reconstructions": "Reconstructions", "latent": "Latent space"}
Pictures = dict[Path, dict[str, tuple[str, str]]]


class Selection(NamedTuple):
    """The setting of the knobs that validation selects, with its runs.

    row       the row of the setting
    warnings  about the runs
    tiles     name, mean over the seeds, standard deviation of two or more
    """

    row: dict[str, Any]
    runs: list[Run]
    warnings: list[str]
    tiles: list[tuple[str, float | None, float | None]]


def page(title: str, groups: list[Group], ungrouped: list[Run], pictures: Pictures, folder: Path) -> str:
    """The HTML of the page; `folder` is where it will be, `pictures` the thumbnails by run folder."""
    runs = [run for group in groups for run in group.runs] + ungrouped
    count = Counter(run.status for run in runs)
    template = environment(folder).get_template("page.html")
    return template.render(
        title=title,
        run_count=len(runs),
        read_at=f"{datetime.now():%Y-%m-%d at %H:%M}",
        counts=[(state, count[state]) for state in State if count[state]],
        groups=[section(group, pictures) for group in groups],
        has_other_bounds=any({"objective", "beta"} & set(group.knobs) for group in groups),
        ungrouped=ungrouped,
        quantities={name: title for name, (title, _, _) in QUANTITIES.items()},
        themes={"auto": "Auto", "light": "Light", "dark": "Dark"},
        chart_height=HEIGHT,
        style=Markup((HERE / "page.css").read_text()),
        script=Markup((HERE / "page.js").read_text()),
        plotly=Markup(PLOTLY.read_text(encoding="utf-8")),
    )


def environment(folder: Path) -> Environment:
    """Jinja2 with the filters of the page; all text is escaped."""
    made = Environment(loader=FileSystemLoader(HERE), autoescape=True, trim_blocks=True, lstrip_blocks=True)
    made.filters |= {"sort_value": formats.sort_value, "number": formats.number, "duration": formats.duration}
    made.filters |= {"text": as_text, "address": partial(formats.address, folder=folder)}
    made.tests["finite"] = is_number
    made.policies["json.dumps_kwargs"] = {"separators": (",", ":")}
    return made


def section(group: Group, pictures: Pictures) -> dict[str, Any]:
    """The values that the template shows in the section of a group."""
    rows, settings = run_rows(group), setting_rows(group)
    order = [*group.ranking, *(place for place, run in enumerate(group.runs) if not run.is_ranked)]
    cards = [(run, place, pictures.get(run.folder)) for place, run in enumerate(group.runs)]
    cards = [card for card in cards if card[2]]
    drawn = {kind for _, _, thumbnails in cards for kind in thumbnails}
    figures = draw_charts(group)
    return {
        "title": f"{group.data} · {group.pixels} pixels · {group.likelihood}",
        "best": group.best,
        "knobs": list(group.knobs),
        "options": [*group.knobs, *(["seed"] if group.has_several_seeds else [])],
        "has_several_seeds": group.has_several_seeds,
        "has_repeated_settings": any(row["seeds"] > 1 for row in settings),
        "selection": select(group),
        "settings": sorted(settings, key=lambda row: (row["val/elbo"] is None, -(row["val/elbo"] or 0))),
        "matrices": draw_matrices(group),
        "rows": [(group.runs[place], rows[place], place) for place in order],
        "charts": figures,
        "cards": cards,
        "kinds": {kind: title for kind, title in KINDS.items() if kind in drawn},
        "script_data": script_data(group, figures),
    }


def select(group: Group) -> Selection | None:
    """The run, or setting with several seeds, that validation selects, and its test metrics."""
    row = select_setting(group)
    if row is None:
        return None
    runs = [group.runs[place] for place in row["places"]]
    tiles = []
    for split, name in (("val", "validation"), ("test", "test")):
        for key, title in (("elbo", "ELBO"), ("recon", "recon"), ("kl", "KL")):
            means = list(seed_means(group, row["places"], f"{split}/{key}").values())
            deviation = stdev(means) if len(means) > 1 else None
            tiles.append((f"{name} {title}", fmean(means) if means else None, deviation))
    return Selection(row, runs, [why for why in dict.fromkeys(run.explanation for run in runs) if why], tiles)


def script_data(group: Group, figures: list[Chart]) -> dict[str, Any]:
    """The data of a group for the page's script: the runs' names, the values and colours of each knob, the charts."""
    knobs = dict(group.knobs)
    if group.has_several_seeds or not knobs:
        knobs |= {"seed": group.seeds}
    coloured = {
        name: colours(values) | {"texts": [as_text(value) for value in values]} for name, values in knobs.items()
    }
    return {
        "names": [run.name for run in group.runs],
        "knobs": coloured,
        "charts": [chart.figure for chart in figures],
    }
