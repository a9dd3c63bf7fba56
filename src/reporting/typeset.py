"""The numbers of runs as a table for a paper or an issue: in Markdown, or in LaTeX with booktabs."""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from statistics import fmean, stdev
from typing import Any, NamedTuple

from src.reporting.formats import number
from src.reporting.groups import Group
from src.reporting.tables import (
    STANDARD,
    error_suffix,
    option_rows,
    paired_difference,
    seed_means,
    select_setting,
    setting_rows,
    standard_error,
)
from src.run.options import ABSENT, as_text
from src.run.status import State
from src.support.errors import UserError, printable

DAGGER, EPOCHS = "\N{DAGGER}", "trainer.max_epochs"
LATEX = {
    **{each: f"\\{each}" for each in "&%$#_{}"},
    "\N{DAGGER}": r"$^\dagger$",
    **{"~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "\N{EN DASH}": "--", "\N{PLUS-MINUS SIGN}": r"$\pm$"},
}


class Number(NamedTuple):
    """A number with its error, if it has one, and how it is shown; `mark` follows the error."""

    value: float
    error: float | None = None
    digits: int = 2
    sign: str = ""
    is_bold: bool = False
    mark: str = ""


Cell = Number | str | None


class Table(NamedTuple):
    """A table in no language yet: `columns` holds the names of the columns, of which the first are no numbers."""

    title: str
    columns: list[str]
    labels: int
    rows: list[list[Cell]]
    notes: list[str]


def typeset(groups: Sequence[Group], language: str) -> str:
    """The tables of the groups in one of LANGUAGES. Raises UserError where no run has finished."""
    tables = [make_table(group) for group in groups if group.ranking]
    if not tables:
        raise UserError("no run has finished, so there are no numbers for a table: the page shows what there is")
    return "\n\n".join(LANGUAGES[language](table) for table in tables)


def make_table(group: Group) -> Table:
    """A row for each setting of the options with a finished run, the best first."""
    rows = sorted((row for row in setting_rows(group) if row["finished"]), key=lambda row: -row["val/elbo"])
    is_over_seeds = error_suffix(rows) == "_sd"
    options, columns = option_columns(group), measures(group, rows, is_over_seeds)
    cells = zip(*columns.values(), strict=True)
    lines = [
        [*(as_text(values[row["places"][0]]) for values in options.values()), *line]
        for row, line in zip(rows, cells, strict=True)
    ]
    title = f"{group.data}, {group.pixels} pixels, {group.likelihood}"
    return Table(title, [*options, *columns], len(options), lines, notes(group, options, columns, is_over_seeds))


def option_columns(group: Group) -> dict[str, list[Any]]:
    """The options that vary, or the standard ones where none does: a value for each run of the group."""
    if group.knobs:
        return group.knobs
    rows = option_rows(group.runs)
    return {name: [row[name] for row in rows] for name in STANDARD if name != "seed" and name in rows[0]}


def measures(group: Group, rows: list[dict[str, Any]], is_over_seeds: bool) -> dict[str, list[Cell]]:
    """The columns of numbers; the ELBO that validation selects is bold."""
    selected = (select_setting(group) or {}).get("places")

    def column(name: str, digits: int = 2) -> list[Cell]:
        return [measure(row, name, digits, is_over_seeds) for row in rows]

    bests = [
        cell._replace(is_bold=row["places"] == selected) if isinstance(cell, Number) else cell
        for cell, row in zip(column("val/elbo"), rows, strict=True)
    ]
    columns = {"seeds": [str(row["finished"]) for row in rows]} if is_over_seeds else {}
    columns["ELBO"] = bests
    if is_over_seeds:
        pairs = [(row["difference"], row["difference_se"]) for row in rows]
    else:
        runs = [group.runs[row["places"][0]] for row in rows]
        pairs = [(run is not group.best and paired_difference(run, group.best)) or (None, None) for run in runs]
    columns["difference"] = [None if value is None else Number(value, error, sign="+") for value, error in pairs]
    columns |= {"recon": column("val/recon"), "KL": column("val/kl"), "active units": column("val/active_units", 1)}
    return {name: cells for name, cells in columns.items() if any(cell is not None for cell in cells)}


def measure(row: dict[str, Any], name: str, digits: int, is_over_seeds: bool) -> Number | None:
    """A number of a setting: its mean over seeds with their standard deviation, or that of one seed with the standard
    error over images, which has a mark in a table over seeds."""
    if row[name] is None:
        return None
    if row["finished"] > 1:
        return Number(row[name], row[f"{name}_sd"], digits)
    error = row[f"{name}_se"]
    mark = DAGGER if is_over_seeds and error is not None else ""
    return Number(row[name], error, 0 if name == "val/active_units" else digits, mark=mark)


def notes(group: Group, options: Collection[str], columns: dict[str, list[Cell]], is_over_seeds: bool) -> list[str]:
    """Sentences that say what the numbers are, which setting is selected, and what is not among them."""
    error = "standard deviation over seeds" if is_over_seeds else "standard error over images"
    lines = [line for line in (images(group), common_options(group, options)) if line]
    lines.append(f"Validation set, nats per image, mean ± {error}.")
    if any(isinstance(cell, Number) and cell.mark for cells in columns.values() for cell in cells):
        lines.append(f"{DAGGER}: one seed, standard error over images.")
    if "difference" in columns:
        means = "over seeds, mean ± standard error" if is_over_seeds else "over the images"
        lines.append(f"Difference: to the best ELBO, paired {means}.")
    selected = select_setting(group) or {"places": []}
    values = [group.runs[place].number("test/elbo") for place in selected["places"]]
    if values and None not in values:
        one = ", of 1 seed" if is_over_seeds and selected["finished"] == 1 else ""
        lines.append(f"Bold: selected by validation{one}; its ELBO on the test set is {test_elbo(group, selected)}.")
    states = Counter(run.status for run in group.runs if not run.is_ranked)
    counts = ", ".join(f"{states[state]} {state}" for state in State if states[state])
    return [*lines, f"Runs without numbers here: {counts}."] if counts else lines


def images(group: Group) -> str:
    """A sentence with the number of validation images; empty where the runs do not agree on it."""
    terms = (run.terms.get("val", {}).get("index") for run in group.runs if run.is_ranked)
    counts = {len(index) for index in terms if index is not None}
    return f"{counts.pop():,} validation images." if len(counts) == 1 else ""


def common_options(group: Group, columns: Collection[str]) -> str:
    """A sentence with the main options that all runs with numbers have in common and that are no column."""
    runs = [group.runs[place] for place in group.ranking]
    rows = [row | {EPOCHS: run.planned_epochs} for run, row in zip(runs, option_rows(runs), strict=True)]
    pairs = []
    for name in (*STANDARD[:-1], EPOCHS, STANDARD[-1]):
        values = {as_text(row[name]) for row in rows}
        if len(values) == 1 and name not in columns and not values & {ABSENT, "null"}:
            pairs.append(f"{name}={values.pop()}")
    return f"Common options: {', '.join(pairs)}." if pairs else ""


def warnings(groups: Sequence[Group]) -> list[str]:
    """A line for each run with numbers about which there is something to know."""
    runs = [run for group in groups for run in group.runs]
    return [f"{run.name}: {run.explanation}" for run in runs if run.is_ranked and run.explanation]


def test_elbo(group: Group, row: dict[str, Any]) -> str:
    """The ELBO of a setting on the test set, with the error that its validation ELBO has."""
    means = list(seed_means(group, row["places"], "test/elbo").values())
    error = stdev(means) if len(means) > 1 else standard_error(group.runs[row["places"][0]], "test/elbo")
    return " ± ".join([number(fmean(means))] + ([] if error is None else [number(error)]))


def markdown(table: Table) -> str:
    """The table as GitHub and Pandoc read it, its columns padded so that it can be read as it is."""

    def cell(content: Cell) -> str:
        if isinstance(content, Number):
            value = number(content.value, content.digits, content.sign)
            value = f"**{value}**" if content.is_bold else value
            return (
                value if content.error is None else f"{value} ± {number(content.error, content.digits)}{content.mark}"
            )
        return markdown_text(content or "")

    rows = [[markdown_text(name) for name in table.columns], *([cell(each) for each in row] for row in table.rows)]
    widths = [max(3, *(len(row[i]) for row in rows)) for i in range(len(table.columns))]
    align: list[Callable[[str, int], str]] = [str.ljust if i < table.labels else str.rjust for i in range(len(widths))]
    lines = [[put(text, width) for put, text, width in zip(align, row, widths, strict=True)] for row in rows]
    rule = ["-" * width if i < table.labels else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    body = "\n".join(f"| {' | '.join(line)} |" for line in (lines[0], rule, *lines[1:]))
    return f"**{markdown_text(table.title)}**\n\n{body}\n\n{markdown_text(' '.join(table.notes))}"


def markdown_text(text: str) -> str:
    """`text` in one line with what Markdown would read as markup escaped; an underscore within a word is none."""
    return re.sub(r"[\\`*\[\]<>|~$&#]|(?<![^\W_])_|_(?![^\W_])", r"\\\g<0>", printable(text))


def latex(table: Table) -> str:
    """The table as LaTeX with the package booktabs."""

    def cell(content: Cell) -> str:
        if isinstance(content, Number):
            value = f"{content.value:{content.sign}.{content.digits}f}"
            value = rf"\mathbf{{{value}}}" if content.is_bold else value
            value += "" if content.error is None else rf" \pm {content.error:.{content.digits}f}"
            return f"${value}{latex_text(content.mark).strip('$')}$"
        return latex_text(content or "")

    rows = [[latex_text(name) for name in table.columns], *([cell(each) for each in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in rows) for i in range(len(table.columns))]
    lines = [" & ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in rows]
    head, *body = (f"    {line.rstrip()} \\\\" for line in lines)
    columns = "l" * table.labels + "r" * (len(widths) - table.labels)
    return "\n".join(
        [
            r"\begin{table}  % \usepackage{booktabs}",
            r"  \centering",
            rf"  \caption{{{latex_text(' '.join([f'{table.title}.', *table.notes]))}}}",
            rf"  \begin{{tabular}}{{{columns}}}",
            *(r"    \toprule", head, r"    \midrule", *body, r"    \bottomrule"),
            r"  \end{tabular}",
            r"\end{table}",
        ]
    )


def latex_text(text: str) -> str:
    """`text` in one line with what LaTeX would read as a command escaped."""
    return "".join(LATEX.get(each, each) for each in printable(text).replace("\N{MINUS SIGN}", "-"))


LANGUAGES: dict[str, Callable[[Table], str]] = {"md": markdown, "tex": latex}
