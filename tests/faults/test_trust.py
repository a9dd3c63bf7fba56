"""A stranger's folder of a run: whichever command opens it, nothing that it names is executed, read or written."""

import json
import os
from typing import Any

import hydra
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from src import build, report, search, train
from src.config import trust
from src.config.moved import current_paths
from src.config.plain import check_interpolations
from src.run import resume
from src.support.errors import UserError
from src.support.folders import SweepFolder
from src.sweeps import numbering
from tests.helpers import hostile


@pytest.mark.parametrize("kind", hostile.NODES)
def test_load_executes_nothing(kind, stranger, tmp_path):
    hostile.name_in_checkpoints(stranger, *hostile.NODES[kind])
    with pytest.raises(
        UserError, match=r"is in no configuration|was made to run|that is not this program's"
    ) as refusal:
        build.load(stranger)
    assert "\n" not in str(refusal.value)
    hostile.assert_untouched(tmp_path)


@pytest.mark.parametrize("kind", [*hostile.NODES])
def test_a_resume_executes_nothing(kind, stranger, resume, tmp_path):
    hostile.name_in_checkpoints(stranger, *hostile.NODES[kind])
    with pytest.raises(UserError, match=r"is in no configuration|was made to run|that is not this program's"):
        resume(stranger, "trainer.max_epochs=3")
    hostile.assert_untouched(tmp_path)


@pytest.mark.parametrize("option", ["callbacks.mine", "logger.mine", "optimizer", "trainer.callbacks"])
def test_a_resume_executes_no_other_part(option, stranger, resume, tmp_path):
    def edit(state: dict[str, Any]) -> None:
        for config in (state["run"]["config"], state["run"]["composition"]):
            config[option.partition(".")[0]] = dict(config[option.partition(".")[0]] or {})
            hostile.set_option(config, option, hostile.NODES["a method"][1])

    hostile.change(stranger, edit)
    with pytest.raises(UserError, match=r"names pathlib\.Path\.touch.*, which is no part of a VAE"):
        resume(stranger, "trainer.max_epochs=3")
    hostile.assert_untouched(tmp_path)


def test_a_resume_of_a_run_without_composition_executes_nothing(stranger, resume, tmp_path):
    def edit(state: dict[str, Any]) -> None:
        del state["run"]["composition"]
        state["run"]["overrides"].append(f"++prior={hostile.METHOD}")

    hostile.change(stranger, edit)
    with pytest.raises(UserError, match=r"names pathlib\.Path\.touch"):
        resume(stranger, "trainer.max_epochs=3")
    hostile.assert_untouched(tmp_path)


@pytest.mark.parametrize(
    "override",
    [
        "title='${oc.env:SECRET}'",
        "hydra.searchpath=['file:///tmp']",
        "+experiment=../../evil",
        "prior@posterior=vamp",
        "data/../model=mlp",
        "${oc.env:SECRET}=3",
        "+callbacks=[default,../x]",
    ],
)
def test_an_override_of_a_file_neither_reads_nor_chooses_files(override, stranger, resume):
    hostile.change(stranger, lambda state: state["run"]["overrides"].append(override))
    with pytest.raises(UserError, match=r"is no option|is no choice|may only refer"):
        resume(stranger, "trainer.max_epochs=3", "model=conv")


@pytest.mark.parametrize(
    "text", ["${oc.env:SECRET}", "a ${oc.env:${title}} b", "\\${oc.env:SECRET}", "${oc.env:DATA_ROOT,data}"]
)
@pytest.mark.parametrize("where", ["config", "composition"])
def test_no_interpolation_of_a_file_is_resolved(text, where, stranger, resume, tmp_path):
    hostile.change(stranger, lambda state: hostile.set_option(state["run"][where], "title", text))
    with pytest.raises(UserError, match=r"which has no \$|may only refer to other options") as refusal:
        if where == "config":
            build.load(stranger)
        else:
            resume(stranger, "trainer.max_epochs=3")
    assert hostile.SECRET not in str(refusal.value)
    hostile.assert_untouched(tmp_path)


def test_an_interpolation_of_two_halves_is_not_resolved(stranger, resume, tmp_path):
    def edit(state: dict[str, Any]) -> None:
        state["run"]["composition"] |= {"half": "{oc.env:SECRET}", "title": "$${half}"}

    hostile.change(stranger, edit)
    with pytest.raises(UserError, match=r"which has no \$"):
        resume(stranger, "trainer.max_epochs=3")
    hostile.assert_untouched(tmp_path)


def test_references_that_grow_without_an_end_are_refused(stranger, resume):
    def edit(state: dict[str, Any]) -> None:
        levels = {f"l{i}": f"${{l{i + 1}}}" * 10 for i in range(30)}
        state["run"]["composition"] |= levels | {"l30": "x", "title": "${l0}"}

    hostile.change(stranger, edit)
    with pytest.raises(UserError, match="refer to each other without an end"):
        resume(stranger, "trainer.max_epochs=3")


def test_a_prior_of_ones_own_may_interpolate_its_size_by_any_name():
    check_interpolations({"prior": {"_target_": "mine.Prior", "dims": "${prior_dim:}"}}, "a run")


def test_the_other_run_of_a_comparison_is_not_executed(trained, stranger, tmp_path, applied):
    hostile.name_in_checkpoints(stranger, *hostile.NODES["a method"])
    with pytest.raises(UserError, match=r"names pathlib\.Path\.touch"):
        applied(hostile.copy_run(trained, tmp_path / "mine"), "task=compare", f"task.other={stranger}")
    hostile.assert_untouched(tmp_path)


def test_the_configuration_in_a_job_of_a_sweep_reads_no_environment(stranger, monkeypatch):
    config = yaml.safe_load((stranger / "config.yaml").read_text())
    (stranger / "config.yaml").write_text(yaml.safe_dump(config | {"extra": "${oc.env:SECRET}"}))
    before = numbering.training_of_folder(stranger)
    monkeypatch.setenv("SECRET", "another")
    assert numbering.training_of_folder(stranger) == before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"words": ["prior._target_=os.system", "beta=interval(1,2)"]}, r"names os\.system"),
        ({"words": ["prior._target_=choice(os.system,os.popen)"]}, r"names os\.system, os\.popen"),
        ({"words": [f"++prior={hostile.METHOD}", "beta=interval(1,2)"]}, r"names pathlib\.Path\.touch"),
        ({"words": ["title='${oc.env:SECRET}'", "beta=1,2"]}, "may only refer to other options"),
        ({"words": ["hydra.searchpath=[file:///tmp]", "beta=1,2"]}, "is no option of a run"),
        ({"words": ["trust=os", "beta=1,2"]}, "is no option of a run"),
        ({"words": [3]}, "is no plan of a search"),
        ({"words": "beta=1,2"}, "is no plan of a search"),
        ({"unknown": 3}, "is no plan of a search"),
        ([1, 2], "is no plan of a search"),
        (None, "is no plan of a search"),
    ],
)
def test_a_search_executes_nothing(change, reason, tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET", hostile.SECRET)
    folder = tmp_path / "outputs" / "sweeps" / "first"
    folder.mkdir(parents=True)
    SweepFolder(folder).search.write_text(yaml.safe_dump(change))
    GlobalHydra.instance().clear()
    with pytest.raises(UserError, match=reason):
        search.search(["name=first", "trials=1"])
    hostile.assert_untouched(tmp_path)


@pytest.mark.parametrize("name", ["tasks", "figures", "tasks/sample", "train.log", "checkpoints/.1.last.ckpt"])
def test_nothing_is_written_through_a_link_out_of_the_folder(name, stranger, tmp_path, resume, applied):
    outside = tmp_path / "outside"
    outside.mkdir()
    link = stranger / name
    link.parent.mkdir(exist_ok=True)
    link.symlink_to(outside / "new" if name.endswith("ckpt") else outside)
    with pytest.raises(UserError, match=rf"{name} is a link to .*outside.*remove it"):
        resume(stranger, "trainer.max_epochs=3")
    with pytest.raises(UserError, match=rf"{name} is a link to .*outside.*remove it"):
        applied(stranger, "task=sample")
    assert not list(outside.iterdir())


def test_no_file_decides_where_images_are_downloaded_to(stranger, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    source = {"_target_": "src.data.sources.mnist", "root": str(elsewhere)}
    hostile.name_in_checkpoints(
        stranger, "data", OmegaConf.to_container(build.open_run(stranger).config.data) | {"source": source}
    )
    hostile.name_in_checkpoints(stranger, "data.root", str(elsewhere))
    monkeypatch.setenv("DATA_ROOT", str(tmp_path / "data"))
    assert build.open_run(stranger).config.data.source.root == str(tmp_path / "data")


def test_no_file_decides_where_wandb_writes_and_sends(stranger, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "online")
    node = {"_target_": "src.run.tracking.wandb_logger", "project": "theirs", "entity": "stranger", "mode": "online"}
    hostile.name_in_checkpoints(stranger, "logger", {"wandb": node | {"dir": str(tmp_path.parent / "elsewhere")}})
    path = stranger / "checkpoints" / "last.ckpt"
    with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
        cfg, _ = resume.compose(path, ["trainer.max_epochs=3"])
        words = [f"logger.wandb.{name}={node[name]}" for name in ("project", "entity", "mode")]
        confirmed, _ = resume.compose(path, words)
    assert (cfg.logger.wandb.dir, cfg.logger.wandb.mode) == ("outputs", "offline")
    assert (confirmed.logger.wandb.project, confirmed.logger.wandb.mode) == ("theirs", "online")


def test_no_other_name_of_its_logger_decides_where_wandb_writes_and_sends(stranger, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    node = {"_target_": "src.run.tracking.wandb_logger", "project": "theirs", "mode": "online"}
    hostile.name_in_checkpoints(stranger, "logger", {"evil": node | {"dir": str(tmp_path.parent / "elsewhere")}})
    with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
        cfg, _ = resume.compose(stranger / "checkpoints" / "last.ckpt", ["trainer.max_epochs=3"])
    assert (cfg.logger.evil.dir, cfg.logger.evil.mode) == ("outputs", "offline")


def test_no_file_decides_where_mlflow_and_trackio_write_and_send(stranger, tmp_path, monkeypatch, caplog):
    monkeypatch.delenv("TRACKIO_DIR")
    elsewhere, server = {"dir": str(tmp_path.parent / "elsewhere")}, "http://stranger:1"
    mlflow = {"_target_": "src.run.mlflow.mlflow_logger", "experiment": "theirs", "uri": server}
    trackio = {"_target_": "src.run.trackio.trackio_logger", "project": "theirs"}
    hostile.name_in_checkpoints(stranger, "logger", {"a": mlflow | elsewhere, "b": trackio | elsewhere})
    with hydra.initialize_config_dir(train.CONF, version_base="1.3"):
        cfg, _ = resume.compose(stranger / "checkpoints" / "last.ckpt", ["trainer.max_epochs=3"])
        confirmed, _ = resume.compose(stranger / "checkpoints" / "last.ckpt", [f"logger.a.uri={server}"])
    assert (cfg.logger.a.dir, cfg.logger.a.uri) == ("outputs/mlflow", None)
    assert cfg.logger.b.dir == "outputs/trackio"
    assert f"give logger.a.uri={server} to send it there" in caplog.text
    assert confirmed.logger.a.uri == server


@pytest.mark.parametrize("word", ["logger.wandb.entity=stranger", "logger.wandb.dir=/elsewhere"])
def test_no_file_of_a_search_decides_where_wandb_writes_and_sends(word, tmp_path, monkeypatch):
    monkeypatch.delenv("WANDB_MODE", raising=False)
    folder = tmp_path / "outputs" / "sweeps" / "first"
    folder.mkdir(parents=True)
    SweepFolder(folder).search.write_text(yaml.safe_dump({"words": ["logger=wandb", word, "beta=interval(1,2)"]}))
    GlobalHydra.instance().clear()
    with pytest.raises(UserError, match=rf"name=first trials=1 logger=wandb {word} 'beta=interval\(1,2\)'$"):
        search.search(["name=first", "trials=1"])


@pytest.mark.parametrize("name", [".wandb_id", "metrics.csv", "train.log", ".lock"])
def test_no_pipe_in_a_folder_is_waited_for(name, stranger, resume):
    (stranger / name).unlink(missing_ok=True)
    os.mkfifo(stranger / name)
    with pytest.raises(
        UserError, match=rf"{name} (is neither a file nor a folder|must be a file of its own, and is none): remove it"
    ):
        resume(stranger, "trainer.max_epochs=3")


@pytest.mark.parametrize("name", ["study.journal", ".lock", "0"])
def test_nothing_is_written_through_a_link_in_a_search(name, tmp_path):
    folder, outside = tmp_path / "outputs" / "sweeps" / "first", tmp_path / "outside"
    folder.mkdir(parents=True)
    outside.write_text("of the user")
    SweepFolder(folder).search.write_text(yaml.safe_dump({"words": ["beta=interval(1,2)"]}))
    (folder / name).symlink_to(outside)
    with pytest.raises(UserError, match=rf"{name} is a link to .*outside.*remove it"):
        search.search(["name=first", "trials=1"])
    assert outside.read_text() == "of the user"


def test_a_report_executes_nothing(stranger, tmp_path):
    text = json.dumps("</script><script>alert(1)</script>\u001b[31m${oc.env:SECRET}")
    config = yaml.safe_load((stranger / "config.yaml").read_text())
    config["prior"] = {"_target_": "os.system", "command": hostile.TOUCH}
    (stranger / "config.yaml").write_text(f"{yaml.safe_dump(config)}\nextra: {text}\n")
    (stranger / "status.json").write_text(f'{{"state": "failed", "reason": {text}}}')
    assert report.main([str(stranger), "--out", "page.html"]) == 0
    assert "<script>alert(1)" not in (tmp_path / "page.html").read_text()
    assert "\x1b" not in (tmp_path / "page.html").read_text()
    hostile.assert_untouched(tmp_path)


def test_every_target_that_conf_names_needs_no_trust(composed):
    for choice in (
        "model=conv",
        "prior=vamp",
        "objective=iwae",
        "optimizer=adamw",
        "likelihood=gaussian",
        "logger=wandb",
    ):
        trust.check(current_paths(resume.resolve(composed(choice))), "RUN", [])
