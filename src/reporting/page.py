"""One HTML page of groups of runs: tables, charts, pictures, and all it needs to work from a file, offline."""

import json
from collections import Counter
from datetime import datetime
from html import escape
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

from plotly.offline import get_plotlyjs

from src.reporting import charts
from src.reporting.groups import Group, by_seed, over_seeds, selected, words
from src.reporting.runs import Run
from src.reporting.tables import address, badge, link, runs_table, settings_table, signed, spread

HERE = Path(__file__).parent
ORDER = ("finished", "running", "waiting", "pruned", "interrupted", "killed", "failed", "diverged", "unknown")
KINDS = {"samples": "Samples", "reconstructions": "Reconstructions", "latent": "Latent space"}
# nothing on the page may be fetched from anywhere
POLICY = "default-src 'none'; img-src data: blob:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
Pictures = dict[Path, dict[str, tuple[str, str]]]
NOTES = """
All numbers are of the validation set, in nats per image, of the checkpoint with the lowest validation loss (of a run
that has not finished: of its last epoch). ELBO = −(recon + KL), whatever beta is; larger is better. Δ is the mean
difference to the best run's ELBO over the same images, ± its standard error, which tells nothing of another seed. Over
seeds: mean ± standard deviation. Active units are latent dimensions whose posterior mean varies with the image. Only
finished runs are ranked, within runs of the same data, pixels and likelihood, because nothing else compares; a run
whose last validation loss is above the untrained model's has diverged. A finished run that learned nothing (no active
unit, no better than the training images' mean image, no improvement) is ranked, and its status says so.
"""


def page(title: str, groups: list[Group], lost: list[Run], pictures: Pictures, folder: Path) -> str:
    """The page; `folder` is where it will lie, `pictures` the thumbnails by run folder."""
    body = [header(title, groups, [run for group in groups for run in group.runs] + lost)]
    body += [section(group, number, pictures, folder) for number, group in enumerate(groups)]
    if lost:
        items = [f"<li>{link(run, folder)} {badge(run.status)} {escape(run.why)}</li>" for run in lost]
        said = "<p class=quiet>These runs have not begun, or do not tell what they were trained on.</p>"
        body.append(f"<section><h2>Not compared</h2>{said}<ul>{''.join(items)}</ul></section>")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{(HERE / "page.css").read_text()}</style></head>
<body>{"".join(body)}
<footer><p>{NOTES}</p></footer>
<script type="text/plain" id="plotly">{get_plotlyjs()}</script>
<script>{(HERE / "page.js").read_text()}</script>
</body></html>
"""


def header(title: str, groups: list[Group], runs: list[Run]) -> str:
    """The title, how many runs ended how, and where the groups are."""
    found = Counter(run.status for run in runs)
    counts = "".join(f"<li>{badge(status)} {found[status]}</li>" for status in ORDER if found[status])
    read = f"{len(runs)} run{'s' * (len(runs) != 1)}, read on {datetime.now():%Y-%m-%d at %H:%M}"
    links = "".join(f'<li><a href="#g{i}">{escape(name_of(group))}</a></li>' for i, group in enumerate(groups))
    nav = f"<nav><ul>{links}</ul></nav>" if len(groups) > 1 else ""
    heading = f"<h1>{escape(title)}</h1><p class=quiet>{read}</p>"
    return f"<header>{heading}<ul class=counts>{counts}</ul>{nav}</header>"


def name_of(group: Group) -> str:
    """Data, pixels and likelihood."""
    return f"{group.data} · {group.pixels} pixels · {group.likelihood}"


def section(group: Group, number: int, pictures: Pictures, folder: Path) -> str:
    """All of a group: what was selected, tables, charts, pictures."""
    repeated = any(row["seeds"] > 1 for row in over_seeds(group))
    seeds = f"<h3>Over seeds</h3>{settings_table(group)}<h3>Runs</h3>" if repeated else ""
    plots, figures = drawn(group)
    return (
        f'<section class="group" id="g{number}"><h2>{escape(name_of(group))}</h2>{selection(group, folder)}'
        f"{toolbar()}{seeds}{runs_table(group, folder)}<div class=charts>{plots}</div>{strips(group, pictures, folder)}"
        f'<script type="application/json">{embedded(state(group, figures))}</script></section>'
    )


def drawn(group: Group) -> tuple[str, list[dict]]:
    """The places of a group's charts, and their figures."""
    found = [
        ("Rate and distortion", "grey: equal ELBO; dashed: lower left hull of all", charts.rate_distortion(group)),
        (
            "Training",
            "dotted: not finished; begins, and what diverges, may run off: a double click shows all",
            charts.curves(group),
        ),
        *((f"Against {knob}", "a line: all else alike", charts.against(group, knob)) for knob in group.knobs),
        (
            "Latent dimensions",
            f"what falls off is not used; below {charts.SMALLEST:g} drawn there",
            charts.kl_per_dim(group),
        ),
    ]
    found = [each for each in found if each[2] is not None]
    plots = "".join(
        f'<figure class="chart"><figcaption>{escape(name)} <small>{said}</small></figcaption>'
        f'<div class="plot" data-figure="{i}" style="height:{charts.HEIGHT}px"></div></figure>'
        for i, (name, said, _) in enumerate(found)
    )
    return plots, [json.loads(figure.to_json()) for _, _, figure in found]


def state(group: Group, figures: list[dict]) -> dict[str, Any]:
    """What the page's script knows of a group: the runs' names, by knob their values and colours, the charts."""
    knobs = dict(group.knobs)
    if group.seeded or not knobs:
        knobs |= {"seed": group.seeds}
    coloured = {
        name: charts.colours(values) | {"words": [words(value) for value in values]} for name, values in knobs.items()
    }
    return {"names": [run.name for run in group.runs], "knobs": coloured, "charts": figures}


def embedded(content: Any) -> str:
    """`content` as JSON that can't end the script it stands in."""
    return json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")


def selection(group: Group, folder: Path) -> str:
    """What validation selects, a run or a setting with several seeds, and its test figures."""
    row = selected(group)
    if row is None:
        return "<p class=quiet>No run has finished well yet, so none is ranked.</p>"
    options = "".join(f", {name}={words(row[name])}" for name in group.knobs)
    runs = ", ".join(link(group.runs[place], folder) for place in row["places"])
    what = f"Selected by validation: run{'s' * (len(row['places']) > 1)} {runs}{escape(options)}"
    tiles = []
    for split, spelt in (("val", "validation"), ("test", "test")):
        for name, title in (("elbo", "ELBO"), ("recon", "recon"), ("kl", "KL")):
            found = by_seed(group, row["places"], f"{split}/{name}")
            shown = spread(fmean(found), stdev(found) if len(found) > 1 else None) if found else "–"
            tiles.append(f"<div><b>{shown}</b><span>{spelt} {title}</span></div>")
    over = f", mean ± standard deviation over {row['finished']} seeds" if row["finished"] > 1 else ""
    said = f"Nats per image{over}. The test set is for what was selected: no other test figures are shown."
    wrong = "".join(
        f"<p class=warned>{escape(why)}</p>" for why in dict.fromkeys(group.runs[i].why for i in row["places"]) if why
    )
    return f"<div class=best><p>{what}</p>{wrong}<div class=tiles>{''.join(tiles)}</div><p class=quiet>{said}</p></div>"


def toolbar() -> str:
    """What colours, switches and filters all of a group's charts and its table; the page's script fills it."""
    return (
        "<div class=toolbar><label>Colour and order by <select class=knob></select></label><ul class=legend></ul>"
        f"{buttons('quantity', {name: title for name, (title, _, _) in charts.QUANTITIES.items()})}"
        '<label class=search>Filter <input type=search placeholder="words of a row"></label>'
        "<span class=matches aria-live=polite></span></div>"
    )


def buttons(name: str, values: dict[str, str]) -> str:
    """Buttons of which one is pressed, a value of `name` each."""
    each = "".join(f'<button type=button data-{name}="{value}">{title}</button>' for value, title in values.items())
    return f'<div class="choice" data-of="{name}" role=group aria-label="{name}">{each}</div>'


def strips(group: Group, pictures: Pictures, folder: Path) -> str:
    """A card for each run with pictures; the page's script puts them in rows, ordered by a knob."""
    cards, kinds = [], {}
    for place, run in enumerate(group.runs):
        found = pictures.get(run.folder, {})
        kinds |= {kind: title for kind, title in KINDS.items() if kind in found}
        images = "".join(
            f'<a class="{kind}" href="{address(run.folder / file, folder)}" target=_blank rel=noopener>'
            f'<img src="{uri}" alt="{kind} of {escape(run.name)}" decoding=async></a>'
            for kind, (uri, file) in found.items()
        )
        if images:
            caption = f"{link(run, folder)} <span>{signed(run.number('val/elbo'), 'ELBO ', 1)}</span>"
            cards.append(f'<article data-run="{place}"><h4></h4>{images}<p>{caption}</p></article>')
    if not cards:
        return ""
    said = (
        "Of the last epoch that was drawn; a click opens the run's own picture. Reconstructions: rows of validation "
        "images, and below each what the model makes of them."
    ) + " Of a setting's seeds the first is shown; the table's filter chooses another." * group.seeded
    kinds = {kind: title for kind, title in KINDS.items() if kind in kinds}
    return (
        f"<div class=pictures><h3>What each model makes</h3>{buttons('kind', kinds)}<p class=quiet>{said}</p>"
        f"<div class=cards>{''.join(cards)}</div></div>"
    )
