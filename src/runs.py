"""List, choose and delete runs, from their folders alone.

python -m src.runs --where data=mnist --sort elbo
"""

import argparse
import itertools
import os
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from pathlib import Path

from src.reporting import listing, selection
from src.reporting.selection import Condition
from src.run import deletion
from src.run.places import survey
from src.run.status import State
from src.run.summary import KIND, Summary
from src.support.errors import UserError, describe_os_error, printable
from src.support.signals import run_program, stop_on_signals

OUTPUTS = Path("outputs")
EXAMPLES = """
examples:
  python -m src.runs                                    all runs in outputs, the newest first
  python -m src.runs outputs/sweeps/beta --sort elbo    the best first, in groups that can be compared
  python -m src.runs --where data=mnist --where beta=4 --state finished --since 7d
  python -m src.runs --json                             for other programs
  python -m src.apply run=$(python -m src.runs best) task=evaluate
  python -m src.runs delete --state failed --dry-run    what would be deleted
  python -m src.runs delete --older-than 30d            asks first
  python -m src.runs replan outputs/sweeps/beta/3       the sweep trains a deleted job again

python -m src.runs COMMAND --help lists the options of a command; without one, the command is list.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command, and return its exit status.

    It is 0, or 1 with a line about what is missing or was not deleted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = parser().parse_args(words if words[:1] and words[0] in (*COMMANDS, "-h", "--help") else ["list", *words])
    with stop_on_signals():
        try:
            return COMMANDS[options.command](options)
        except (OSError, UserError) as error:
            if isinstance(error, BrokenPipeError):
                raise
            say(describe_os_error(error))
            return 1


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(
        "python -m src.runs",
        description=__doc__.splitlines()[0],
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = made.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, text: str, *parents: argparse.ArgumentParser) -> argparse.ArgumentParser:
        command = commands.add_parser(name, help=text, description=text, parents=parents, allow_abbrev=False)
        command.error = lambda message: command.exit(2, printable(f"{message}; --help lists the options") + "\n")
        return command

    listed = add("list", "a table of runs, or of some of them", selecting())
    listed.add_argument("--sort", choices=selection.ORDERS, default="started", help="the newest, best or largest first")
    listed.add_argument("--reverse", action="store_true", help="the other way round")
    listed.add_argument("--json", action="store_true", help="a list for other programs, instead of the table")
    add("best", "the path of the finished run with the largest validation ELBO", selecting())
    deleted = add("delete", "removes runs that have ended, and asks before", selecting())
    deleted.add_argument("--host", action="append", default=[], help="another machine whose runs may be deleted, too")
    deleted.add_argument("--dry-run", action="store_true", help="only shows what would be deleted")
    deleted.add_argument("--yes", action="store_true", help="does not ask")
    planned = add("replan", "has a sweep train deleted jobs again, when it is started the next time")
    planned.add_argument(
        "folder", nargs="+", type=Path, help="the folder that was deleted, outputs/sweeps/SWEEP/NUMBER"
    )
    return made


def selecting() -> argparse.ArgumentParser:
    """The options by which some runs are chosen."""
    made = argparse.ArgumentParser(add_help=False)
    made.add_argument("folder", nargs="*", type=Path, help="runs, sweeps, or folders of them; outputs if not given")
    made.add_argument(
        "--where",
        action="append",
        type=where,
        default=[],
        metavar="NAME=VALUE",
        help="an option of the run, as one types it (beta=4, prior=vamp), or title, data, pixels, likelihood, images, "
        "sweep; * stands for anything; may be repeated, and all must hold",
    )
    states = f"{', '.join(State)}; may be repeated for several"
    made.add_argument("--state", action="append", choices=[*State], default=[], metavar="STATE", help=states)
    made.add_argument("--since", type=time, metavar="TIME", help="started since then: 12h, 7d, 2w or 2026-11-01")
    made.add_argument(
        "--older-than", type=time, metavar="TIME", help="ended before then; runs that still run are never among them"
    )
    return made


def where(text: str) -> tuple[str, str]:
    """A condition on the command line as name and value."""
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise argparse.ArgumentTypeError(f"{text} is no NAME=VALUE")
    return name, value


def time(text: str) -> datetime:
    """A time on the command line."""
    try:
        return selection.parse_time(text)
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"{text} is no time such as 12h, 7d, 2w or 2026-11-01") from None


def choose(options: argparse.Namespace, more: Iterable[str] | None = ()) -> tuple[list[Summary], list[Path], str]:
    """The runs that the options choose, what earlier deletions have left, and a line for the case that no run matches.

    more: options at the root of the configurations that must be known of the runs; None: all

    Raises UserError where a folder is missing.
    """
    folders = options.folder or [OUTPUTS]
    for folder in options.folder:
        if not folder.is_dir():
            raise UserError(f"{folder}: there is no such folder, and the commands are {', '.join(COMMANDS)}")
    places = survey(folders)
    condition = Condition(dict(options.where), options.state, options.since, options.older_than)
    runs, count = selection.read_runs(places, condition, more)
    none = f"no such run in {', '.join(map(str, folders))}: python -m src.train trains one"
    if count:
        none = f"{f'none of {count} runs matches' if count > 1 else 'the run does not match'} {condition}"
    return runs, [folder for folder in places.partial if deletion.is_rest(folder)], none


def show(options: argparse.Namespace) -> int:
    """Print the table, or the list for other programs."""
    runs, rests, none = choose(options, None if options.json else KIND if options.sort == "elbo" else ())
    runs.sort(key=selection.ORDERS[options.sort], reverse=options.reverse)
    if options.json:
        print(listing.as_json(runs))
        return 0
    groups = selection.group(runs) if options.sort == "elbo" else {"": runs}
    if runs:
        print(listing.table(groups, sys.stdout))
        say(listing.totals(runs))
    else:
        say(none)
    if rests:
        say(f"{len(rests)} of an earlier deletion that was cut short: python -m src.runs delete removes the rest")
    return 0


def print_best(options: argparse.Namespace) -> int:
    """Print the path of the best run, and nothing else to the standard output."""
    runs, _, none = choose(options, KIND)
    if not runs:
        raise UserError(none)
    run = selection.best(runs)
    path = os.path.relpath(run.folder)
    if not path.isprintable():
        raise UserError(f"{path} is the best, but has a name that is not printable: rename it")
    print(path)
    say(f"{run.title}: validation ELBO {run.elbo:.2f}")
    return 0


def delete(options: argparse.Namespace) -> int:
    """Delete the chosen runs that may be deleted, after a question."""
    runs, rests, none = choose(options)
    check_choice(options, runs)
    allowed, kept = {}, 0
    for run in runs:
        try:
            deletion.check(run.folder, OUTPUTS, options.host)
            allowed[run.folder] = run
        except UserError as error:
            say(f"not deleted: {error}")
            kept += 1
    if not allowed and not rests:
        say("nothing is deleted" if runs else none)
        return min(1, kept)
    if allowed:
        print(listing.table({"": list(allowed.values())}, sys.stderr), file=sys.stderr)
        say(listing.totals(list(allowed.values())))
    for folder in rests:
        say(f"{os.path.relpath(folder)}: the rest of an earlier deletion")
    if options.dry_run or not confirm(options.yes):
        say("nothing is deleted")
    else:
        kept += remove(list(allowed), rests, options.host)
    return min(1, kept)


def remove(folders: list[Path], rests: list[Path], hosts: list[str]) -> int:
    """Delete runs, and the rests of earlier deletions; the number of those of which anything is left."""
    from src.sweeps.deletion import delete_run, lock_sweep

    left = 0
    for parent, siblings in itertools.groupby(sorted(folders), lambda folder: folder.parent):
        runs = list(siblings)
        try:
            with lock_sweep(parent):  # for all of its jobs, so that a deletion beside this one does not take turns
                left += sum(not report_removal(run, lambda run: delete_run(run, OUTPUTS, hosts)) for run in runs)
        except UserError as error:
            say(f"{len(runs)} not deleted: {error}")
            left += len(runs)
    return left + sum(not report_removal(folder, deletion.remove_rest) for folder in rests)


def check_choice(options: argparse.Namespace, runs: list[Summary]) -> None:
    """Raise UserError where nothing but a folder of many runs says which are to be deleted."""
    given = {folder.resolve() for folder in options.folder}
    is_open = not (options.where or options.state or options.since or options.older_than)
    if is_open and any(run.folder.resolve() not in given for run in runs):
        raise UserError(
            "delete: say which runs: --state failed, --older-than 30d, --where NAME=VALUE, or their folders"
        )


def confirm(is_certain: bool) -> bool:
    """Whether the user wants what was shown to be deleted. Raises UserError where nobody can be asked."""
    if is_certain:
        return True
    if not sys.stdin.isatty():
        raise UserError("there is no terminal on which to ask: add --yes to delete these")
    print("delete them? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def report_removal(folder: Path, action: Callable[[Path], list[str]]) -> bool:
    """Remove a folder, say how it went, and return whether all of it is gone."""
    name = os.path.relpath(folder)
    try:
        problems = action(folder)
    except (OSError, UserError) as error:
        say(f"not deleted: {describe_os_error(error, name)}")
        return False
    for problem in problems[:3]:
        say(f"{name} is no run any more, but not all of it could be removed: {problem}")
    if problems:
        more = f"{len(problems) - 3} more; " if len(problems) > 3 else ""
        say(f"{more}once that is solved, python -m src.runs delete removes the rest")
    else:
        say(f"deleted: {name}")
    return not problems


def replan(options: argparse.Namespace) -> int:
    """Have sweeps train deleted jobs again."""
    from src.sweeps import deletion as sweeps

    for folder in options.folder:
        sweeps.replan(folder)
        words = shlex.quote(f"sweep_name={folder.absolute().parent.name}")
        say(f"{folder} waits again: python -m src.train -m ... {words} trains it")
    return 0


def say(text: str) -> None:
    """Print a line for the reader, whatever names it quotes, that is no part of the result."""
    print(printable(text), file=sys.stderr)


COMMANDS = {"list": show, "best": print_best, "delete": delete, "replan": replan}

if __name__ == "__main__":
    sys.exit(run_program(main))
