"""Command lines with generated values of every option of the commands."""

import random
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import yaml

from src.config.options import CONF
from src.config.trainer_options import FIXED, SET, Trainer


def words(text: str) -> list[str]:
    """The words of a text."""
    return text.split()


NUMBERS = words("""
-1 0 1 2 3 -0.0 0.5 1.5 1e-320 1e400 nan .inf -inf 999999999999999999999 1e9 4 7 50 300 1000 20000
2147483648 100000000 10000000 1_000 0x10 010 1e-3 -2.5 true false null
""")
LISTS = words("""
[] [1] [0] [-1] [1,[2]] [nan] [a] [null] [1,2,3] [1e9] {} {a:1} {1:{2:3}} [10000000]
{_target_:builtins.print} [{a:1}] 1,2 range(3) [[3,4]]
""")
LISTS += ["[" + "1," * 300 + "1]"]
TEXTS = words("""
'' é 日本語 🙂 a=b ' # %s & * ~ !x --help ${nothing} ${beta} ${oc.env:HOME} ${oc.env:NO_SUCH_VARIABLE} ${
${eval:1} ${now:%Y} ??? ../../x /proc/version / . /proc/self/mem nowhere/x auto none ${.} ${oc.decode:1}
""")
TEXTS += [
    "",
    "' '",
    "\u202e",
    "a b",
    "a\nb",
    "\t",
    '"',
    "\\",
    "a\\",
    "$(touch hacked)",
    "`touch hacked`",
    "; touch hacked",
    "| cat",
    "\udcff",
]
TEXTS += ["x" * 300, "x" * 100_000]
SPACES = words("""
interval(nan,1) interval(1,1) interval(2,1) interval(0,inf) range(0,0) range(1,2) choice() choice(1)
choice(1,1) choice(1,a) tag(log,interval(0,1)) tag(log,choice(1,2)) tag(x,interval(0,1))
int(interval(0.2,0.4)) range(1,1000000000000) range(1,2,0) interval(1,2) shuffle(1,2) sort(2,1) glob(*)
interval(a,b) interval(1) range(-5,-1) choice([1],[2]) choice(${beta},1) range(1.5,2)
interval(1e-320,1e-319) interval(-1e308,1e308) int(interval(0,3))
""")
SPACES += [f"choice({','.join(map(str, range(3000)))})"]
VALUES = [*NUMBERS, *LISTS, *TEXTS]
NEED_NETWORK = ("mnist", "fashion_mnist", "kmnist", "emnist", "qmnist")


class Case(NamedTuple):
    """A command line: the command, and its arguments, of which `option` is the one with a generated value."""

    command: str
    option: str
    arguments: list[str]


class Option(NamedTuple):
    """An option: its name, the overrides that must be given with it, and whether its value is a number."""

    name: str
    choices: tuple[str, ...] = ()
    is_number: bool = False


class Ground(NamedTuple):
    """What commands are run on: a file of images, and a run that is finished."""

    images: Path
    run: Path


def leaves(node: dict, within: str = "") -> Iterator[tuple[str, object]]:
    """The options of a node of a configuration with their values, those of its parts too."""
    for name, value in node.items():
        if not str(name).startswith("_") and name != "defaults":
            yield f"{within}{name}", value
            if isinstance(value, dict):
                yield from leaves(value, f"{within}{name}.")


def options_of_groups(groups: list[str]) -> list[Option]:
    """Each option of each choice of these groups."""
    files = [path for group in groups for path in sorted(Path(CONF, group).glob("*.yaml"))]
    return [
        Option(option, (f"{path.parent.name}={path.stem}",), isinstance(value, int | float))
        for path in files
        if path.stem not in NEED_NETWORK
        for option, value in leaves(yaml.safe_load(path.read_text()) or {}, f"{path.parent.name}.")
    ]


def tiny(ground: Ground, option: str, choices: tuple[str, ...] = ()) -> list[str]:
    """The arguments of a training that takes a second, without those that would hide `option`."""
    given = {"data": "npz", "data.path": ground.images, "model.encoder.hidden": "[8]", "trainer.max_epochs": "1"}
    given |= {
        "+trainer.limit_train_batches": "1",
        "trainer.accelerator": "cpu",
        "latent_dim": "2",
        "data.batch_size": "8",
    }
    given |= {"logger": "csv", "callbacks": "none"}
    if "model=conv" in choices:
        given |= {"model.encoder.channels": "[2,2]"}
    names = {option.lstrip("+"), *(choice.partition("=")[0] for choice in choices)}
    if "data" in names and "data=npz" not in choices:
        del given["data.path"]
    return [f"{name}={value}" for name, value in given.items() if name.lstrip("+") not in names]


def training_options() -> list[Option]:
    """Each option of src.train."""
    groups = sorted(path.name for path in Path(CONF).iterdir() if path.is_dir() and path.name not in ("hydra", "task"))
    parts = [group for group in groups if group not in ("experiment", "sweep")]
    made = [Option(name, (), True) for name in ("latent_dim", "beta", "seed")]
    texts = ["ckpt_path", "sweep_name", "title", *groups, "+no_such_option", "+logger.mine", "+callbacks.mine"]
    texts += [
        f"hydra.{name}"
        for name in ("run.dir", "job.chdir", "verbose", "output_subdir", "sweep.dir", "mode", "job.name")
    ]
    texts += [f"{part}._target_" for part in ("posterior", "prior", "likelihood", "objective", "model.encoder")]
    made += [Option(name) for name in texts]
    trainer = {*Trainer.__annotations__, *SET, *FIXED, "max_time"}
    own = {"max_epochs", "accelerator", "devices", "precision", "ema", "gradient_clip_val", "log_every_n_steps"}
    own |= {"enable_model_summary", "use_distributed_sampler"}
    made += [Option(f"+trainer.{name}", (), True) for name in sorted(trainer - own)]
    return made + options_of_groups(parts)


def case(command: str, ground: Ground, option: Option, value: str) -> Case:
    """The command line in which `option` has a value."""
    word, fixed = f"{option.name}={value}", list(option.choices)
    if command == "train":
        fixed += tiny(ground, option.name, option.choices)
    elif command == "apply":
        fixed += [] if option.name == "run" else [f"run={ground.run}"]
        fixed += [] if option.choices or option.name == "task" else ["task=traverse"]
        if "task=synthesize" in option.choices and option.name != "task.judge":
            fixed += ["task.judge=false"]  # which takes many minutes
    elif command == "search":
        given = {"name": "first", "trials": "1"} | ({} if value in SPACES else {"beta": "interval(1,2)"})
        fixed = [*(f"{name}={each}" for name, each in given.items() if name != option.name), *tiny(ground, option.name)]
    elif option.name:
        fixed = [str(ground.run)]
    else:
        word = value
    return Case(command, option.name, [*fixed, word])


def cases(ground: Ground, seed: int, each: int) -> list[Case]:
    """Command lines with `each` values of every option of the commands, and every space of a search."""
    draw = random.Random(seed)
    tasks = [Option(name) for name in ("run", "task", "checkpoint", "name", "data.root", "data.path", "device", "seed")]
    searches = ("name", "trials", "metric", "direction", "pruner", "startup", "warmup")
    options = {
        "train": training_options(),
        "apply": [*tasks, *options_of_groups(["task"])],
        "search": [Option(name, (), name in ("trials", "startup", "warmup")) for name in searches],
        "report": [Option(name) for name in ("", "--out", "--csv") * 14],
    }
    made = []
    for command, named in options.items():
        for option in named:
            values = draw.sample(VALUES, each)
            if option.is_number:
                values[0] = draw.choice(NUMBERS)
            made += [case(command, ground, option, value) for value in values]
    spaced = ("beta", "latent_dim", "seed", "model", "+trainer.ema", "optimizer.lr")
    return made + [case("search", ground, Option(draw.choice(spaced)), space) for space in SPACES]
