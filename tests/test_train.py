"""The story of a training: what it is made of is built once, and a refused resume leaves everything as it was."""

import json
from pathlib import Path

import pytest
import torch

from src import build
from src.data.pixels import smoothed_mean
from src.run import epochs
from src.support.errors import UserError
from src.support.folders import RunFolder


@pytest.fixture
def calls(monkeypatch):
    """How often the module was built, and the images were read."""
    counts = {"module": 0, "source": 0}

    def count(name):
        function = getattr(build, name)

        def counted(*arguments, **options):
            counts[name] += 1
            return function(*arguments, **options)

        monkeypatch.setattr(build, name, counted)

    for name in counts:
        count(name)
    return counts


def test_a_run_and_its_resume_build_the_module_and_read_the_images_once(run, resume, calls):
    folder = run()
    assert calls == {"module": 1, "source": 1}
    resume(folder, "trainer.max_epochs=3")
    assert calls == {"module": 2, "source": 2}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("data.binarize=none", "data.binarize=none: the likelihood Bernoulli is a distribution over binary images"),
        ("latent_dim=4", "the checkpoint's weights do not fit latent_dim"),
        ("trainer.max_epochs=1", "the run is past epoch 2: trainer.max_epochs counts from its start"),
        ("data.exclude_labels=[9]", "has no label 9"),
    ],
)
def test_a_resume_that_is_refused_changes_nothing(run, resume, change, message):
    folder = run()
    files = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    with pytest.raises(UserError, match=message):
        resume(folder, *(["trainer.max_epochs=3"] if "epochs" not in change else []), change)
    assert files == {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_that_can_not_be_built_says_so_in_its_folder(run, tmp_path):
    from src.run import status

    with pytest.raises(UserError, match=r"data.binarize=none"):
        run("data.binarize=none")
    assert status.read(tmp_path / "run")["state"] == "failed"
    assert (tmp_path / "run" / "config.yaml").is_file()


def test_the_table_of_the_epochs_is_read_once_at_the_end(run, monkeypatch):
    from src.run import epochs

    reads, before = [], epochs.read
    monkeypatch.setattr(epochs, "read", lambda folder: reads.append(folder) or before(folder))
    folder = run()
    assert reads == [folder]


def test_images_of_a_relative_path_are_found_from_another_folder(run, small, monkeypatch, tmp_path):
    images = next(option for option in small if option.startswith("data.path=")).partition("=")[2]
    (tmp_path / "own.npz").write_bytes(Path(images).read_bytes())
    folder = run("data.path=own.npz")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert len(build.open_run(folder).data.source.train.images) == 328


def test_without_a_test_no_test_image_is_measured_until_a_resume_asks_for_it(run, resume):
    whole, without = run("run_name=whole", folder="whole"), run("test=false", folder="without")
    numbers, terms = (json.loads(RunFolder(each).metrics.read_text()) for each in (whole, without)), RunFolder(without)
    wanted, found = numbers
    assert not [name for name in found if name.startswith("test/")] and not terms.terms("test").exists()
    assert {name: found[name] for name in found if name.startswith("val/")} == {
        name: wanted[name] for name in wanted if name.startswith("val/")
    }
    resume(without, "test=true")
    measured = json.loads(terms.metrics.read_text())
    assert measured["test/elbo"] == wanted["test/elbo"] and terms.terms("test").exists()


def test_a_run_that_starts_at_the_mean_keeps_its_offset(run, resume):
    folder = run("trainer.max_epochs=1")
    images = build.open_run(folder).data.source.train.images
    expected = torch.logit(torch.from_numpy(smoothed_mean(images))).float()
    torch.testing.assert_close(build.load(folder).offset, expected)
    resume(folder, "trainer.max_epochs=2")
    torch.testing.assert_close(build.load(folder, "last").offset, expected)
    at_zero, at_mean = (
        epochs.read(each).rows[0]["val/elbo"] for each in (run("model.start=zero", folder="zero"), folder)
    )
    assert at_mean > at_zero + 20
