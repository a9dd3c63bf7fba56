"""The command that uses a finished run: what it leaves, what it refuses, and that it works on a run that was moved."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hydra.core.global_hydra import GlobalHydra
from PIL import Image

from src import apply, build
from src.config.options import CONF
from src.support.errors import UserError
from tests.helpers import project
from tests.helpers.processes import HEAVY, packages_imported
from tests.helpers.runs import train_run

TASKS = sorted(path.stem for path in Path(CONF, "task").glob("*.yaml"))
QUICK = ["task.samplers=[prior]", "task.compare=false", "task.count=4"]
SMALL = {
    "evaluate": ["task.samples=5", "task.images=20", "task.tight_images=5", "task.sample_quality=false"],
    "diagnose": ["task.count=10", "task.samples=20", "task.steps=3", "task.simulations=100"],
    "compare": ["task.count=3"],
    "sample": QUICK,
    "interpolate": ["task.pairs=1", "task.steps=3"],
    "inpaint": ["task.images=4", "task.samples=20", "task.mask=half"],
    "anomaly": ["task.images=10", "task.samples=5", "task.steps=3"],
    "synthesize": ["task.judge=false", "task.sizes=[8]", "task.per_class=3"],
    "figures": ["task.films=false", "task.scale=1"],
}
LINES = [line for line in project.LINES if "src.apply" in line and "--help" not in line and "$(" not in line]


@pytest.fixture(scope="session")
def watched(small, tmp_path_factory):
    """Two runs with figures."""
    root = tmp_path_factory.mktemp("runs")
    options = [
        *small,
        "callbacks=default",
        "~callbacks.progress",
        "~callbacks.pictures",
        "callbacks.recorder.images=20",
    ]
    options.remove("callbacks=none")
    return {name: train_run(options, root / name) for name in ("RUN", "OTHER")}


@pytest.fixture
def command(monkeypatch):
    """command("run=...", "task=sample"): python -m src.apply in this process."""

    def run(*words: str) -> None:
        GlobalHydra.instance().clear()
        monkeypatch.setattr(sys, "argv", ["apply.py", *words])
        apply.main()

    return run


def tasks_of(run: Path) -> set[str]:
    return {str(path.relative_to(run / "tasks")) for path in run.glob("tasks/*/*")}


def fingerprints(run: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file of a run but the results of tasks."""
    files = [path for path in run.rglob("*") if path.is_file() and "tasks" not in path.parts]
    return {str(path): (path.stat().st_size, path.stat().st_mtime_ns) for path in files}


def test_every_task_has_a_file_an_option_and_a_test():
    root = Path(CONF).parent
    for name in TASKS:
        assert (root / "tests" / "tasks" / f"test_{name}.py").is_file()
        first, target = (root / "conf" / "task" / f"{name}.yaml").read_text().splitlines()[:2]
        assert first.startswith("# ")
        module = target.removeprefix("_target_: ").removesuffix(f".{name}")
        assert module in (f"src.tasks.{name}", f"src.tasks.{name}.task")
        assert (root / module.replace(".", "/")).with_suffix(".py").is_file()


def test_a_task_adds_to_the_run_and_changes_nothing_of_it(command, finished, tmp_path, capfd):
    run = tmp_path / "moved"
    shutil.copytree(finished, run, ignore=shutil.ignore_patterns("tasks"))
    before = fingerprints(run)
    command(f"run={run}", "task=sample", "name=mine", *QUICK)
    last = capfd.readouterr().out.splitlines()[-1]
    assert last == "results: moved/tasks/sample/mine (2 images, metrics.json, samples.npz)"
    assert fingerprints(run) == before
    assert tasks_of(run) == {"sample/mine", "sample/latest"}
    latest = run / "tasks" / "sample" / "latest"
    assert latest.resolve() == (run / "tasks" / "sample" / "mine").resolve()
    numbers = json.loads((latest / "metrics.json").read_text())
    assert numbers["checkpoint"] == "best"
    assert numbers["epoch"] == json.loads((finished / "metrics.json").read_text())["epoch"]
    assert torch.__version__.startswith(numbers["versions"]["torch"])
    assert "count: 4" in (latest / "task.yaml").read_text()
    assert not list(tmp_path.glob(".hydra"))
    command(f"run={run}", "task=sample", "name=again", *QUICK)
    assert latest.resolve().name == "again"


def test_the_same_seed_gives_the_same_samples(applied, finished):
    def samples(*options: str) -> np.ndarray:
        _, folder = applied(finished, "task=sample", *QUICK, *options)
        with np.load(folder / "samples.npz") as arrays:
            return arrays["z"]

    assert np.array_equal(samples(), samples())
    assert not np.array_equal(samples(), samples("seed=1"))


def test_every_task_of_a_multirun_is_checked_before_the_first(command, finished, capsys):
    with pytest.raises(SystemExit, match=r"task.count must be a whole number, 1 or more, got 0"):
        command("-m", f"run={finished}", "task=sample", "task.count=2,0")
    with pytest.raises(SystemExit, match="run=nowhere: no such folder"):
        command("-m", f"run={finished},nowhere", "task=sample")
    assert "sample of" not in capsys.readouterr().out


def test_a_multirun_over_tasks(command, run):
    folder = run()
    command("-m", f"run={folder}", "task=traverse,interpolate")
    assert {task.partition("/")[0] for task in tasks_of(folder)} == {"traverse", "interpolate"}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["task=sample"], "run must be given"),
        (["task=sample", "run=nowhere"], "run=nowhere: no such folder"),
        (["task=compare", "run=whole", "task.other=[A,B]"], "task.other"),
        (["task=compare", "run=whole", "task.other=whole/checkpoints/best.ckpt"], "no such checkpoint"),
        (["task=explore", "run=whole", "task.other=A"], "A/checkpoints/best.ckpt: no such checkpoint"),
        (["task=sample", "run=empty"], "run=empty holds no checkpoints/best.ckpt"),
        (["task=sample", "run=foreign"], "was not written by this program"),
        (["task=sample", "run=cut"], "is no checkpoint, or is cut short"),
        (["run=cut"], "task must be given: task=NAME, one of anomaly, compare,"),
        (["task=dance", "run=cut"], "task=dance: there is no such choice; did you mean task=diagnose"),
        (["task=sample", "run=cut", "checkpoint=first"], "checkpoint must be best or last"),
        (["task=sample", "run=cut", "device=tpu"], "device must be auto, cpu or cuda"),
        (["task=sample", "run=cut", "seed=-1"], "seed must be from 0"),
        (["task=sample", "run=cut", "name=a/b"], "name=a/b can't name a folder"),
        (
            ["task=sample", "run=cut", "task.size=3"],
            "there is no option task.size; task has compare, count, files",
        ),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(command, finished, tmp_path, capsys, words, message):
    for name, content in (("empty", None), ("foreign", {"a": 1}), ("cut", None)):
        (tmp_path / name / "checkpoints").mkdir(parents=True)
        if content:
            torch.save(content, tmp_path / name / "checkpoints" / "best.ckpt")
    whole = (finished / "checkpoints" / "best.ckpt").read_bytes()
    (tmp_path / "cut" / "checkpoints" / "best.ckpt").write_bytes(whole[: len(whole) // 2])
    shutil.copytree(finished, tmp_path / "whole", ignore=shutil.ignore_patterns("tasks"))
    before = set(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as stop:
        command(*words)
    said = capsys.readouterr().err if not isinstance(stop.value.code, str) else stop.value.code
    assert message in said
    assert "Traceback" not in said
    assert set(tmp_path.rglob("*")) == before


def test_the_working_directory_of_hydra(command, run, tmp_path):
    folder = run()
    command("-m", "run=run", "task=sample", *QUICK, "hydra.job.chdir=true")
    assert tasks_of(folder) == {path for path in tasks_of(folder) if path.startswith("sample/")} != set()


def test_a_configuration_of_another_command(command, finished):
    with pytest.raises(SystemExit, match="--config-name=train is not for this command, since it lacks run, task"):
        command("--config-name=train")


def test_a_name_that_is_taken_is_refused(applied, finished):
    applied(finished, "task=sample", "name=taken", *QUICK)
    with pytest.raises(UserError, match="is there already: give another name"):
        applied(finished, "task=sample", "name=taken", *QUICK)


def test_images_that_lie_elsewhere_now(applied, run, small, tmp_path):
    path = Path(next(option for option in small if option.startswith("data.path=")).partition("=")[2])
    away = shutil.copy(path, tmp_path / "away.npz")
    trained = run(f"data.path={away}")
    Path(away).unlink()
    with pytest.raises(UserError, match=r"data.path=.*away.npz: no such file"):
        applied(trained, "task=evaluate", "task.samples=0")
    assert not (trained / "tasks").exists()
    numbers, _ = applied(trained, "task=evaluate", "task.samples=0", f"data.path={path}")
    tested = json.loads((trained / "metrics.json").read_text())
    assert numbers["elbo"] == pytest.approx(tested["test/elbo"], rel=1e-6)


def test_a_failure_leaves_nothing(applied, finished, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("src.run.record.write_json", full)
    before = tasks_of(finished)
    with pytest.raises(OSError, match="No space"):
        applied(finished, "task=sample", *QUICK)
    assert tasks_of(finished) == before


def test_numbers_and_pictures_go_to_the_runs_own_wandb_run(applied, run, tmp_path, caplog, capfd, monkeypatch):
    monkeypatch.delenv("WANDB_SILENT")
    caplog.set_level("INFO", "src.run.tracking")
    trained = run("logger=wandb")
    applied(trained, "task=sample", *QUICK)
    said = [each.getMessage() for each in caplog.records if each.name == "src.run.tracking"]
    assert said == ["W&B record (no account needed; logger=csv turns it off): outputs/wandb"]
    assert "wandb" not in capfd.readouterr().err
    wandb = [str(Path(sys.executable).with_name("wandb")), "leet", "inspect", "--json"]
    told = [
        subprocess.run([*wandb, str(path)], capture_output=True, text=True, check=True).stdout
        for path in sorted(tmp_path.glob("outputs/wandb/offline-run-*/*.wandb"))
    ]
    assert len(told) == 2
    first, second = (re.search(r'"run_id":"(\w+)"', text)[1] for text in told)
    assert first == second
    assert "sample/samples" in told[1]
    assert "sample/samples" not in told[0]


def test_the_documentation_has_a_line_for_every_task():
    assert {re.search(r"task=(\w+)", line)[1] for line in LINES} == set(TASKS)


def small_options(line: str) -> list[str]:
    """The options of a documented command, on fewer images."""
    words = [*project.arguments(line, "src.apply"), *SMALL.get(re.search(r"task=(\w+)", line)[1], [])]
    return list({word.partition("=")[0]: word for word in words}.values())


# of lines that are the same on fewer images, one
@pytest.mark.parametrize("options", list(dict.fromkeys(map(" ".join, map(small_options, LINES)))))
def test_documented_command(command, watched, tmp_path, options):
    for name in ("my_images", "other_images"):
        (tmp_path / name).mkdir()
        Image.fromarray(np.eye(40, dtype=np.uint8) * 255).save(tmp_path / name / "mine.png")
    words = options.split(" ")
    for name, folder in (watched | {"mine": watched["RUN"]}).items():
        words = [word.replace(f"outputs/runs/{name}", str(folder)) for word in words]
    before = {name: set(folder.glob("tasks/*/*/metrics.json")) for name, folder in watched.items()}
    command(*words)
    new = {name: set(folder.glob("tasks/*/*/metrics.json")) - before[name] for name, folder in watched.items()}
    assert len(new["RUN"]) >= 1
    assert bool(new["OTHER"]) == ("-m" in words)


@pytest.mark.parametrize(
    "words", [["--help"], ["sample", "--help"], ["task=sample"], ["run=nowhere", "task=sample"]], ids=" ".join
)
def test_the_command_answers_before_anything_heavy_is_imported(words, tmp_path):
    assert not packages_imported("apply", tmp_path, *words) & HEAVY


def test_a_loaded_vae_serves_in_three_lines(finished):
    vae = build.load(finished)
    images = vae.sample(5)
    assert images.shape == vae.reconstruct(images).shape == (5, 1, 28, 28)
    assert vae.embed(images).shape == (5, 3)
    assert not vae.reconstruct(images).requires_grad
    assert vae.encode(images).mean.numpy().shape == (5, 3)
    assert vae.decode(vae.prior().sample((5,))).mean.numpy().shape == (5, 1, 28, 28)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: 255 * x, r"levels from 0 to .*: x / 255"),
        (lambda x: 2 * x - 1, r"levels from -1 to .*: \(x \+ 1\) / 2"),
        (lambda x: x - 0.5, r"levels from -0.5"),
        (lambda x: (x - 0.1307) / 0.3081, "levels from -0.42"),
        (lambda x: x * 16, r"levels from 0 to 16: x / 16, if that is white"),
        (lambda x: 1.2 * x - 0.1, r"levels from -0.1 to 1.1: .* use x.clamp\(0, 1\)"),
        (lambda x: x * torch.nan, "levels from nan"),
        (lambda x: (255 * x).byte(), "got torch.uint8: divide levels of 0 to 255 by 255"),
        (lambda x: (255 * x).long(), "got torch.int64"),
        (lambda x: x > 0.5, "got torch.bool"),
    ],
)
def test_codes_are_of_floats_from_0_to_1(finished, change, words):
    run = build.open_run(finished)
    x = torch.from_numpy(run.data.source.test.images[:5]).float()
    x = x / x.max()
    assert run.vae.embed(x).shape == (5, 3)
    assert run.vae.embed(x + 1e-5).shape == (5, 3)
    assert run.vae.embed(x[:0]).shape == (0, 3)
    for use in (run.vae.embed, run.vae.reconstruct):
        with pytest.raises(ValueError, match=words):
            use(change(x))
