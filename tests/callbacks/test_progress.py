"""How a training is followed: its console from the first line to the last, on a terminal and in a file."""

import logging
import re
import shlex
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from hydra.core.global_hydra import GlobalHydra

from callbacks.progress import LINES, number_text, stride
from src import apply, train
from src.support.console import duration
from tests.helpers.runs import rows
from tests.helpers.terminals import terminal

WATCHED = ["callbacks=default", "callbacks.recorder=null", "callbacks.pictures=null"]
QUICK = [*WATCHED, "model.encoder.hidden=[8]", "model.decoder.hidden=[8]", "+trainer.limit_train_batches=2"]
EPOCH = re.compile(r"^ +(\d+) +-?[\d.e+]+ +-?[\d.e+]+ +-?[\d.e+]+ +-?[\d.e+]+ +\d+/3")


@pytest.fixture
def command(small, monkeypatch):
    """command("beta=4", ...): python -m src.train in this process, with the options of `small` and QUICK."""

    def start(*words: str, module=train) -> None:
        GlobalHydra.instance().clear()
        names = {word.partition("=")[0] for word in words}
        options = [word for word in [*small, *QUICK] if word.partition("=")[0] not in names and module is train]
        resumes = any(word.startswith("ckpt_path=") for word in words)
        with monkeypatch.context() as patch:
            patch.setattr(sys, "argv", [module.__name__, *([] if resumes else dict.fromkeys(options)), *words])
            module.main()

    yield start
    for handler in logging.getLogger().handlers[:]:  # of Hydra's, which write to a stream that is closed
        if type(handler).__module__ != "_pytest.logging":
            logging.getLogger().removeHandler(handler)


def epochs(lines: list[str]) -> list[int]:
    """The epochs that have a line."""
    return [int(match[1]) for match in map(EPOCH.match, lines) if match]


def test_a_file_gets_whole_lines_and_no_bar(command, capfd):
    command("hydra.run.dir=a run", "beta=4")
    said = capfd.readouterr()
    assert not re.search(r"[\r\x1b]|% \|", said.out + said.err)
    lines = said.out.splitlines()
    assert lines[0] == "mlp d=3 beta=4.0 on blobs"
    assert re.fullmatch(r"  model   [\d,]+ parameters: encoder [\d,]+, decoder [\d,]+", lines[1])
    assert re.fullmatch(r"  data    \w+: \d+ training, \d+ validation, \d+ test images", lines[2])
    assert lines[3].startswith("          410 images of 28 x 28, 4 classes: 0 103")
    assert lines[4].startswith("          no splits in it: 80 % of each class train")
    assert lines[5].startswith("  images  28x28, binary")
    assert lines[6:9] == ["  steps   32 images each, 2 epochs", "  device  cpu, precision 32-true", "  folder  a run"]
    assert "loss: objective=elbo, beta=4; ELBO = -(recon + KL)" in lines
    assert epochs(lines) == [0, 1, 2]
    assert next(line for line in lines if line.startswith(" epoch")).endswith("seconds          left")
    assert [bool(re.search(r" \d+ s$", line)) for line in lines if EPOCH.match(line)] == [False, True, False]
    assert [line for line in lines if re.fullmatch(r"trained in .*; drawing and testing follow", line)]
    assert not [line for line in lines if re.match(r"\[\d{4}-", line)]
    measured = rows(Path("a run"))
    for line, row in zip(filter(EPOCH.match, lines), measured, strict=True):
        _, loss, elbo, recon, kl, *_ = line.split()
        assert [loss, elbo, recon, kl] == [f"{float(row[f'val/{k}']):.2f}" for k in ("loss", "elbo", "recon", "kl")]
    assert re.search(r"^  validation +[\d.]+ +-[\d.]+ ± [\d.]+ +[\d.]+ +[\d.]+ +\d$", said.out, flags=re.MULTILINE)
    assert any(line.startswith("warning: ") for line in lines)
    log = Path("a run/train.log").read_text()
    assert re.search(r"^\[\d{4}-\d\d-\d\d [\d:,]+\]\[callbacks.progress\]\[INFO\] - +2 ", log, flags=re.MULTILINE)


def test_the_commands_at_the_end_run(command, capfd):
    """In a folder whose name a shell and Hydra would both take apart."""
    command("hydra.run.dir='my runs/a=b'")
    next_ones = [line.partition(": ")[2] for line in capfd.readouterr().out.splitlines() if line.startswith("next: ")]
    assert len(next_ones) == 2
    few = {"evaluate": ["task.samples=2", "task.tight_images=0", "task.sample_quality=false"]}
    few |= {"sample": ["task.compare=false", "task.count=4"], "diagnose": ["task.count=4", "task.samples=2"]}
    for line in next_ones:
        python, flag, module, *words = shlex.split(line)
        assert (python, flag, module) == ("python", "-m", "src.apply")
        task = words[-1].removeprefix("task=")
        small = [*few[task], *(["task.steps=2", "task.simulations=100"] if task == "diagnose" else [])]
        command(*words, *small, module=apply)
        assert Path("my runs/a=b/tasks", task, "latest/metrics.json").is_file()


@pytest.mark.parametrize("columns", [60, 80, 120])
def test_a_terminal_has_one_bar_below_lines_that_stay(command, monkeypatch, columns):
    with terminal(monkeypatch, columns) as screen:
        command("hydra.run.dir=a", "trainer.max_epochs=3", "callbacks.progress.refresh_rate=1000")
    shown = [line for line in screen.screen if line]
    assert epochs(shown) == [0, 1, 2, 3]
    assert "% |" not in "".join(shown)  # no bar is left
    bars = re.findall(r"(\d+)% \|[^|]*\| epoch (\d) of 3, (\S+) left", screen.text)
    assert {int(epoch) for _, epoch, _ in bars} == {1, 2, 3}
    shares = [int(share) for share, *_ in bars]
    assert shares == sorted(shares)
    assert shares[-1] == 100


def test_the_bar_of_a_resumed_run_begins_where_it_was(command, monkeypatch):
    command("hydra.run.dir=a", "trainer.max_epochs=3")
    with terminal(monkeypatch) as screen:
        command("ckpt_path=a/checkpoints/last.ckpt", "trainer.max_epochs=4")
    assert "  steps   32 images each, 4 epochs, of which 3 are done" in screen.screen
    shares = [int(share) for share in re.findall(r"(\d+)% \|", screen.text)]
    assert shares[0] == 75
    assert epochs(screen.screen) == [4]


def test_a_file_says_how_long_the_training_still_takes(command, capfd, monkeypatch):
    """A resumed run counts its own epochs; with patience it may end earlier."""
    command("hydra.run.dir=a", "trainer.max_epochs=2", "trainer.patience=9", "lr_schedule=constant")
    capfd.readouterr()
    minutes = iter([0, 10, 20, 31])  # at the start, after two epochs, at the end
    monkeypatch.setattr("callbacks.progress.time", SimpleNamespace(perf_counter=lambda: 60 * next(minutes)))
    command("ckpt_path=a/checkpoints/last.ckpt", "trainer.max_epochs=5")
    lines = [line for line in capfd.readouterr().out.splitlines() if EPOCH.match(line) or line.startswith(" epoch")]
    assert [line[64:].strip() for line in lines] == ["at most left", "20 min", "10 min", ""]  # 10 min each


def test_a_terminal_that_can_t_draw_gets_no_bar(command, monkeypatch):
    with terminal(monkeypatch) as screen:
        monkeypatch.setenv("TERM", "dumb")
        command("hydra.run.dir=a")
    assert not re.search(r"% \||\x1b", screen.text)
    assert epochs(screen.screen) == [0, 1, 2]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (41, "41 s"), (200, "3 min 20 s"), (720, "12 min"), (3599.9, "1 h 0 min"), (7500, "2 h 5 min")],
)
def test_a_duration_in_words(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"), [(-99.5, "-99.50"), (-12345.678, "-12345.68"), (-124820.49, "-124820.5"), (-2e6, "-2.00e+06")]
)
def test_a_number_leaves_a_space_before_its_column(value, text):
    assert number_text(value) == text
    assert len(text) < 10


@pytest.mark.parametrize("count", [1, 2, 29, 30, 31, 60, 61, 100, 299, 1000, 12345])
def test_the_lines_of_a_long_run_are_few_and_evenly_spaced(count):
    step = stride(count)
    assert count // step <= LINES
    assert step == 1 or count / step > LINES / 2.5
    assert str(step).strip("0") in ("1", "2", "5")


def test_the_last_epoch_has_a_line_wherever_it_is(command, monkeypatch):
    stuck = ["optimizer.lr=0", "lr_schedule=constant", "trainer.patience=3", "trainer.max_epochs=90"]
    with terminal(monkeypatch, 100) as screen:
        command("hydra.run.dir=a", *stuck)
    assert epochs(screen.screen) == [0, 1, 4]
    assert "a line for every 5 epochs: validation images, nats per image" in screen.screen
    assert re.search(r"epoch 2 of 90, at most \S+ left", screen.text)
    after = screen.screen.index(next(line for line in screen.screen if EPOCH.match(line) and epochs([line]) == [4]))
    assert [line for line in screen.screen[after + 1 :] if line.startswith("stopped after epoch 4: no lower val")]


@pytest.mark.parametrize(
    ("words", "loss", "scheduled"),
    [
        (["objective=iwae", "objective.samples=2"], "loss: objective=iwae; ELBO = -(recon + KL)", None),
        (
            ["objective=capacity", "schedule=linear", "schedule.length=2"],
            "loss: objective=capacity, capacity=25; ELBO = -(recon + KL)",
            "capacity",
        ),
        (["schedule=linear", "beta=2"], "loss: objective=elbo, beta=2; ELBO = -(recon + KL)", "beta"),
    ],
)
def test_the_loss_is_named_and_never_taken_for_the_elbo(command, capfd, words, loss, scheduled):
    command("hydra.run.dir=a", *words)
    lines = capfd.readouterr().out.splitlines()
    assert loss in lines
    header = next(line for line in lines if line.startswith(" epoch")).split()
    assert header == ["epoch", "loss", "ELBO", "recon", "KL", "active", *filter(None, [scheduled]), "seconds", "left"]
    for line, row in zip(filter(EPOCH.match, lines), rows(Path("a")), strict=True):
        cells = dict(zip(header, line.split(), strict=False))
        assert float(cells["ELBO"]) == pytest.approx(-float(cells["recon"]) - float(cells["KL"]), abs=0.02)
        assert cells["loss"] == f"{float(row['val/loss']):.2f}"
        if scheduled:
            assert float(cells[scheduled]) == pytest.approx(float(row[scheduled]), rel=1e-2)
