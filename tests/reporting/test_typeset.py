"""The table that src.report prints for a paper or an issue."""

import json
import re

import numpy as np
import pytest

from src import report
from src.reporting.typeset import latex_text, markdown_text
from tests.helpers.reports import fake_run, write_status


def print_table(folder, capsys, language: str, *others: str) -> str:
    """What the command prints."""
    assert report.main([str(folder), "--table", language, *others]) == 0
    printed = capsys.readouterr()
    assert not printed.err
    return printed.out


@pytest.fixture
def paired(tmp_path):
    """Two runs on the same images, the second worse by 2 nats, and one that failed."""
    random = np.random.default_rng(0)
    terms = random.normal(-100, 30, 400)
    for i, beta in enumerate((1.0, 4.0)):
        ours = terms - 2 * i + i * random.normal(0, 0.5, 400)
        fake_run(tmp_path / str(i), elbo=ours.mean(), terms=ours, beta=beta, latent_dim=8)
    write_status(fake_run(tmp_path / "2", beta=8.0), "failed")
    return tmp_path


def test_markdown_has_aligned_columns_with_standard_errors(paired, capsys):
    printed = print_table(paired, capsys, "md")
    assert not (paired / "report.html").exists()
    title, _, *lines = printed.splitlines()
    assert title == "**mnist, binary pixels, Bernoulli**"
    head, rule, first, second = (line for line in lines if line.startswith("|"))
    assert len({len(line) for line in (head, rule, first, second)}) == 1
    assert [name.strip() for name in head.strip("|").split("|")] == [
        *("latent_dim", "beta", "ELBO", "difference", "recon", "KL", "active units"),
    ]
    assert re.fullmatch(r"\|[ -]+\|[ -]+\|( -+: \|){5}", rule)
    assert re.search(r"\| 8 .* \| 1 .*\| \*\*−\d+\.\d\d\*\* ± 1\.\d\d \| +\| +\d+\.\d\d ± 1\.\d\d \|", first)
    assert re.search(r"\| 4 .*\| +−\d+\.\d\d ± 1\.\d\d \| +−[12]\.\d\d ± 0\.0[23] \|", second)
    assert "mean ± standard error over images" in printed
    assert "Runs without numbers here: 1 failed." in printed
    assert "selected by validation; its ELBO on the test set is −" in printed


def test_latex_has_the_same_numbers(paired, capsys):
    markdown, latex = (print_table(paired, capsys, language) for language in ("md", "tex"))
    assert re.findall(r"\d+\.\d\d", markdown.partition("Validation")[0]) == re.findall(
        r"\d+\.\d\d", latex.partition(r"\begin{tabular}")[2]
    )
    for each in (r"\begin{tabular}{llrrrrr}", r"\toprule", r"\midrule", r"\bottomrule", r"latent\_dim", r"\pm 1."):
        assert each in latex
    assert latex.count(r"\mathbf{") == 1
    assert len(re.findall(r" \\\\$", latex, flags=re.MULTILINE)) == 3
    assert latex.isascii()


def test_seeds_are_averaged(tmp_path, capsys):
    for i, (beta, seed) in enumerate((b, s) for b in (1.0, 4.0) for s in (0, 1)):
        fake_run(tmp_path / str(i), elbo=-100.0 - beta + 2 * seed, beta=beta, seed=seed)
    printed = print_table(tmp_path, capsys, "md")
    assert re.search(r"\| 1 +\| +2 \| \*\*−100.00\*\* ± 1.41 \|", printed)
    assert re.search(r"\| 4 +\| +2 \| +−103.00 ± 1.41 \|", printed)
    assert re.search(r"\| +−3.00 ± 0.00 \|", printed)
    assert "paired over seeds, mean ± standard error" in printed
    assert "mean ± standard deviation over seeds" in printed
    assert "on the test set is −107.12 ± 1.41" in printed


@pytest.mark.parametrize("language", ["md", "tex"])
def test_a_setting_of_one_seed_has_a_marked_error_over_images(tmp_path, capsys, language):
    terms = np.random.default_rng(0).normal(-100, 30, 400)
    for i, (beta, seed) in enumerate([(1.0, 0), (1.0, 1), (4.0, 0)]):
        fake_run(tmp_path / str(i), elbo=-100.0 - beta + 2 * seed, terms=terms, beta=beta, seed=seed)
    printed = print_table(tmp_path, capsys, language)
    error = terms.std(ddof=1) / 20
    if language == "md":
        assert f" −104.00 ± {error:.2f}† |" in printed
        assert re.search(r"\| 4 .* 2 \|$", printed, re.MULTILINE)  # active units of one seed are whole
        assert re.search(r"\| 1 .* 2\.0 ± 0\.0 \|$", printed, re.MULTILINE)
        assert "†: one seed, standard error over images." in printed
    else:
        assert rf"$-104.00 \pm {error:.2f}^\dagger$" in printed
        assert printed.isascii()


def test_notes_say_what_the_runs_share_and_warnings_go_elsewhere(paired, capsys):
    write_status(paired / "0", "finished", warnings=[])
    metrics = json.loads((paired / "1" / "metrics.json").read_text())
    (paired / "1" / "metrics.json").write_text(json.dumps(metrics | {"val/active_units": 0}))
    assert report.main([str(paired), "--table", "md"]) == 0
    printed = capsys.readouterr()
    note = printed.out.strip().splitlines()[-1]
    shared = "400 validation images. Common options: model=mlp, trainer.max_epochs=3, seed=0. "
    assert note.startswith(shared)
    assert "no active unit" not in printed.out
    assert printed.err.startswith("1: ")
    assert printed.err.count("\n") == 1


def test_a_single_run_has_its_options(tmp_path, capsys):
    fake_run(tmp_path / "runs" / "0")
    printed = print_table(tmp_path / "runs", capsys, "md")
    assert re.search(r"\| model \| latent_dim \| beta \| +ELBO \|", printed)
    assert re.search(r"\| mlp +\| 2 +\| 1 +\| \*\*−100.00\*\* \|", printed)


def test_the_page_is_written_too_where_a_file_is_given(tmp_path, capsys):
    fake_run(tmp_path / "0")
    assert print_table(tmp_path, capsys, "md", "--out", str(tmp_path / "page.html")).startswith("**mnist")
    assert "<h2>mnist" in (tmp_path / "page.html").read_text()
    assert print_table(tmp_path, capsys, "md", "--csv", str(tmp_path / "table.csv")).startswith("**mnist")
    assert (tmp_path / "table.csv").is_file()


def test_without_a_finished_run_it_says_so_in_a_line(tmp_path, capsys):
    write_status(fake_run(tmp_path / "0"), "failed")
    assert report.main([str(tmp_path), "--table", "md"]) == 2
    printed = capsys.readouterr()
    assert printed.err.count("\n") == 1
    assert "no run has finished" in printed.err
    assert not printed.out


@pytest.mark.parametrize("language", ["md", "tex"])
def test_words_of_runs_are_text(tmp_path, capsys, language):
    """Neither markup nor a command, in one line, and nothing that controls a terminal."""
    for i, evil in enumerate((r"\input{x}|<b>", "a\n| b \x1b[31m", "50% $x_1$ & #1 ~^ **b**")):
        fake_run(tmp_path / str(i), model=evil)
    printed = print_table(tmp_path, capsys, language)
    assert "\x1b" not in printed
    if language == "md":
        rows = [line for line in printed.splitlines() if line.startswith("|")]
        assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {6}
        assert r"\\input{x}\|\<b\>" in printed
        assert r"\*\*b\*\*" in printed
    else:
        body = printed.partition(r"\midrule")[2].partition(r"\bottomrule")[0]
        assert {len(re.findall(r"(?<!\\)&", row)) for row in body.strip().splitlines()} == {4}
        assert r"\textbackslash{}input\{x\}|\textless{}b\textgreater{}" in body
        assert r"50\% \$x\_1\$ \& \#1 \textasciitilde{}\textasciicircum{}" in body


def test_text_stays_readable():
    assert markdown_text("latent_dim") == "latent_dim"
    assert markdown_text("_x_") == r"\_x\_"
    assert latex_text("–") == "--"
