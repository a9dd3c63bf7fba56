"""The fingerprint of the images that a run was trained on, checked wherever the run reads its data again."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from src import build, search
from src.data.user_images import images as npz
from src.reporting import conclude, groups, tables
from src.run import identity
from src.run.places import find
from src.support.errors import UserError
from src.sweeps.numbering import fingerprint

CHANGES = {
    "appended": lambda images, labels: (np.concatenate([images, images[:100]]), np.concatenate([labels, labels[:100]])),
    "one pixel": lambda images, labels: (images ^ (np.arange(images.size) == 5).reshape(images.shape), labels),
    "in another order": lambda images, labels: (images[::-1], labels[::-1]),
    "other labels": lambda images, labels: (images, labels[::-1]),
    "labels of another name": lambda images, labels: (images, labels + 1),
}


@pytest.fixture
def own(small, tmp_path) -> Path:
    """A copy of the data file of `small` that a test may change."""
    path = next(word for word in small if word.startswith("data.path=")).partition("=")[2]
    return Path(shutil.copy(path, tmp_path / "own.npz"))


def change(path: Path, how: str) -> None:
    with np.load(path) as arrays:
        images, labels = CHANGES[how](arrays["images"], arrays["labels"])
    np.savez(path, images=images, labels=labels)


def test_a_fingerprint_is_of_images_labels_and_their_parts(own):
    first = identity.fingerprint(npz(str(own)))
    assert first == identity.fingerprint(npz(str(shutil.copy(own, own.with_name("copy.npz")))))
    found = {first}
    for how in CHANGES:
        copy = Path(shutil.copy(own, own.with_name("changed.npz")))
        change(copy, how)
        found.add(identity.fingerprint(npz(str(copy))))
    assert len(found) == 1 + len(CHANGES)


def test_a_file_that_has_changed_is_refused_by_tasks_and_resumes(own, run, resume, applied, tmp_path):
    folder = run(f"data.path={own}")
    kept = json.loads((folder / "data.json").read_text())
    assert kept["fingerprint"] == identity.fingerprint(npz(str(own)))
    assert json.loads((folder / "metrics.json").read_text())["data"].items() <= kept.items()
    before = shutil.copy(own, tmp_path / "before.npz")
    change(own, "appended")
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    for task in ("evaluate", "diagnose", "anomaly", "synthesize", "interpolate", "sample", "inpaint", "traverse"):
        with pytest.raises(UserError, match=r"holds other images or labels than .* was trained on"):
            applied(folder, f"task={task}")
    with pytest.raises(UserError, match="holds other images or labels than the run was trained on"):
        resume(folder, "trainer.max_epochs=3")
    assert files == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    build.load(folder)  # the VAE alone needs no images
    applied(folder, "task=interpolate", f"data.path={before}", "task.steps=3")
    resume(folder, "trainer.max_epochs=3", "data=npz", f"data.path={before}")


def test_runs_on_one_path_with_other_content_are_neither_paired_nor_averaged(own, run, applied, tmp_path):
    ours = [run(f"data.path={own}", f"seed={seed}", folder=f"run{seed}") for seed in (0, 1)]
    change(own, "in another order")
    theirs = run(f"data.path={own}", "seed=2", folder="run2")
    found, _ = groups.group_runs(conclude.read_runs(find(sorted(tmp_path.glob("run*")))))
    assert [[run.name for run in group.runs] for group in found] == [["run0", "run1"], ["run2"]]
    assert len({group.data for group in found}) == 2
    assert all(f"{own}, images " in group.data for group in found)
    assert [row["seeds"] for row in tables.setting_rows(found[0])] == [2]
    assert tables.paired_difference(found[0].runs[0], found[1].runs[0]) is None
    assert tables.paired_difference(found[0].runs[0], found[0].runs[1]) is not None
    with pytest.raises(UserError, match="holds other images or labels than"):
        applied(theirs, "task=compare", f"task.other={ours[0]}")


def test_runs_without_a_fingerprint_are_not_checked(own, run, resume, applied, tmp_path, caplog):
    ours, _newer = (run(f"data.path={own}", f"seed={seed}", folder=f"run{seed}") for seed in (0, 1))
    for path in ours.glob("checkpoints/*.ckpt"):
        state = torch.load(path, weights_only=True)
        del (
            state["run"]["data"],
            state["run"]["config"]["data"]["white"],
            state["run"]["config"]["data"]["source"]["white"],
        )
        torch.save(state, path)
    (ours / "data.json").unlink()
    metrics = json.loads((ours / "metrics.json").read_text())
    for name in ("fingerprint", "without"):
        del metrics["data"][name]
    (ours / "metrics.json").write_text(json.dumps(metrics))
    found, ungrouped = groups.group_runs(conclude.read_runs(find(sorted(tmp_path.glob("run*")))))
    assert [len(group.runs) for group in found] == [2] and not ungrouped
    change(own, "appended")
    applied(ours, "task=interpolate", "task.steps=3")
    resume(ours, "trainer.max_epochs=3")
    assert build.open_run(ours, "last").data_record["fingerprint"] == identity.fingerprint(npz(str(own)))


@pytest.fixture
def sweep(small, tmp_path, monkeypatch):
    """sweep("seed=0,1"): trains a sweep of small jobs, named mine, and returns its exit."""
    import sys

    from hydra.core.global_hydra import GlobalHydra

    from src import train

    def start(*words: str) -> object:
        GlobalHydra.instance().clear()
        options = list({word.partition("=")[0]: word for word in [*small, "trainer.max_epochs=1", *words]}.values())
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", *options, "sweep_name=mine"])
        try:
            return train.main()
        except SystemExit as stop:
            return stop.code

    return start


def test_a_sweep_goes_on_with_the_images_it_began_with(own, sweep, tmp_path):
    path, folder = f"data.path={own}", tmp_path / "outputs/sweeps/mine"
    assert not sweep(path, "seed=0")
    change(own, "one pixel")
    assert "holds other images or labels than job 0 was trained on" in sweep(path, "seed=0,2")
    assert [path.name for path in folder.iterdir() if path.is_dir()] == ["0"]
    assert len(json.loads((folder / "jobs.json").read_text())) == 1
    # if the file changes during the sweep, each job detects it
    with pytest.raises(UserError, match="than job 0 of mine was trained on"):
        identity.check_job(folder / "3", source(folder / "0"), named(own))
    for other in ({"path": "elsewhere.npz"}, {"white": 254}):
        identity.check_job(folder / "3", source(folder / "0") | other, named(own))


def source(run: Path) -> dict:
    return json.loads((run / "data.json").read_text())["source"]


def named(path: Path):
    images = npz(str(path))
    return images._replace(fingerprint=identity.fingerprint(images))


def test_a_search_goes_on_with_the_images_it_began_with(own, small, tmp_path):
    words = [word for word in small if not word.startswith(("data.path=", "trainer.max_epochs"))]
    space = ["beta=interval(0.5,2)", f"data.path={own}", *words, "trainer.max_epochs=1"]
    search.search(["name=mine", "trials=1", *space])
    change(own, "one pixel")
    with pytest.raises(UserError, match="holds other images or labels than job 0 was trained on"):
        search.search(["name=mine", "trials=2"])
    assert not (tmp_path / "outputs/sweeps/mine/1").exists()


def test_a_new_option_at_its_default_keeps_the_fingerprint_of_a_job(composed):
    """A new option counts only with a value that changes the old behaviour."""
    now = composed("data=npz", "data.path=a.npz")
    then = now.copy()
    OmegaConf.set_struct(then, False)
    del then.data["white"], then.data.source["white"]
    for old in (None, "absent"):
        then.condition = None
        if old == "absent":
            del then.condition
        assert fingerprint(then) == fingerprint(now)
    assert fingerprint(composed("data=npz", "data.path=a.npz", "data.white=16")) != fingerprint(now)
    assert fingerprint(composed("data=npz", "data.path=a.npz", "condition=label")) != fingerprint(now)
