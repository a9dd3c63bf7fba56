"""The tables of a page, and how they show numbers, runs and states."""

import os
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import quote

from src.reporting.groups import Group, is_number, over_seeds, rows, words
from src.reporting.runs import Run


def runs_table(group: Group, folder: Path) -> str:
    """A row for each run, the ranked ones first."""
    options = [*group.knobs, *(["seed"] if group.seeded else [])]
    heads = ["#", "run", *options, "ELBO", "Δ to the best", "recon", "KL", "active", "epochs", "time", "status"]
    table = rows(group)
    lines = []
    for place in [*group.ranking, *(place for place, run in enumerate(group.runs) if not run.ranks)]:
        run, row = group.runs[place], table[place]
        cells = [cell(row["rank"], words(row["rank"] or "")), cell(run.name, link(run, folder), "name")]
        cells += [cell(row[name], escape(words(row[name])), "option") for name in options]
        cells += numbers(row, run, run is group.best)
        reason = f'<small title="{escape(run.why)}">{escape(run.why)}</small>' if run.why else ""
        cells.append(cell(run.status, badge(run.status) + reason, "status"))
        kind = " class=unranked" if not run.ranks else " class=warned" if run.why else ""
        lines.append(f'<tr data-run="{place}"{kind}>{"".join(cells)}</tr>')
    return tabled("runs", heads, lines, {*options, "status"})


def numbers(row: dict[str, Any], run: Run, best: bool) -> list[str]:
    """The cells of a row with what was measured."""
    behind = "<span class=quiet>best</span>" if best else spread(row["difference"], row["difference_se"], "+")
    found = [cell(row["val/elbo"], signed(row["val/elbo"])), cell(0 if best else row["difference"], behind)]
    found += [cell(row[name], signed(row[name])) for name in ("val/recon", "val/kl")]
    found.append(cell(row["val/active_units"], of(row["val/active_units"], run.config.get("latent_dim"))))
    trainer = run.config.get("trainer")
    planned = trainer.get("max_epochs") if isinstance(trainer, dict) else None
    return [*found, cell(row["epochs"], of(row["epochs"], planned)), cell(row["seconds"], duration(row["seconds"]))]


def settings_table(group: Group) -> str:
    """A row for each setting of the knobs: means and standard deviations over its seeds, the best first."""
    lines = []
    for row in sorted(over_seeds(group), key=lambda row: (row["val/elbo"] is None, -(row["val/elbo"] or 0))):
        cells = [cell(row[name], escape(words(row[name])), "option") for name in group.knobs]
        cells.append(cell(row["finished"], f"{row['finished']} of {row['seeds']}"))
        for name in ("val/elbo", "val/recon", "val/kl", "val/active_units"):
            cells.append(
                cell(row[name], spread(row[name], row[f"{name}_sd"], digits=1 if name.endswith("units") else 2))
            )
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return tabled("settings", [*group.knobs, "finished", "ELBO", "recon", "KL", "active"], lines)


def tabled(kind: str, heads: list[str], lines: list[str], choices: set[str] = frozenset()) -> str:
    """A table that the page's script sorts, and filters by the columns that are `choices`."""
    cells = (
        f"<th scope=col{' data-choice' * (head in choices)}><button type=button>{escape(head)}</button></th>"
        for head in heads
    )
    body = f"<thead><tr>{''.join(cells)}</tr></thead><tbody>{''.join(lines)}</tbody>"
    return f'<div class=scroll><table class="{kind}">{body}</table></div>'


def cell(value: Any, html: str, kind: str = "") -> str:
    """A cell that shows `html` and sorts by `value`."""
    sorts = "" if value is None else f"{value:.10g}" if isinstance(value, float) else words(value)
    return f'<td data-v="{escape(sorts)}"{f" class={kind}" if kind else ""}>{html}</td>'


def link(run: Run, folder: Path) -> str:
    """The run's name, leading to its folder, if it has one yet."""
    if run.status == "waiting":
        return escape(run.name)
    return f'<a href="{address(run.folder, folder)}/">{escape(run.name)}</a>'


def address(path: Path, folder: Path) -> str:
    """A relative address of `path` for a page in `folder`."""
    return escape(quote(os.path.relpath(path.resolve(), folder.resolve())))


def badge(status: str) -> str:
    """The status, in its colour."""
    return f'<span class="badge {status}">{status}</span>'


def signed(value: float | None, before: str = "", digits: int = 2, sign: str = "") -> str:
    """The number, after the words `before`, with a minus sign as long as a plus; empty where there is none."""
    return "" if value is None else before + f"{value:{sign}.{digits}f}".replace("-", "\N{MINUS SIGN}")


def spread(value: float | None, error: float | None, sign: str = "", digits: int = 2) -> str:
    """`value` ± `error`, as far as they are known."""
    return signed(value, digits=digits, sign=sign) + (
        "" if error is None else f" <span class=se>± {error:.{digits}f}</span>"
    )


def of(part: float | None, whole: Any) -> str:
    """`part` / `whole`."""
    total = f"<span class=se> / {words(whole)}</span>" if is_number(whole) else ""
    return "" if part is None else f"{part:g}{total}"


def duration(seconds: float | None) -> str:
    """Hours and minutes, minutes and seconds, or seconds."""
    if seconds is None:
        return ""
    minutes, rest = divmod(round(seconds), 60)
    if minutes >= 60:
        return f"{minutes // 60} h {minutes % 60:02d} min"
    return f"{minutes} min {rest:02d} s" if minutes else f"{seconds:.1f} s" if seconds < 10 else f"{rest} s"
