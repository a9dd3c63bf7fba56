"""The report on runs: what the command, the page and the table say."""

import json
import re

import pytest
import yaml

from src import report
from src.reporting import conclude
from tests.helpers.processes import run_code
from tests.helpers.reports import add_figures, fake_run, make_report, without_plotly, write_status

COMMAND = """
import json, runpy, sys
try:
    runpy.run_module("src.report", run_name="__main__")
except SystemExit as end:
    print(json.dumps([end.code, list(sys.modules)]))
"""
CONCLUDED = """
import json, sys
from pathlib import Path
from src.reporting.conclude import conclude
conclude(Path(sys.argv[1]), {"csv": None})
print(json.dumps([0, list(sys.modules)]))
"""


@pytest.mark.parametrize("code", [COMMAND, CONCLUDED], ids=["command", "conclude"])
def test_a_report_without_wandb_loads_neither_torch_nor_lightning(tmp_path, code):
    fake_run(tmp_path / "sweep" / "0")
    status, modules = run_code(code, tmp_path, str(tmp_path / "sweep"))
    assert status == 0
    assert (tmp_path / "sweep" / "report.html").is_file()
    unwanted = {"torch", "lightning", "torchvision", "wandb", "callbacks"}
    assert not {name.split(".")[0] for name in modules} & unwanted
    assert not {"src.models.vae", "src.build", "src.models.networks", "matplotlib.figure"} & set(modules)


def test_the_table_has_the_options_of_each_run(tmp_path):
    """Those of groups in which they do not vary, of runs that can't be compared, of jobs that have not begun."""
    fake_run(tmp_path / "0", beta=1.0)
    fake_run(tmp_path / "1", beta=4.0)
    fake_run(tmp_path / "2", beta=2.0, latent_dim=8, model="conv", likelihood="Gaussian", seed=3)
    lost = fake_run(tmp_path / "3", beta=0.5)
    config = yaml.safe_load((lost / "config.yaml").read_text())
    del config["likelihood"]
    (lost / "config.yaml").write_text(yaml.safe_dump(config))
    jobs = {str(i): {"number": i, "options": [f"beta={i}", "seed=7"], "wanted": i == 4} for i in range(5)}
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    _, table = make_report(tmp_path)
    names = ("model", "latent_dim", "beta", "seed")
    assert {row["run"]: tuple(row[name] for name in names) for row in table} == {
        "0": ("mlp", "2", "1.0", "0"),
        "1": ("mlp", "2", "4.0", "0"),
        "2": ("conv", "8", "2.0", "3"),
        "3": ("mlp", "2", "0.5", "0"),
        "4": ("", "", "4", "7"),
    }


def test_a_single_run_has_its_options_in_the_table(tmp_path):
    fake_run(tmp_path / "runs" / "0")
    _, (row,) = make_report(tmp_path / "runs")
    assert [row[name] for name in ("model", "latent_dim", "beta", "seed")] == ["mlp", "2", "1.0", "0"]


def test_where_there_is_no_run_it_says_so_in_a_line(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "none"):
        assert report.main([str(folder)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "no run in" in said
    assert not list(tmp_path.iterdir())


def test_jobs_that_have_not_begun_are_listed(tmp_path):
    fake_run(tmp_path / "0")
    jobs = {name: {"number": i, "options": [f"beta={i}"], "wanted": i < 2} for i, name in enumerate("abc")}
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    page, table = make_report(tmp_path)
    assert [(row["run"], row["status"], row["reason"]) for row in table] == [
        ("0", "finished", ""),
        ("1", "waiting", "beta=1"),
    ]
    assert "2 runs, read on" in page
    assert not (tmp_path / "1").exists()


def test_errors_of_the_report_do_not_end_a_sweep(tmp_path, caplog):
    fake_run(tmp_path / "0")
    conclude.conclude(tmp_path, {"wandb": {"_target_": "src.run.tracking.wandb_logger", "mode": "offline"}})
    assert "W&B: the table of runs was not added (TypeError" in caplog.text
    assert (tmp_path / "report.html").is_file()


def test_a_sweep_may_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fake_run(tmp_path / "outputs" / "sweeps" / "widths" / "0")
    assert report.main(["sweep_name=widths"]) == 0
    assert (tmp_path / "outputs" / "sweeps" / "widths" / "report.html").is_file()


def test_the_page_of_several_folders_is_in_the_one_that_holds_them_all(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    runs = [str(fake_run(tmp_path / "outputs" / "runs" / name)) for name in "ab"]
    assert report.main(runs) == 0
    assert "outputs/runs/report.html" in capsys.readouterr().out
    assert [path.parent.name for path in tmp_path.rglob("report.html")] == ["runs"]
    others = [str(fake_run(tmp_path / "elsewhere" / name)) for name in "ab"]
    assert report.main(others) == 2
    assert "--out" in capsys.readouterr().err
    assert report.main([*others, "--out", "page.html"]) == 0


def test_a_path_is_shown_the_short_way(tmp_path, monkeypatch, capsys):
    run = fake_run(tmp_path / "far" / "0")
    away = tmp_path / "a" / "b"
    away.mkdir(parents=True)
    monkeypatch.chdir(away)
    assert report.main([str(run)]) == 0
    assert capsys.readouterr().out.strip().endswith(f": {run / 'report.html'}")


@pytest.mark.parametrize("options", [{"beta": 4.0}, {"latent_dim": 8}], ids=["beta", "latent_dim"])
def test_where_beta_varies_it_says_what_the_ranking_favours(tmp_path, options):
    fake_run(tmp_path / "0")
    fake_run(tmp_path / "1", **options)
    page, _ = make_report(tmp_path)
    assert ("compare objectives by the NLL of task=evaluate" in page) == ("beta" in options)


def test_the_metrics_are_beside_the_run_and_before_its_options(tmp_path):
    for i, beta in enumerate((1.0, 4.0)):
        fake_run(tmp_path / str(i), beta=beta)
    page, _ = make_report(tmp_path)
    heads = re.findall(r"<th scope=col[^>]*><button type=button>(.*?)</button>", page.partition("</thead>")[0])
    assert heads[:7] == ["#", "run", "ELBO", "Δ to the best", "recon", "KL", "beta"]


def test_test_figures_are_those_of_the_selected_run_alone(tmp_path):
    fake_run(tmp_path / "0", elbo=-90.111)
    fake_run(tmp_path / "1", elbo=-95.222, beta=4.0)
    page, table = make_report(tmp_path)
    assert [row["test/elbo"] for row in table] == [str(-90.111 - 7.125), ""]
    assert "−97.24" in page
    assert "102.3" not in without_plotly(page)


def test_incomplete_runs_are_shown_and_not_ranked(tmp_path):
    fake_run(tmp_path / "0", elbo=-95)
    running = write_status(fake_run(tmp_path / "1", beta=4.0, losses=(500, 80, 70)), "running")
    (running / "metrics.json").unlink()
    write_status(fake_run(tmp_path / "2", elbo=-50, beta=8.0), "failed", reason="RuntimeError: out of memory")
    _, table = make_report(tmp_path)
    assert [(row["rank"], row["status"], row["epochs"], row["val/elbo"]) for row in table] == [
        ("1", "finished", "3", "-95.0"),
        ("", "running", "2", "-70.0"),
        ("", "failed", "3", "-50.0"),
    ]
    assert table[2]["reason"] == "RuntimeError: out of memory"


def test_the_explorer_of_a_run_is_linked(tmp_path):
    first = fake_run(tmp_path / "0", elbo=-90.0, beta=1.0)
    fake_run(tmp_path / "1", elbo=-91.0, beta=4.0)
    (first / "tasks" / "explore" / "mine").mkdir(parents=True)
    (first / "tasks" / "explore" / "mine" / "explorer.html").touch()
    (first / "tasks" / "explore" / "latest").symlink_to("mine")
    assert report.main([str(tmp_path)]) == 0
    links = re.findall(r'href="([^"]*explorer[^"]*)"', (tmp_path / "report.html").read_text())
    assert set(links) == {"0/tasks/explore/mine/explorer.html"}


def test_words_of_runs_are_escaped(tmp_path):
    evil = "<script>alert('x')</script>"
    write_status(fake_run(tmp_path / f"{evil.replace('/', '')}", model=evil, title=evil), "failed", reason=evil)
    fake_run(tmp_path / "1", model="</script>&", title=evil)
    fake_run(tmp_path / "2", model="mlp", title=evil)
    page, table = make_report(tmp_path)
    assert evil in [row["reason"] for row in table]
    assert "<script>alert" not in page
    assert "<\\/script>alert" not in page
    body = without_plotly(page)
    assert "&lt;script&gt;alert" in body
    scripts = re.findall(r'<script type="application/json">(.*?)</script>', body, flags=re.DOTALL)
    assert len(scripts) == 1
    state = json.loads(scripts[0])
    assert evil in state["knobs"]["model"]["texts"]
    texts = [text for figure in state["charts"] for trace in figure["data"] for text in trace.get("text", [])]
    assert texts
    assert not any("<script" in text for text in texts)


def test_nothing_is_fetched(tmp_path):
    page, _ = make_report(add_figures(fake_run(tmp_path / "0")).parent)
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", without_plotly(page))
