"""Sweeps are planned, kept apart from what goes wrong, and continued where they stopped."""

import io
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import hydra
import pytest
import yaml
from hydra.core.global_hydra import GlobalHydra
from tqdm import tqdm

from src import train
from src.run import record, status
from src.support.errors import UserError
from src.sweeps import jobs as sweeps
from src.sweeps import processes
from src.training.module import VAEModule
from tests.conftest import CONF
from tests.test_cli import LINES
from tests.training.test_module import weights

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def sweep(small, monkeypatch) -> Callable[..., int]:
    """sweep("beta=1,4", ...): python -m src.train -m in this process, its jobs in copies of it; the exit code."""

    def start(*words: str) -> int:
        GlobalHydra.instance().clear()
        names = {word.partition("=")[0] for word in words}
        options = [word for word in small if word.partition("=")[0] not in names]
        monkeypatch.setattr(sys, "argv", ["train.py", "-m", *options, *words])
        try:
            train.main()
        except SystemExit as stop:
            return stop.code
        return 0

    return start


@pytest.fixture
def background(small, tmp_path):
    """background("beta=1,4", ...): the same in a process of its own, with what it says in the file `log`."""
    started = []

    def start(*words: str) -> subprocess.Popen:
        names = {word.partition("=")[0] for word in words}
        options = [word for word in small if word.partition("=")[0] not in names]
        env = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "src.train", "-m", *options, *words]
        # a shell's background job ignores Ctrl-C, and so would its children
        heed = partial(signal.signal, signal.SIGINT, signal.default_int_handler)
        with (tmp_path / "log").open("w") as log:
            started.append(subprocess.Popen(command, env=env, stdout=log, stderr=log, preexec_fn=heed))
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.wait()


def until(there: Callable[[], object], log: Path) -> None:
    """Waits until something is there."""
    deadline = time.monotonic() + 120
    while not there():
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.05)


def numbers(run: Path) -> dict:
    """What a run measured, of each epoch and at its end, without what the clock says."""
    clock = ("seconds", "images_per_second", "training_seconds")
    rows = [json.loads((run / "metrics.json").read_text()), *record.epochs(run)]
    return {i: {name: value for name, value in row.items() if name not in clock} for i, row in enumerate(rows)}


def assert_same(one: Path, other: Path, jobs: str) -> None:
    """The jobs of two sweeps have the same numbers and weights, bit by bit."""
    for job in jobs:
        assert numbers(one / job) == numbers(other / job)
        for name, weight in weights(one / job).items():
            assert (weight == weights(other / job)[name]).all()


def times(folder: Path) -> dict[str, int]:
    """When each file and folder was last changed."""
    return {str(path): path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}


def test_a_changed_grid_adds_jobs_and_touches_no_other(sweep):
    assert sweep("beta=4,1", "sweep_name=a") == 0
    folder = Path("outputs/sweeps/a")
    before = times(folder / "0") | times(folder / "1")
    assert sweep("beta=1,2", "sweep_name=a") == 0
    assert times(folder / "0") | times(folder / "1") == before
    assert sorted(path.name for path in folder.iterdir() if path.name.isdigit()) == ["0", "1", "2"]
    betas = [yaml.safe_load((folder / f"{i}" / "config.yaml").read_text())["beta"] for i in range(3)]
    assert betas == [4, 1, 2]
    assert {job["number"] for job in sweeps.known(folder).values() if job["wanted"]} == {1, 2}


def test_seeds_are_swept_and_a_run_says_how_it_stands(sweep):
    assert sweep("sweep=seeds", "sweep_name=seeds", "trainer.max_epochs=1") == 0
    runs = [Path("outputs/sweeps/seeds", str(i)) for i in range(5)]
    assert len({json.loads((run / "metrics.json").read_text())["val/elbo"] for run in runs}) == 5
    told = status.read(runs[3])
    assert told["state"] == "finished"
    assert told["reason"] is None
    assert told["started"] < told["ended"]
    assert "seed=3" in told["overrides"]


def test_what_goes_wrong_is_marked_and_leaves_the_others_alone(sweep, capfd):
    assert sweep("optimizer.lr=1e-3,1e6", "data.shape=[1,28,28],[1,14,14]", "sweep_name=a") == 1
    told = [status.read(Path("outputs/sweeps/a", str(i))) for i in range(4)]
    assert [one["state"] for one in told] == ["finished", "failed", "diverged", "failed"]
    assert told[2]["reason"].startswith("training diverged: val/loss is nan")
    assert told[1]["reason"] == "data.shape=[1, 14, 14], but the images of blobs are [1, 28, 28]"
    said = capfd.readouterr()
    assert "1 of 4 done, 3 failed" in said.out
    assert "Traceback" not in said.out + said.err
    summary = said.out.partition("1 of 4 jobs finished")[2]
    assert "optimizer.lr=0.001 data.shape=[1,14,14]  failed  data.shape=[1, 14, 14], but the images" in summary
    assert ("data.shape=[1,28,28]  finished, but " in summary) == bool(told[0].get("warning"))


def test_a_job_that_is_killed_or_mistaken_is_tried_again(sweep, monkeypatch, capfd):
    def wreck(self) -> None:
        if self.seed == 1 and self.current_epoch == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        if self.seed == 2 and self.current_epoch == 2:
            raise RuntimeError("out of\nluck")

    words = ["seed=1,2,3", "trainer.max_epochs=4"]
    with monkeypatch.context() as patched:
        patched.setattr(VAEModule, "on_train_epoch_end", wreck)
        assert sweep(*words, "sweep_name=a") == 1
    runs = [Path("outputs/sweeps/a", number) for number in "012"]
    assert [status.read(run)["state"] for run in runs] == ["killed", "failed", "finished"]
    assert status.read(runs[1])["reason"] == "RuntimeError: out of"
    assert "0 was killed by signal 9" in capfd.readouterr().out
    before, seconds = times(runs[2]), [record.epochs(run)[1]["seconds"] for run in runs]
    assert sweep(*words, "sweep_name=a") == 0
    assert times(runs[2]) == before
    resumed = [record.epochs(run)[1]["seconds"] == then for run, then in zip(runs, seconds, strict=True)]
    assert resumed == [True, False, True]  # after a mistake it is begun anew
    assert sweep(*words, "sweep_name=whole") == 0
    assert_same(Path("outputs/sweeps/a"), Path("outputs/sweeps/whole"), "012")


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_a_sweep_that_was_killed_ends_like_one_that_was_not(sweep, background, launcher, tmp_path):
    words = ["seed=0,1,2,3", "trainer.max_epochs=30"]
    process = background(*words, f"hydra/launcher={launcher}", "sweep_name=killed")
    folder = tmp_path / "outputs" / "sweeps" / "killed"
    until((folder / "2" / "checkpoints" / "last.ckpt").is_file, tmp_path / "log")
    process.kill()
    process.wait()
    until(lambda: status.read(folder / "2")["state"] == "killed", tmp_path / "log")  # the job ends with its sweep
    before, seconds = times(folder / "0"), record.epochs(folder / "2")[1]["seconds"]
    assert sweep(*words, "sweep_name=killed") == 0
    assert times(folder / "0") == before
    assert record.epochs(folder / "2")[1]["seconds"] == seconds  # resumed, not begun anew
    assert sweep(*words, "sweep_name=whole") == 0
    assert_same(folder, folder.with_name("whole"), "0123")


def test_two_sweeps_of_one_name_are_refused(sweep):
    Path("outputs/sweeps/a").mkdir(parents=True)
    assert processes.lock(Path("outputs/sweeps/a/.lock"))
    try:
        assert "sweep_name=a is running already" in sweep("beta=1,2", "sweep_name=a")
    finally:
        processes.unlock(Path("outputs/sweeps/a/.lock"))
    assert [path.name for path in Path("outputs/sweeps/a").iterdir()] == [".lock"]


def test_a_job_that_another_process_trains_is_left_alone(sweep, monkeypatch, capfd):
    monkeypatch.setattr(sweeps, "PATIENCE", 0)
    run = Path("outputs/sweeps/a/0")
    run.mkdir(parents=True)
    assert processes.lock(run / ".lock")
    handle = processes.HELD.pop(run / ".lock")  # as if it were another's
    try:
        assert sweep("beta=1,2", "sweep_name=a") == 1
    finally:
        os.close(handle)
    assert status.read(run) == {}
    assert "is being trained by another process" in capfd.readouterr().out
    assert status.read(run.with_name("1"))["state"] == "finished"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["beta=1,1.0"], "two jobs are the same: "),
        (["logger=csv,wandb"], "two jobs are the same: "),
        (["sweep_name=a/b"], "sweep_name=a/b can't name a folder"),
        (["beta=interval(0,1)"], "python -m src.search searches a space"),
        (["beta=1,2", "trainer=ddp"], "a sweep trains with one process a run"),
        (["beta=1,2", "trainer.devices=2"], "a sweep trains with one process a run"),
    ],
)
def test_mistakes_are_answered_before_any_job(sweep, words, message):
    assert message in str(sweep(*words))
    assert not list(Path().glob("outputs/sweeps/*/0"))


def test_a_job_whose_checkpoint_is_damaged_fails_and_is_then_begun_anew(sweep):
    assert sweep("beta=1,2", "sweep_name=a") == 0
    run = Path("outputs/sweeps/a/0")
    (run / "metrics.json").unlink()
    status.write(run, status.read(run) | {"state": "interrupted"})
    last = run / "checkpoints" / "last.ckpt"
    last.write_bytes(last.read_bytes()[:1000])
    assert sweep("beta=1,2", "sweep_name=a") == 1
    told = status.read(run)
    assert told["state"] == "failed"
    assert "last.ckpt is no checkpoint, or is cut short" in told["reason"]
    assert sweep("beta=1,2", "sweep_name=a") == 0
    assert (run / "metrics.json").is_file()


def test_a_job_that_can_not_go_on_keeps_its_checkpoint(composed, finished, tmp_path):
    def refuse(*_: object) -> None:
        raise UserError("the weights do not fit")

    run = Path(shutil.copytree(finished, tmp_path / "0"))
    status.write(run, status.read(run) | {"state": "interrupted"})
    for _ in range(2):
        with pytest.raises(UserError):
            sweeps.attempt(composed(), run, [], sweeps.Job("a", []), refuse)
        processes.unlock(run / ".lock")
        told = status.read(run)
        assert (told["state"], told["reason"]) == ("interrupted", "the weights do not fit")
        assert (run / "checkpoints" / "last.ckpt").is_file()


def test_a_job_that_another_process_has_just_finished_is_kept(finished, tmp_path):
    run = Path(shutil.copytree(finished, tmp_path / "0"))
    before = times(run)
    sweeps.attempt(None, run, [], sweeps.Job("a", []), train=None)
    processes.unlock(run / ".lock")
    assert {path: when for path, when in times(run).items() if path in before and path != str(run)} == {
        path: when for path, when in before.items() if path != str(run)
    }


def test_a_sweep_whose_launcher_breaks_off_still_says_how_it_stands(sweep, monkeypatch, capfd):
    def broken(node: dict) -> None:
        raise MemoryError("the launcher's")

    with monkeypatch.context() as patched:
        patched.setattr(sweeps, "load", broken)
        assert sweep("beta=1,2", "sweep_name=a") == 1
    said = capfd.readouterr()
    assert "MemoryError: the launcher's" in said.err
    assert "0 of 2 jobs finished" in said.out
    assert "   1  beta=2  waiting" in said.out
    assert said.out.count("jobs finished") == 1
    assert Path("outputs/sweeps/a/report.html").is_file()
    assert sweep("beta=1,2", "sweep_name=a") == 0


def test_a_folder_that_can_not_be_a_sweeps_is_refused(sweep, capfd):
    Path("outputs/sweeps").mkdir(parents=True)
    Path("outputs/sweeps/a").touch()
    assert "File exists: outputs/sweeps/a" in sweep("beta=1,2", "sweep_name=a")
    assert sweep("beta=1,2", "sweep_name=b") == 0
    Path("outputs/sweeps/b/jobs.json").write_text("{")
    assert "jobs.json is damaged, so the jobs have lost their numbers" in sweep("beta=1,2", "sweep_name=b")
    assert sorted(path.name for path in Path("outputs/sweeps/b").iterdir() if path.name.isdigit()) == ["0", "1"]


def test_a_copy_ends_even_where_nobody_hears_it(monkeypatch, tmp_path):
    class Deaf(io.StringIO):
        def flush(self) -> None:
            raise BrokenPipeError("nobody reads this")

    monkeypatch.setattr(sys, "stdout", Deaf())
    me, said = os.getpid(), []
    try:
        code = processes.apart(lambda: None)
    except BrokenPipeError as error:
        said.append(error)
    finally:
        if os.getpid() != me:  # the copy has escaped
            (tmp_path / "escaped").touch()
            os._exit(0)
    assert not said
    assert code == 0
    assert not (tmp_path / "escaped").exists()


def test_a_copy_shares_no_lock_of_progress_bars(tmp_path):
    def hold() -> None:
        tqdm.get_lock().acquire()
        os.kill(os.getpid(), signal.SIGKILL)

    ours = tqdm.get_lock()  # its copies would have it in common
    assert processes.apart(hold) == -signal.SIGKILL
    assert all(lock.acquire(False) for lock in ours.locks)
    ours.release()


def test_the_progress_of_a_sweep(tmp_path):
    jobs = {str(i): {"number": i, "options": [], "wanted": i < 6} for i in range(7)}
    (tmp_path / "jobs.json").write_text(json.dumps(jobs))
    os.utime(tmp_path / "jobs.json", (0, 0))
    assert sweeps.progress(tmp_path) == "0 of 6 done"
    mine = {"host": "another", "pid": 1, "reason": None, "overrides": []}
    for number, state in enumerate(["finished", "diverged", "running", "finished"]):
        (tmp_path / str(number)).mkdir()
        ended = None if state == "running" else "2026-01-01T00:10:00+00:00"
        told = mine | {"state": state, "started": "2026-01-01T00:00:00+00:00", "ended": ended}
        status.write(tmp_path / str(number), told)
    # two to come, ten minutes each, two at a time; that which runs has taken longer than ten already
    assert sweeps.progress(tmp_path) == "2 of 6 done, 1 failed, 1 running, about 10 min left"


def test_the_status_of_a_process_that_is_gone(tmp_path):
    assert status.read(tmp_path) == {}
    gone = subprocess.run(["sh", "-c", "echo $$"], capture_output=True, text=True, check=True).stdout
    with status.record_status(tmp_path, []):
        told = status.read(tmp_path)
        assert told["state"] == "running"
        status.write(tmp_path, told | {"pid": int(gone)})
        assert status.read(tmp_path)["state"] == "killed"
        status.write(tmp_path, told | {"pid": int(gone), "host": "another"})
        assert status.read(tmp_path)["state"] == "running"
    assert status.read(tmp_path)["state"] == "finished"


def test_a_zombie_is_not_alive():
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)
    assert not status.is_alive(pid)
    os.waitpid(pid, 0)
    assert not status.is_alive(pid)
    assert status.is_alive(os.getpid())


def test_a_training_that_makes_it_worse_has_diverged(run):
    folder = run("+optimizer.maximize=true", "optimizer.lr=1e-4")
    told = status.read(folder)
    assert told["state"] == "diverged"
    assert "is above the untrained model's" in told["reason"]
    assert (folder / "metrics.json").is_file()


def jobs_of(*words: str) -> list:
    """The jobs of a sweep."""
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        swept = [word for word in words if "," in word]
        cfg = hydra.compose("train", [word for word in words if word not in swept], return_hydra_config=True)
        cfg.hydra.job.config_name = "train"
        cfg.hydra.overrides.task.extend(swept)
        return sweeps.composed(cfg)[1]


LAUNCHED = [line for line in LINES if "src.train" in line and (" sweep=" in line or "hydra/launcher=" in line)]


@pytest.mark.parametrize("line", [line for line in LAUNCHED if "beta_latent_model" not in line])
def test_a_sweep_of_the_readme_is_one(line):
    words = shlex.split(line, comments=True)
    assert len(jobs_of(*(word for word in words[words.index("src.train") + 1 :] if word != "-m"))) > 1


def test_the_sweep_of_beta_latent_model_covers_its_grid():
    configs = jobs_of("sweep=beta_latent_model")
    assert len({(cfg.beta, cfg.latent_dim, cfg.model.name) for cfg in configs}) == 18
    assert len(set(map(sweeps.fingerprint, configs))) == 18


def test_the_fingerprint_is_of_what_changes_numbers(composed):
    mnist = sweeps.fingerprint(composed("data=mnist"))
    same = composed("data=mnist", "data.root=elsewhere", "logger=csv", "callbacks=none", "sweep_name=a", "title=b")
    assert sweeps.fingerprint(same) == mnist
    for word in ("seed=1", "beta=2", "data=fashion_mnist", "trainer.max_epochs=3", "model.encoder.hidden=[8]"):
        assert sweeps.fingerprint(composed("data=mnist", word)) != mnist
    one, other = (sweeps.fingerprint(composed("data=npz", f"data.path={name}.npz")) for name in "ab")
    assert one != other


def test_the_sweep_of_wandb_gives_options_of_ours(composed):
    node = yaml.safe_load(Path(CONF, "sweep", "wandb.yaml").read_text())
    assert node["command"][1:4] == ["python", "-m", "src.train"]
    options = [f"{name}={v.get('min') or v['values'][0]}" for name, v in node["parameters"].items()]
    assert composed(*options).optimizer.lr == node["parameters"]["optimizer.lr"]["min"]


@pytest.mark.filterwarnings("ignore:[\\s\\S]*validated against ConfigStore")  # said at pytest's own line
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local", "submitit_slurm"])
def test_launchers_compose(launcher):
    with hydra.initialize_config_dir(CONF, version_base="1.3"):
        cfg = hydra.compose("train", [f"hydra/launcher={launcher}"], return_hydra_config=True)
    launcher = hydra.utils.instantiate(cfg.hydra.launcher, _convert_="all")
    assert type(launcher).__name__.removesuffix("Launcher").lower() in cfg.hydra.runtime.choices["hydra/launcher"]


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["joblib", "submitit_local"])
def test_a_launcher_leaves_what_the_basic_one_does(sweep, background, launcher, tmp_path):
    words = ["optimizer.lr=3e-3,2e-3,-1", "trainer.max_epochs=3"]
    process = background(*words, f"hydra/launcher={launcher}", "sweep_name=a")
    assert process.wait(timeout=300) == 1, (tmp_path / "log").read_text()
    assert sweep(*words, "sweep_name=b") == 1
    for number in "01":
        assert numbers(Path("outputs/sweeps/a", number)) == numbers(Path("outputs/sweeps/b", number))
    assert status.read(Path("outputs/sweeps/a/2"))["reason"] == "optimizer: Invalid learning rate: -1"
    said = (tmp_path / "log").read_text()
    assert "2 of 3 jobs finished" in said
    assert not re.search("Traceback|deprecated", said)


@pytest.mark.slow
@pytest.mark.parametrize("launcher", ["basic", "joblib"])
def test_ctrl_c_says_how_a_sweep_goes_on(background, sweep, launcher, tmp_path):
    words = ["seed=0,1,2", "trainer.max_epochs=30"]
    process = background(*words, f"hydra/launcher={launcher}")
    until(lambda: list(tmp_path.glob("outputs/sweeps/*/1/checkpoints/last.ckpt")), tmp_path / "log")
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 1
    (folder,) = tmp_path.glob("outputs/sweeps/*")
    said = (tmp_path / "log").read_text()
    assert f"trainer.max_epochs=30 hydra/launcher={launcher} sweep_name={folder.name}" in said
    assert "Traceback" not in said
    assert sweep(*words, f"sweep_name={folder.name}") == 0
    assert [status.read(folder / number)["state"] for number in "012"] == ["finished"] * 3
