"""Generated values of options: a command accepts each and ends well, or refuses it in one line and leaves nothing."""

import io
from collections import Counter
from contextlib import redirect_stdout

import numpy as np
import pytest

from tests.helpers.command_lines import Outcome, problems, run_case
from tests.helpers.images import blobs
from tests.helpers.option_values import Case, Ground, Option, case, cases
from tests.helpers.runs import train_run

# values that were answered by a traceback, by several lines or never, or that left a run's folder
ONCE = [
    ("train", "objective", "[null]"),
    ("train", "experiment", "[[3,4]]"),
    ("train", "likelihood", "a\nb"),
    ("train", "optimizer", "1.5"),
    ("train", "beta", "x" * 100_000),
    ("train", "hydra.verbose", "-inf"),
    ("train", "hydra.job.name", "/dev/null"),
    ("train", "hydra.run.dir", "x" * 300),
    ("train", "+trainer.limit_test_batches", "a\nb"),
    ("train", "+trainer.num_nodes", "3"),
    ("train", "trainer.devices", "10000000"),
    ("train", "data.name", "x" * 100_000),
    ("train", "title", "a\x1bb"),
    ("train", "model.decoder", "${oc.decode:1}"),
    ("train", "posterior.latent_dim", "1"),
    ("train", "+trainer.max_steps", "null"),
    ("apply", "task", "[1,2]"),
    ("apply", "checkpoint", "\u202e\t"),
    ("search", "beta", "range(1,1000000000000)"),
    ("search", "beta", "range(1,2,0)"),
    ("search", "beta", "interval(0,inf)"),
    ("search", "beta", "interval(a,b)"),
    ("search", "model", "choice([1],[2])"),
    ("report", "--csv", "/"),
    ("report", "--out", ""),
    ("report", "--out", "/proc/version"),
    ("report", "--csv", "nowhere/x.csv"),
]


@pytest.fixture(scope="module")
def ground(tmp_path_factory: pytest.TempPathFactory) -> Ground:
    """A file of images, and a run that has learned something of them."""
    folder = tmp_path_factory.mktemp("ground")
    images = folder / "blobs.npz"
    np.savez(images, **dict(zip(("images", "labels"), blobs(200, 0), strict=True)))
    options = [
        "data=npz",
        f"data.path={images}",
        "trainer.max_epochs=20",
        "model.encoder.hidden=[64]",
        "model.decoder.hidden=[64]",
        "trainer.accelerator=cpu",
        "logger=csv",
    ]
    with redirect_stdout(io.StringIO()):
        run = train_run([*options, "latent_dim=2", "callbacks=none"], folder / "run")
    return Ground(images, run)


def kind(made: Case, end: Outcome) -> str:
    """How a command ended, for the table of counts."""
    later = end.heavy or any(path.endswith("status.json") for path in end.left)
    return "accepted" if end.code == 0 else "refused later" if later else "refused at composition"


@pytest.mark.parametrize(("command", "option", "value"), ONCE, ids=[" ".join(each)[:40] for each in ONCE])
def test_a_value_that_was_answered_badly_once_is_refused_in_one_line(ground, tmp_path, command, option, value):
    made = case(command, ground, Option(option), value)
    end = run_case(made, tmp_path / "case", imports=False)
    assert not problems(made, end), end
    assert end.code
    assert not end.left or option == "hydra.job.name"  # Hydra has made the folder of the run by then


def test_generated_values_are_accepted_or_refused_in_one_line(ground, tmp_path):
    """A few of the long form's, in forks of this process."""
    some = cases(ground, seed=7, each=1)[::7]
    ends = [run_case(made, tmp_path / str(i), imports=False) for i, made in enumerate(some)]
    assert not [(made, found) for made, end in zip(some, ends, strict=True) if (found := problems(made, end))]
    assert {made.command for made in some} == {"train", "apply", "search", "report"}


@pytest.mark.slow
def test_three_hundred_generated_values_in_processes_of_their_own(ground, tmp_path, capsys):
    some = cases(ground, seed=11, each=1)
    assert len(some) > 300
    ends = [run_case(made, tmp_path / str(i), imports=True) for i, made in enumerate(some)]
    counts = Counter((made.command, kind(made, end)) for made, end in zip(some, ends, strict=True))
    seconds = [end.seconds for made, end in zip(some, ends, strict=True) if kind(made, end).endswith("composition")]
    with capsys.disabled():
        print("\n".join(f"{command:<8}{how:<24}{count:>5}" for (command, how), count in sorted(counts.items())))
        print(f"refused at composition in {np.median(seconds):.2f} s of CPU time, at most {max(seconds):.2f}")
    assert not [(made, found) for made, end in zip(some, ends, strict=True) if (found := problems(made, end))]
