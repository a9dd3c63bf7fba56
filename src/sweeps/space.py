"""The plan of a search, what it varies and what it optimises, read from the overrides of a command line."""

import math
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_type_hints

import hydra
import yaml
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import ChoiceSweep, Glob, IntervalSweep, Override, RangeSweep
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig

from src.config import trust
from src.config.command_line import in_one_line
from src.config.moved import current_paths
from src.config.options import CONF, MONITORED, check_run
from src.config.overrides import replace_null
from src.config.schema import check_value
from src.run.automatic import settle_if_readable, settle_options
from src.support.errors import UserError, one_line
from src.support.ranges import MAX_COUNT, Count, Whole
from src.support.texts import read_yaml

FUNCTIONS = ("interval", "range", "choice", "tag", "int", "float", "sort", "shuffle")  # with which a space begins
DIRECTIONS = {  # numbers in metrics.json that a search may optimise, none of the test set, with their directions
    **{name: f"{best}imize" for name, best in MONITORED.items() if name.startswith("val/")},
    **dict.fromkeys(("parameters", "training_seconds"), "minimize"),
}


@dataclass
class Plan:
    """The options of a search that are the same for all its trials, which could not be compared otherwise.

    The fields are the keys of SEARCH/search.yaml.

    metric: one of DIRECTIONS, or two of them
    direction: the direction of a single metric; None for the usual one
    pruner: which of optuna's pruners ends trials that are worse than others
    startup: how many trials are drawn at random, and never pruned by the median, before the others learn from them
    warmup: epochs in which the median prunes no trial
    words: overrides of src.train, each with one value or a space of values (the name is the key in the file)
    """

    metric: str | Sequence[str] = "val/elbo"
    direction: Literal["maximize", "minimize"] | None = None
    pruner: Literal["median", "hyperband", "none"] = "median"
    startup: Count = 5
    warmup: Whole = 2
    words: list[str] = field(default_factory=list)

    @property
    def metrics(self) -> list[str]:
        """The metric, or both."""
        return [self.metric] if isinstance(self.metric, str) else list(self.metric)

    @property
    def directions(self) -> list[str]:
        """Whether each metric is to be maximized or minimized."""
        return [self.direction or DIRECTIONS[name] for name in self.metrics]

    @property
    def prunes(self) -> bool:
        """Whether a trial may end early: its metric is measured after each epoch, and is the only one."""
        return self.pruner != "none" and len(self.metrics) == 1 and self.metrics[0].startswith("val/")


class Dimension(NamedTuple):
    """An option and the values it may take.

    method: the method of optuna's Trial that suggests a value; arguments: its arguments after the option's name
    """

    option: str
    method: str
    arguments: dict[str, Any]

    def override(self, value: Any) -> str:
        """OPTION=VALUE, with four digits of a floating-point number, so that the names of runs stay short."""
        return f"{self.option}={value:.4g}" if isinstance(value, float) else f"{self.option}={value}"

    def contains(self, value: Any) -> bool:
        """Whether a value is one of those that the option may take."""
        if choices := self.arguments.get("choices"):
            return value in choices
        return type(value) in (int, float) and self.arguments["low"] <= value <= self.arguments["high"]

    def edges(self) -> list[str]:
        """The overrides with all choices, or with the least and the largest value and, of a continuum, one between.

        Of choices that are whole numbers those two are enough as well: to compose hundreds would take minutes.
        """
        values = self.arguments.get("choices") or [self.arguments[name] for name in ("low", "high")]
        if all(re.fullmatch(r"-?\d{1,18}", str(value)) for value in values):
            values = [min(values, key=int), max(values, key=int)]
        if self.method == "suggest_float" and "step" not in self.arguments:
            values = [*values, values[0] + 0.382 * (values[1] - values[0])]
        return [self.override(value) for value in values]

    def suggest(self, trial: Any) -> str:
        """The override for one of optuna's trials; a trial that was given a value before keeps it."""
        return self.override(getattr(trial, self.method)(self.option, **self.arguments))


def split(overrides: list[str]) -> tuple[list[str], list[Dimension]]:
    """The overrides of a plan that have one value, and the dimensions that the others span.

    The grammar is Hydra's: `choice(a,b)` or `a,b`; `range(2,33)`, without its end; `interval(0.5,8)`,
    `int(interval(2,64))`; `tag(log,interval(0.5,8))` where factors count, not differences. Raises UserError for a space
    without a point.
    """
    parsed = OverridesParser.create().parse_overrides(overrides)
    fixed = [each.input_line for each in parsed if not each.is_sweep_override()]
    return fixed, [dimension(each) for each in parsed if each.is_sweep_override()]


def dimension(override: Override) -> Dimension:
    """The dimension that an override with several values spans."""
    sweep, option, line = override.value(), override.get_key_element(), override.input_line
    if isinstance(sweep, Glob):
        raise UserError(f"{line}: name the choices, {option}=choice(a,b)")
    if unknown := sweep.tags - {"log"}:
        raise UserError(f"{line}: the only tag is log, got {', '.join(sorted(map(str, unknown)))}")
    log = "log" in sweep.tags
    if isinstance(sweep, ChoiceSweep):
        if log:
            raise UserError(f"{line}: choices have no scale; log is for interval and range")
        return Dimension(option, "suggest_categorical", {"choices": list(override.sweep_string_iterator())})
    if isinstance(sweep, IntervalSweep):
        arguments = {"low": sweep.start, "high": sweep.end}
        if not all(map(math.isfinite, arguments.values())):
            raise UserError(f"{line}: both ends of an interval must be finite numbers")
    else:
        low, high = ends_of_range(sweep, line)
        arguments = {"low": low, "high": high, "step": abs(sweep.step)}
    if not arguments["low"] < arguments["high"]:
        raise UserError(f"{line}: the end must be above the start")
    if log:
        if arguments["low"] <= 0 or arguments.pop("step", 1) != 1:
            raise UserError(f"{line}: a log scale begins above 0 and has no step")
        arguments["log"] = True
    is_integer = isinstance(arguments["low"], int)
    return Dimension(option, "suggest_int" if is_integer else "suggest_float", arguments)


def ends_of_range(sweep: RangeSweep, line: str) -> tuple[int | float, int | float]:
    """The least and the largest value of a range. Raises UserError where it has none, or too many."""
    start, stop, step = sweep.start, sweep.stop, sweep.step
    if not step or not all(map(math.isfinite, (start, stop, step))):
        raise UserError(f"{line}: a range has a finite start and end, and a step other than 0")
    count = math.ceil((stop - start) / step)
    if count < 1:
        raise UserError(f"{line}: there is nothing in that range")
    if count > MAX_COUNT:
        raise UserError(
            f"{line}: there are more than {MAX_COUNT} values in that range: give a larger step, or interval"
        )
    return tuple(sorted((start, start + (count - 1) * step)))


def parse_command_line(arguments: list[str]) -> tuple[str, int, Plan | None]:
    """The name of a search, the total number of its trials, and its plan, which is None if no other option is given."""
    own: dict[str, Any] = {"name": None, "trials": 20}
    names = {*own, *(each.name for each in fields(Plan))} - {"words"}
    others = []
    if flags := [argument for argument in arguments if argument.startswith("-")]:
        raise UserError(f"{flags[0]}: a search takes options alone, NAME=VALUE; see --help")
    for override in OverridesParser.create().parse_overrides(replace_null(arguments)):
        if override.key_or_group.startswith("hydra"):
            raise UserError(
                f"{override.input_line}: trials are in outputs/sweeps/NAME/NUMBER; leave hydra's options out"
            )
        if override.get_key_element() not in names:
            others.append(override.input_line)
        elif override.is_sweep_override():
            raise UserError(f"{override.input_line}: this has one value; two metrics are metric=[a,b]")
        else:
            own[override.key_or_group] = override.value()
    name, trials = own.pop("name"), own.pop("trials")
    name = "" if name is None else str(name)
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise UserError(f"name must be given, of letters, digits, _, - and dots: name=first (got {name})")
    if not isinstance(trials, int) or trials < 1:
        raise UserError(f"trials must be a whole number, 1 or more, got {trials}")
    return name, trials, Plan(**own, words=others) if own or others else None


def load_space(path: Path, requested: Plan | None, trusted: Any = None) -> Plan:
    """The plan in a search's file. Raises UserError where another plan is requested, where the file holds no plan, and
    for classes in it that are not this program's, unless the user trusts them or requests the same plan.

    trusted: the option `trust`
    """
    try:
        content = current_paths(read_yaml(path))
        if not isinstance(content, dict) or not isinstance(content.get("words", []), list):
            raise ValueError("it holds no plan")
        plan = Plan(**content)
        if not all(isinstance(each, str) for each in plan.words):
            raise ValueError("its words are no options")
    except (TypeError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{path} is no plan of a search ({one_line(error)[:120]}): give another name") from None
    if requested not in (plan, None):
        now, before = asdict(requested), asdict(plan)
        changed = ", ".join(name for name in before if now[name] != before[name])
        raise UserError(
            f"{path.parent} is another search (its {changed} in {path.name}): to go on with it give name and trials "
            "alone, else another name"
        )
    if requested is None:
        trust.check_overrides(plan.words, str(path), trust.all_names(trusted))
    return plan


def check_plan(plan: Plan) -> DictConfig:
    """The configuration of one of a plan's trials. Raises UserError for a plan that can't work."""
    for name, kind in get_type_hints(Plan, include_extras=True).items():
        check_value(name, getattr(plan, name), kind)
    if unknown := [name for name in plan.metrics if name not in DIRECTIONS]:
        raise UserError(f"metric must be one of {', '.join(DIRECTIONS)}, or two of them, got {unknown[0]}")
    if not 1 <= len(set(plan.metrics)) == len(plan.metrics) <= 2:
        raise UserError(f"metric must be one, or two that differ, got {', '.join(plan.metrics)}")
    if len(plan.metrics) == 2 and plan.direction:
        raise UserError("direction is for one metric; with two each has its own: leave it out")
    return check_edges(plan)


def check_edges(plan: Plan) -> DictConfig:
    """Check the configurations at the edges of each dimension, with the others at their first edge; the last of them.

    Raises UserError where one of them, or the space itself, is not valid.
    """
    fixed, dimensions = split(plan.words)
    names = [override.partition("=")[0] for override in plan.words]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UserError(f"{twice[0]} is given twice")
    if misread := [each for each in fixed if re.match(rf"[^=]*=({'|'.join(FUNCTIONS)})\(", each)]:
        raise UserError(f"{misread[0]}: a space is interval(0.5,8), range(2,33), choice(a,b), of numbers or names")
    if not dimensions:
        raise UserError("there is nothing to search: give an option a space, such as beta=interval(0.5,8)")
    if any(each.option == "condition" for each in dimensions):
        raise UserError("condition can't be searched: log p(x|y) and log p(x) can't be compared; fix it to one choice")
    first = [each.edges()[0] for each in dimensions]
    for i, each in enumerate(dimensions):
        for edge in each.edges():
            try:
                cfg = hydra.compose("train", [*fixed, *first[:i], edge, *first[i + 1 :]])
            except ConfigCompositionException as error:
                raise UserError(in_one_line(error, Path(CONF))) from error
            check_run(cfg)
    if any(each.option.startswith("data") for each in dimensions):  # a trial says so of its images
        settle_if_readable(cfg)
    else:
        settle_options(cfg)
    if given := [name for name in ("ckpt_path", "run_name", "resume", "sweep_name") if cfg[name]]:
        raise UserError(f"a search has a name alone, and goes on by it: leave {given[0]} out")
    strategy = cfg.trainer.get("strategy") not in (None, "auto")
    if cfg.trainer.devices != 1 or strategy or cfg.trainer.get("num_nodes", 1) != 1:
        raise UserError("a search trains with one process a trial: the others would start the whole search again")
    return cfg
