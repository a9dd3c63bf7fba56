"""Which runs compare, what differs between them, and which of them is best."""

import json
import re
import shutil

import numpy as np
import pytest
import yaml

from src.reporting import conclude, groups, tables
from src.run.places import find
from tests.helpers.reports import configuration, fake_run, make_report, only_group


def test_knobs_are_named_once_the_shortest_way():
    configs = [
        configuration(beta=b, latent_dim=d, model=m, title=str(b), mode=m)
        for b, d, m in [(1, 2, "mlp"), (4, 2, "conv"), (4, 8, "mlp")]
    ]
    expected = {"latent_dim": [2, 2, 8], "beta": [1, 4, 4], "model": ["mlp", "conv", "mlp"]}
    assert groups.option_differences(configs) == expected
    configs[0]["model"]["encoder"]["hidden"] = [100]
    assert groups.option_differences(configs)["model.encoder.hidden"] == [[100], [32, 64], [400, 400]]


def test_an_objective_without_a_beta_does_not_repeat_it():
    configs = [configuration(beta=beta) for beta in (1.0, 4.0, 1.0)]
    configs[2]["objective"] = {"_target_": "src.training.objectives.IWAE", "samples": 5}
    assert groups.option_differences(configs) == {"beta": [1.0, 4.0, 1.0], "objective": ["elbo", "elbo", "iwae"]}


def test_only_the_same_data_pixels_and_likelihood_compare(tmp_path):
    fake_run(tmp_path / "0")
    fake_run(tmp_path / "1", likelihood="Gaussian")
    other = fake_run(tmp_path / "2")
    config = yaml.safe_load((other / "config.yaml").read_text())
    config["data"]["exclude_labels"] = [3]
    (other / "config.yaml").write_text(yaml.safe_dump(config))
    given = fake_run(tmp_path / "3")
    (given / "config.yaml").write_text(
        yaml.safe_dump(configuration() | {"condition": {"_target_": "src.models.conditions.Label"}})
    )
    (tmp_path / "1" / "metrics.json").unlink()  # what it is of shows in its configuration too
    found, ungrouped = groups.group_runs(conclude.read_runs(find([tmp_path])))
    assert not ungrouped
    assert [(each.data, each.pixels, each.likelihood) for each in found] == [
        ("mnist", "binary", "Bernoulli"),
        ("mnist", "binary", "Bernoulli given the label"),
        ("mnist", "dequantized", "Gaussian"),
        ("mnist without 3", "binary", "Bernoulli"),
    ]


def test_ranking_seeds_and_paired_differences(tmp_path):
    random = np.random.default_rng(0)
    terms = {name: random.normal(-100, 30, 200) for name in "abcd"}
    terms["b"] = terms["a"] - 2 + random.normal(0, 0.5, 200)
    for name, beta, seed in (("a", 1.0, 0), ("b", 1.0, 1), ("c", 4.0, 0), ("d", 4.0, 1)):
        fake_run(tmp_path / name, elbo=terms[name].mean(), terms=terms[name], beta=beta, seed=seed)
    group = only_group(tmp_path)
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
    fake_run(tmp_path / "0", elbo=-90, terms=np.full(20, -90.0))
    fake_run(tmp_path / "1", elbo=-95, terms=np.full(30, -95.0), beta=4.0)
    fake_run(tmp_path / "2", elbo=-96, beta=2.0)
    assert [row["difference"] for row in tables.run_rows(only_group(tmp_path))] == [None, None, None]


def test_a_seed_that_was_run_twice_counts_once(tmp_path):
    for name, seed, elbo in [("a", 0, -100.0), ("b", 0, -102.0), ("c", 1, -105.0)]:
        fake_run(tmp_path / name, elbo=elbo, seed=seed)
    (row,) = tables.setting_rows(only_group(tmp_path))
    assert (row["seeds"], row["finished"]) == (2, 2)
    assert row["val/elbo"] == pytest.approx((-101 - 105) / 2)
    assert row["val/elbo_sd"] == pytest.approx(4 / 2**0.5)
    shutil.rmtree(tmp_path / "c")
    assert "Over seeds" not in make_report(tmp_path)[0].partition("<footer>")[0]


def test_the_largest_mean_is_selected_whatever_the_number_of_seeds(tmp_path):
    """As `src.runs best` picks a single run by its ELBO; how many seeds there are is said beside it."""
    for name, beta, seed, elbo in [
        ("0", 1.0, 0, -90.0),
        ("1", 1.0, 1, -120.0),
        ("2", 4.0, 0, -99.0),
        ("3", 4.0, 1, -101.0),
        ("4", 2.0, 0, -95.0),
    ]:
        fake_run(tmp_path / name, elbo=elbo, beta=beta, seed=seed)
    page, table = make_report(tmp_path)
    said = re.sub("<.*?>", "", page)
    assert "Selected by validation: run 4, beta=2 (1 seed)" in said
    assert {row["run"]: bool(row["test/elbo"]) for row in table} == {each: each == "4" for each in "01234"}
    shutil.rmtree(tmp_path / "4")
    said = re.sub("<.*?>", "", make_report(tmp_path)[0])
    assert "Selected by validation: runs 2, 3, beta=4 (2 seeds)" in said
    assert "−100.00 ± 1.41" in said
    assert "−107.12 ± 1.41" in said  # the test set's


def test_settings_differ_by_the_mean_over_the_seeds_of_both(tmp_path):
    elbos = {1.0: {0: -90.0, 1: -100.0, 2: -95.0}, 4.0: {0: -93.0, 1: -105.0}, 8.0: {2: -99.0}}
    for beta, seeds in elbos.items():
        for seed, elbo in seeds.items():
            fake_run(tmp_path / f"{beta}_{seed}", elbo=elbo, beta=beta, seed=seed)
    best, second, third = tables.setting_rows(only_group(tmp_path))
    assert (best["difference"], third["difference"]) == (None, None)  # the third has one seed in common with the best
    assert second["difference"] == pytest.approx(-4)
    assert second["difference_se"] == pytest.approx(2**0.5 / 2**0.5)  # of -3 and -5, whose standard deviation is √2
    said = re.sub("<.*?>", "", make_report(tmp_path)[0])
    assert re.search(r"−4\.00 ± 1\.00", said)


def test_options_are_in_the_order_in_which_the_sweep_was_typed(tmp_path):
    settings = [("mlp", 1.0, 2), ("conv", 4.0, 8)]
    for i, (model, beta, latent_dim) in enumerate(settings):
        fake_run(tmp_path / str(i), beta=beta, latent_dim=latent_dim, model=model)
    assert list(only_group(tmp_path).knobs) == ["latent_dim", "beta", "model"]
    jobs = {
        str(i): {"number": i, "options": [f"model={m}", f"beta={b}", f"latent_dim={d}"], "wanted": True}
        for i, (m, b, d) in enumerate(settings)
    }
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    assert list(only_group(tmp_path).knobs) == ["model", "beta", "latent_dim"]


def test_a_part_has_the_name_by_which_it_is_chosen():
    configs = [configuration(), configuration()]
    targets = {"lr_schedule": ("src.training.lr_schedules.OneCycle", "src.training.lr_schedules.Constant")}
    targets |= {
        "optimizer": ("torch.optim.Adam", "own.Optimizer"),
        "objective": ("src.training.objectives.BetaTC",) * 2,
    }
    for group, paths in targets.items():
        for config, path in zip(configs, paths, strict=True):
            config[group] = {"_target_": path}
    configs[0]["model"]["encoder"]["_target_"] = "src.models.networks.MLPEncoder"
    assert groups.option_differences(configs) == {
        "lr_schedule": ["onecycle", "constant"],
        "optimizer": ["adam", "own.Optimizer"],
        "model.encoder": ["MLPEncoder", "mlp"],
    }
