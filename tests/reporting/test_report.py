"""The report on runs: reading, grouping, the page and the table."""

import csv
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from src import report
from src.reporting import charts, conclude, groups, pictures, tables
from src.reporting.runs import Run, find, read
from src.run import record

ROOT = Path(__file__).resolve().parent.parent.parent
CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
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


def configured(**options: Any) -> dict[str, Any]:
    """A resolved configuration such as src.train writes."""
    latent_dim, beta, model = options.get("latent_dim", 2), options.get("beta", 1.0), options.get("model", "mlp")
    hidden = {"mlp": [400, 400], "conv": [32, 64]}.get(model, [8])
    likelihood = options.get("likelihood", "Bernoulli")
    return {
        "latent_dim": latent_dim,
        "beta": beta,
        "seed": options.get("seed", 0),
        "title": options.get("title", f"{model} d={latent_dim} beta={beta}"),
        "data": {
            "name": "mnist",
            "source": {"_target_": "src.data.sources.mnist", "root": "/data"},
            "shape": [1, 28, 28],
        },
        "model": {"name": model, "encoder": {"_target_": f"src.models.networks.{model}", "hidden": hidden}},
        "posterior": {"_target_": "src.models.posteriors.Gaussian", "latent_dim": latent_dim},
        "likelihood": {"_target_": f"src.models.likelihoods.{likelihood}"},
        "objective": {"_target_": "src.training.objectives.ELBO", "beta": beta},
        "trainer": {"max_epochs": 3},
        "logger": {"wandb": {"mode": options.get("mode", "offline")}},
    }


def fake(
    folder: Path,
    elbo: float = -100.0,
    kl: float = 20.0,
    terms: np.ndarray | None = None,
    losses=(500, 200, 150, 100),
    **options: Any,
) -> Path:
    """The folder of a finished run with that validation ELBO; `terms` are those of its images."""
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump(configured(**options), sort_keys=False))
    rows = [
        {
            "epoch": e,
            "images_seen": 1000 * e,
            "seconds": 2,
            "val/loss": x,
            "val/elbo": -x,
            "val/recon": x - kl,
            "val/kl": kl,
        }
        for e, x in enumerate(losses)
    ]
    with (folder / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    numbers = {"elbo": elbo, "recon": -elbo - kl, "kl": kl, "loss": -elbo, "active_units": 2}
    metrics = {f"val/{name}": value for name, value in numbers.items()} | {"val/kl_per_dim": [kl, 1e-9]}
    metrics |= {f"test/{name}": value - 7.125 for name, value in numbers.items()} | {
        "training_seconds": 6.0,
        "pixels": "binary",
    }
    record.write_json(folder / "metrics.json", metrics)
    if terms is not None:
        arrays = {"index": np.arange(len(terms)), "recon": -terms - kl, "kl": np.full_like(terms, kl), "loss": -terms}
        np.savez(folder / "val_terms.npz", **arrays)
    return folder


def drawn(folder: Path, count: int = 36) -> Path:
    """Adds pictures to a run: noise, of which files are the largest."""
    random, figures = np.random.default_rng(0), folder / "figures"
    figures.mkdir()
    images = random.integers(0, 256, (2, count, 1, 28, 28), dtype=np.uint8)
    arrays = {"frames/samples_mean": images, "frames/recon_mean": images[:, :16], "fixed/pixels": images[0]}
    np.savez(figures / "trace.npz", **arrays)
    Image.fromarray(random.integers(0, 256, (339, 435, 3), dtype=np.uint8)).save(figures / "latent_tsne.png")
    return folder


def status(folder: Path, state: str, **told: Any) -> Path:
    """Gives a run a status.json."""
    known = {"state": state, "reason": None, "started": datetime.now().isoformat(), "host": socket.gethostname()}
    record.write_json(folder / "status.json", known | {"pid": os.getpid()} | told)
    return folder


def one(runs: Path) -> groups.Group:
    """The one group of the runs in a folder."""
    (found,), ungrouped = groups.group_runs(conclude.read_runs(find([runs])))
    assert not ungrouped
    return found


def reported(folder: Path, *words: str) -> tuple[str, list[dict[str, str]]]:
    """The page and the table of the runs in a folder."""
    table = folder / "table.csv"
    assert report.main([str(folder), "--csv", str(table), *words]) == 0
    with table.open(newline="") as file:
        return (folder / "report.html").read_text(), list(csv.DictReader(file))


def without_plotly(page: str) -> str:
    """What the page says for itself."""
    return re.sub(r'<script type="text/plain" id="plotly">.*?</script>', "", page, flags=re.DOTALL)


@pytest.mark.parametrize("code", [COMMAND, CONCLUDED], ids=["command", "conclude"])
def test_a_report_without_wandb_loads_neither_torch_nor_lightning(tmp_path, code):
    fake(tmp_path / "sweep" / "0")
    command = [sys.executable, "-c", code, str(tmp_path / "sweep")]
    env = os.environ | {"PYTHONPATH": str(ROOT)}
    told = subprocess.run(command, capture_output=True, text=True, env=env, cwd=tmp_path, check=True).stdout
    status, modules = json.loads(told.splitlines()[-1])
    assert status == 0
    assert (tmp_path / "sweep" / "report.html").is_file()
    assert not {name.split(".")[0] for name in modules} & {
        "torch",
        "lightning",
        "torchvision",
        "wandb",
        "callbacks",
    }
    assert not {"src.models.vae", "src.build", "src.models.networks", "matplotlib.figure"} & set(modules)


def test_the_table_has_the_options_of_each_run(tmp_path):
    """Those of groups in which they do not vary, of runs that can't be compared, of jobs that have not begun."""
    fake(tmp_path / "0", beta=1.0)
    fake(tmp_path / "1", beta=4.0)
    fake(tmp_path / "2", beta=2.0, latent_dim=8, model="conv", likelihood="Gaussian", seed=3)
    lost = fake(tmp_path / "3", beta=0.5)
    config = yaml.safe_load((lost / "config.yaml").read_text())
    del config["likelihood"]
    (lost / "config.yaml").write_text(yaml.safe_dump(config))
    jobs = {str(i): {"number": i, "options": [f"beta={i}", "seed=7"], "wanted": i == 4} for i in range(5)}
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    _, table = reported(tmp_path)
    names = ("model", "latent_dim", "beta", "seed")
    assert {row["run"]: tuple(row[name] for name in names) for row in table} == {
        "0": ("mlp", "2", "1.0", "0"),
        "1": ("mlp", "2", "4.0", "0"),
        "2": ("conv", "8", "2.0", "3"),
        "3": ("mlp", "2", "0.5", "0"),
        "4": ("", "", "4", "7"),
    }


def test_a_single_run_has_its_options_in_the_table(tmp_path):
    fake(tmp_path / "runs" / "0")
    _, (row,) = reported(tmp_path / "runs")
    assert [row[name] for name in ("model", "latent_dim", "beta", "seed")] == ["mlp", "2", "1.0", "0"]


def test_where_there_is_no_run_it_says_so_in_a_line(tmp_path, capsys):
    for folder in (tmp_path, tmp_path / "none"):
        assert report.main([str(folder)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1
        assert "no run in" in said
    assert not list(tmp_path.iterdir())


def test_runs_are_found_once_in_the_order_of_their_numbers(tmp_path):
    for number in (10, 9, 1):
        fake(tmp_path / "sweeps" / "s" / str(number))
    (tmp_path / "sweeps" / "s" / "1" / "tasks" / "sample").mkdir(parents=True)
    (tmp_path / "sweeps" / "s" / "1" / "tasks" / "sample" / "metrics.json").write_text("{}")
    (tmp_path / "wandb" / "run" / "files").mkdir(parents=True)
    (tmp_path / "wandb" / "run" / "files" / "config.yaml").write_text("a: 1")
    found = find([tmp_path, tmp_path / "sweeps" / "s" / "9"])
    assert [path.name for path in found] == ["1", "9", "10"]
    assert [run.name for run in conclude.read_runs(found)] == ["1", "9", "10"]


def test_jobs_that_have_not_begun_are_listed(tmp_path):
    fake(tmp_path / "0")
    jobs = {name: {"number": i, "options": [f"beta={i}"], "wanted": i < 2} for i, name in enumerate("abc")}
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    page, table = reported(tmp_path)
    assert [(row["run"], row["status"], row["reason"]) for row in table] == [
        ("0", "finished", ""),
        ("1", "waiting", "beta=1"),
    ]
    assert "2 runs, read on" in page
    assert not (tmp_path / "1").exists()


def test_errors_of_the_report_do_not_end_a_sweep(tmp_path, caplog):
    fake(tmp_path / "0")
    conclude.conclude(tmp_path, {"wandb": {"_target_": "src.run.tracking.wandb_logger", "mode": "offline"}})
    assert "W&B: the table of runs was not added (TypeError" in caplog.text
    assert (tmp_path / "report.html").is_file()


def test_a_sweep_may_be_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fake(tmp_path / "outputs" / "sweeps" / "widths" / "0")
    assert report.main(["sweep_name=widths"]) == 0
    assert (tmp_path / "outputs" / "sweeps" / "widths" / "report.html").is_file()


def test_knobs_are_named_once_the_shortest_way():
    configs = [
        configured(beta=b, latent_dim=d, model=m, title=str(b), mode=m)
        for b, d, m in [(1, 2, "mlp"), (4, 2, "conv"), (4, 8, "mlp")]
    ]
    assert groups.option_differences(configs) == {
        "latent_dim": [2, 2, 8],
        "beta": [1, 4, 4],
        "model": ["mlp", "conv", "mlp"],
    }
    configs[0]["model"]["encoder"]["hidden"] = [100]
    assert groups.option_differences(configs)["model.encoder.hidden"] == [[100], [32, 64], [400, 400]]


def test_an_objective_without_a_beta_does_not_repeat_it():
    configs = [configured(beta=beta) for beta in (1.0, 4.0, 1.0)]
    configs[2]["objective"] = {"_target_": "src.training.objectives.IWAE", "samples": 5}
    assert groups.option_differences(configs) == {"beta": [1.0, 4.0, 1.0], "objective": ["elbo", "elbo", "iwae"]}


def test_only_the_same_data_pixels_and_likelihood_compare(tmp_path):
    fake(tmp_path / "0")
    fake(tmp_path / "1", likelihood="Gaussian")
    other = fake(tmp_path / "2")
    config = yaml.safe_load((other / "config.yaml").read_text())
    config["data"]["exclude_labels"] = [3]
    (other / "config.yaml").write_text(yaml.safe_dump(config))
    (tmp_path / "1" / "metrics.json").unlink()  # what it is of shows in its configuration too
    found, ungrouped = groups.group_runs(conclude.read_runs(find([tmp_path])))
    assert not ungrouped
    assert [(each.data, each.pixels, each.likelihood) for each in found] == [
        ("mnist", "binary", "Bernoulli"),
        ("mnist", "dequantized", "Gaussian"),
        ("mnist without 3", "binary", "Bernoulli"),
    ]


def test_ranking_seeds_and_paired_differences(tmp_path):
    random = np.random.default_rng(0)
    terms = {name: random.normal(-100, 30, 200) for name in "abcd"}
    terms["b"] = terms["a"] - 2 + random.normal(0, 0.5, 200)
    for name, beta, seed in (("a", 1.0, 0), ("b", 1.0, 1), ("c", 4.0, 0), ("d", 4.0, 1)):
        fake(tmp_path / name, elbo=terms[name].mean(), terms=terms[name], beta=beta, seed=seed)
    group = one(tmp_path)
    table = {row["run"]: row for row in tables.run_rows(group)}
    best = max(terms, key=lambda name: terms[name].mean())
    assert group.best.name == best
    assert sorted(row["rank"] for row in table.values()) == [1, 2, 3, 4]
    assert table[best]["difference"] is None
    for name in set(terms) - {best}:
        difference = terms[name] - terms[best]
        assert table[name]["difference"] == pytest.approx(difference.mean())
        assert table[name]["difference_se"] == pytest.approx(difference.std(ddof=1) / 200**0.5)
    pair = [terms["c"].mean(), terms["d"].mean()]
    assert table["c"]["val/elbo over seeds"] == pytest.approx(np.mean(pair))
    assert table["d"]["val/elbo over seeds, sd"] == pytest.approx(np.std(pair, ddof=1))
    assert list(group.knobs) == ["beta"]


def test_differences_want_the_same_images(tmp_path):
    fake(tmp_path / "0", elbo=-90, terms=np.full(20, -90.0))
    fake(tmp_path / "1", elbo=-95, terms=np.full(30, -95.0), beta=4.0)
    fake(tmp_path / "2", elbo=-96, beta=2.0)
    assert [row["difference"] for row in tables.run_rows(one(tmp_path))] == [None, None, None]


def test_test_figures_are_those_of_the_selected_run_alone(tmp_path):
    fake(tmp_path / "0", elbo=-90.111)
    fake(tmp_path / "1", elbo=-95.222, beta=4.0)
    page, table = reported(tmp_path)
    assert [row["test/elbo"] for row in table] == [str(-90.111 - 7.125), ""]
    assert "−97.24" in page
    assert "102.3" not in without_plotly(page)


@pytest.mark.parametrize(
    ("told", "losses", "expected"),
    [
        ({"state": "finished"}, (500, 100), "finished"),
        ({"state": "running"}, (500, 100), "running"),
        ({"state": "running", "pid": 2**22 + 1}, (500, 100), "killed"),
        ({"state": "running", "pid": 2**22 + 1, "host": "elsewhere"}, (500, 100), "running"),
        ({"state": "failed", "reason": "ValueError: too wide"}, (500,), "failed"),
        ({"state": "interrupted"}, (500, 100), "interrupted"),
        ({"state": "diverged", "reason": "NaN"}, (500, 100), "diverged"),
        ({"state": "finished"}, (500, 100, 501), "diverged"),
        ({"state": "finished"}, (500, 100, float("nan")), "diverged"),
        ({"state": "melted"}, (500, 100), "unknown"),
        (None, (500, 100), "finished"),
    ],
)
def test_states(tmp_path, told, losses, expected):
    folder = fake(tmp_path / "0", losses=losses)
    if told is not None:
        status(folder, **told)
    run = read(folder, "0")
    assert run.status == expected
    assert run.is_ranked == (expected == "finished")
    assert bool(run.reason) == (expected in ("killed", "failed", "diverged", "unknown"))


def test_a_process_that_has_another_ones_number_is_not_the_run(tmp_path):
    folder = status(fake(tmp_path / "0"), "running", started="2020-01-01T00:00:00")
    assert read(folder, "0").status == "killed"


def test_incomplete_runs_are_shown_and_not_ranked(tmp_path):
    fake(tmp_path / "0", elbo=-95)
    running = status(fake(tmp_path / "1", beta=4.0, losses=(500, 80, 70)), "running")
    (running / "metrics.json").unlink()
    status(fake(tmp_path / "2", elbo=-50, beta=8.0), "failed", reason="RuntimeError: out of memory")
    _, table = reported(tmp_path)
    assert [(row["rank"], row["status"], row["epochs"], row["val/elbo"]) for row in table] == [
        ("1", "finished", "3", "-95.0"),
        ("", "running", "2", "-70.0"),
        ("", "failed", "3", "-50.0"),
    ]
    assert table[2]["reason"] == "RuntimeError: out of memory"


def test_whatever_is_missing_or_damaged_the_page_says_so(tmp_path):
    files = (
        "config.yaml",
        "status.json",
        "metrics.json",
        "metrics.csv",
        "val_terms.npz",
        "test_terms.npz",
        "figures/trace.npz",
    )
    fake(tmp_path / "whole", elbo=-90, terms=np.full(20, -90.0))
    for i, name in enumerate((*files, "figures/latent_tsne.png")):
        for kind, content in (
            ("empty", b""),
            ("noise", bytes(range(256))),
            ("list", b"[1, 2]"),
            ("text", b"epoch\nx\n"),
        ):
            folder = drawn(fake(tmp_path / f"{kind}{i}", elbo=-91, terms=np.full(20, -91.0)))
            (folder / name).write_bytes(content)
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.yaml").write_text("data: 3\n")
    page, table = reported(tmp_path)
    said = {row["run"]: row["reason"] for row in table}
    assert len(said) == 2 + 4 * 8
    assert not said["whole"]
    assert (
        said["bare"]
        == "it left no metrics.json: it was stopped, or still runs; config.yaml names no data or no likelihood"
    )
    for i, name in enumerate((*files, "figures/latent_tsne.png")):
        for kind in ("empty", "noise", "list", "text"):
            if (kind, name) != ("empty", "metrics.csv"):
                assert f"{name} can't be read: " in said[f"{kind}{i}"], (kind, name)
    assert "Not compared" in page


def test_words_of_runs_are_escaped(tmp_path):
    evil = "<script>alert('x')</script>"
    status(fake(tmp_path / f"{evil.replace('/', '')}", model=evil, title=evil), "failed", reason=evil)
    fake(tmp_path / "1", model="</script>&", title=evil)
    fake(tmp_path / "2", model="mlp", title=evil)
    page, table = reported(tmp_path)
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
    page, _ = reported(drawn(fake(tmp_path / "0")).parent)
    assert "default-src 'none'" in page
    assert not re.findall(r"""(?:src|href)=["']?(?:https?:)?//""", without_plotly(page))


def test_hull_has_no_point_below_it():
    random = np.random.default_rng(0)
    for _ in range(50):
        points = [tuple(point) for point in random.integers(0, 9, (random.integers(1, 12), 2)).astype(float)]
        hull = charts.hull(points)
        assert set(hull) <= set(points)
        assert hull[0] == min(points)
        assert hull[-1][1] == min(y for _, y in points)
        slopes = [(d - b) / (c - a) for (a, b), (c, d) in zip(hull, hull[1:], strict=False)]
        assert all(slope < 0 for slope in slopes)
        assert slopes == sorted(slopes)
        for (a, b), (c, _), slope in zip(hull, hull[1:], slopes, strict=False):
            assert all(y >= b + slope * (x - a) - 1e-9 for x, y in points if a <= x <= c)


def test_lines_of_equal_elbo_are(tmp_path):
    lines, names = charts.iso_elbo(0, 30, 60, 110)
    sums = {x + y for x, y in zip(lines.x, lines.y, strict=True) if x is not None}
    assert sums == {60, 80, 100, 120, 140} or len(sums) in range(4, 12)
    for name in names:
        assert name["x"] + name["y"] == pytest.approx(-float(name["text"].replace("−", "-")))
        assert 0 <= name["x"] <= 30
        assert 60 <= name["y"] <= 110


def test_a_seed_that_was_run_twice_counts_once(tmp_path):
    for name, seed, elbo in [("a", 0, -100.0), ("b", 0, -102.0), ("c", 1, -105.0)]:
        fake(tmp_path / name, elbo=elbo, seed=seed)
    (row,) = tables.setting_rows(one(tmp_path))
    assert (row["seeds"], row["finished"]) == (2, 2)
    assert row["val/elbo"] == pytest.approx((-101 - 105) / 2)
    assert row["val/elbo_sd"] == pytest.approx(4 / 2**0.5)
    shutil.rmtree(tmp_path / "c")
    assert "Over seeds" not in reported(tmp_path)[0].partition("<footer>")[0]


def test_a_lucky_seed_is_not_selected(tmp_path):
    for name, beta, seed, elbo in [
        ("0", 1.0, 0, -90.0),
        ("1", 1.0, 1, -120.0),
        ("2", 4.0, 0, -99.0),
        ("3", 4.0, 1, -101.0),
        ("4", 2.0, 0, -95.0),
    ]:
        fake(tmp_path / name, elbo=elbo, beta=beta, seed=seed)
    page, table = reported(tmp_path)
    said = re.sub("<.*?>", "", page)
    assert "Selected by validation: runs 2, 3, beta=4" in said
    assert "−100.00 ± 1.41" in said
    assert "−107.12 ± 1.41" in said  # the test set's
    assert {row["run"]: bool(row["test/elbo"]) for row in table} == {each: each in "23" for each in "01234"}


def test_charts_show_each_run_where_it_is(tmp_path):
    for i, (beta, seed) in enumerate([(0.5, 0), (1.0, 0), (8.0, 0), (8.0, 1)]):
        fake(tmp_path / str(i), elbo=-90.0 - i, kl=25.0 - i, beta=beta, seed=seed)
    status(fake(tmp_path / "9", elbo=-1, beta=2.0), "interrupted")
    group = one(tmp_path)
    (points,) = (trace for trace in charts.rate_distortion(group).data if trace.meta == "points")
    places = {group.runs[place].name: (x, y) for place, x, y in zip(points.customdata, points.x, points.y, strict=True)}
    assert places == {str(i): (25.0 - i, 65.0 + 2 * i) for i in range(4)}

    figure = charts.against(group, "beta")
    line, points = figure.data
    assert figure.layout.xaxis.type == "log"
    assert dict(zip(line.x, line.y, strict=True)) == {0.5: -90, 1.0: -91, 8.0: -92.5, None: None}
    assert line.error_y.array[2] == pytest.approx(0.5**0.5)
    assert sorted(zip(points.x, points.y, strict=True)) == [(0.5, -90), (1.0, -91), (8.0, -93), (8.0, -92)]
    assert list(figure.layout.meta["kl"]["y"][0])[:3] == [25, 24, 22.5]

    curves = {trace.name: trace for trace in charts.curves(group).data}
    assert list(curves["0"].x) == [1000, 2000, 3000]
    assert [curves[name].line.dash for name in "09"] == ["solid", "dot"]
    dims = charts.kl_per_dim(group).data
    assert len(dims) == 4
    assert list(dims[0].y) == [25, charts.MIN_KL]


def test_what_can_not_be_drawn_is_left_out(tmp_path):
    fake(tmp_path / "0")
    group = one(tmp_path)
    assert charts.rate_distortion(group) is None
    assert not group.knobs
    reported(tmp_path)


def test_long_curves_are_thinned_to_their_last():
    kept = charts.thin(list(range(1000)))
    assert len(kept) == charts.MAX_POINTS
    assert (kept[0], kept[-1]) == (0, 999)
    assert charts.thin([1, 2]) == [1, 2]
    assert charts.thin([]) == []


def test_thumbnails_are_of_the_last_frame_and_no_larger_than_allowed(tmp_path):
    folder = drawn(fake(tmp_path / "0"))
    with np.load(folder / "figures" / "trace.npz") as arrays:
        last = arrays["frames/samples_mean"][-1]
    sheet = np.asarray(pictures.samples(folder / "figures" / "trace.npz"))
    assert (sheet[29 : 29 + 28, :28, 0] == last[6, 0]).all()
    for limit in (24_000, 2_000):
        for uri, file in pictures.thumbnails(read(folder, "0"), limit).values():
            assert len(uri) <= limit * 4 / 3 + 40
            assert (folder / file).is_file()


def test_the_panels_are_where_they_are_drawn():
    from src.figures import latent, page

    assert pictures.PANELS["latent_tsne"] == (
        page.MARGIN + latent.SIDE + latent.GUTTER + latent.COLUMN + page.MARGIN,
        page.MARGIN,
        latent.TOP,
        latent.SIDE,
    )
    width, left, *rest = pictures.PANELS["latent"]
    assert (width - 34, left - 34, *rest) == pictures.PANELS["latent_tsne"]


def test_a_run_that_was_trained(finished, tmp_path):
    page = tmp_path / "page.html"
    assert report.main([str(finished), "--out", str(page)]) == 0
    run = read(finished, "run")
    assert run.is_ranked
    assert not run.explanation
    assert run.terms["val"]["elbo"].mean() == pytest.approx(run.number("val/elbo"), abs=1e-3)
    assert f"−{-run.number('val/elbo'):.2f}" in page.read_text()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report on a sweep of 300 runs of 60 epochs, with images of noise."""
    sweep, random = tmp_path_factory.mktemp("large"), np.random.default_rng(0)
    losses = tuple(500 * 0.97**e for e in range(61))
    pattern = drawn(fake(sweep / "0", terms=random.normal(-100, 9, 500), losses=losses))
    betas, sizes, models = (0.5, 1.0, 2.0, 4.0, 8.0), (2, 4, 8, 16, 32), ("mlp", "conv")
    settings = [(b, d, m, s) for b in betas for d in sizes for m in models for s in range(6)]
    for i, (beta, latent_dim, model, seed) in enumerate(settings):
        terms = random.normal(-100 - beta, 9, 500)
        options = {"beta": beta, "latent_dim": latent_dim, "model": model, "seed": seed, "losses": losses}
        folder = fake(
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


def test_a_run_has_a_number_only_if_it_is_finite():
    run = Run(Path(), "", {}, "finished", "", [], {"val/elbo": float("nan"), "val/kl": "x", "val/recon": 1}, {}, [])
    assert [run.number(f"val/{name}") for name in ("elbo", "kl", "recon", "loss")] == [None, None, 1.0, None]
    assert not run.is_ranked
