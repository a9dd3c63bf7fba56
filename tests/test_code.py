"""Rules of the code that can be read from its source: short files, names, no questions about types, few exits."""

import ast
import warnings

import pytest

from tests.helpers.project import ROOT
from tests.helpers.source import Source, is_participle, is_type_test

SOURCE = Source(ROOT)
EVERYTHING = Source(ROOT, ("src", "callbacks", "hydra_plugins", "tests", "benchmarks"))
LONGEST = 300
# Here values of options, annotations and files are looked at, which may be of any type.
OF_VALUES = ("support", "config", "run", "reporting", "sweeps")
TYPE_TESTS_OF_VALUES = {
    "src/data/levels.py": ["isinstance(white, bool | str)"],  # True is an int, and no intensity
    "src/tasks/explore/programs.py": ["isinstance(value, fx.Node)"],  # an argument of a step may also be a number
}
EXITS = {
    "src/config/command_line.py": 1,  # ends each command with one line
    "src/config/hooks.py": 1,  # Hydra turns an exception of a hook into a warning
}
# Contracts: `q.detached()` of a distribution, `vae.given(y)`, and `scheduled` of an objective and a trace.
PERMITTED = {"detached", "given", "scheduled"}


def test_files_are_short():
    sizes = {EVERYTHING.name(path): len(path.read_text().splitlines()) for path in EVERYTHING.trees}
    assert not {name: lines for name, lines in sizes.items() if lines > LONGEST}
    assert not [name for name in sizes if name.endswith("/utils.py")]


def test_parts_and_distributions_are_not_asked_for_their_types():
    """What a part or a distribution can do stands in its interface, so that a new one needs no line elsewhere."""
    tests = []
    for path in SOURCE.trees:
        if SOURCE.room(path) not in OF_VALUES:
            allowed = TYPE_TESTS_OF_VALUES.get(SOURCE.name(path), [])
            tests += [test for test in SOURCE.type_tests(path) if test.partition(": ")[2] not in allowed]
    assert not tests


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("hasattr(q, 'marginals')", True),
        ("getattr(q, 'marginals', None)", True),
        ("getattr(source, split)", False),
        ("isinstance(q, FullGaussian)", True),
        ("isinstance(q, DiagonalGaussian | FullGaussian)", True),
        ("isinstance(value, str | torch.Tensor)", False),
        ("isinstance(value, (int, Standard))", True),
        ("isinstance(error, errors.UserError)", False),
        ("type(q) is Standard", True),
        ("type(q).__name__", False),
        ("match q:\n    case Standard():\n        pass", True),
        ("match value:\n    case str():\n        pass", False),
    ],
)
def test_a_question_about_a_type_is_recognised(code, expected):
    tree = ast.parse(code)
    parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
    assert any(is_type_test(node, parents.get(node)) for node in ast.walk(tree)) == expected


def test_only_commands_end_the_process():
    exits = {name: count for path in SOURCE.trees if (count := SOURCE.exits(path)) and (name := SOURCE.name(path))}
    commands = {SOURCE.name(path) for path in SOURCE.trees if SOURCE.room(path) == "commands"}
    others = {name: n for name, n in exits.items() if name not in commands and not name.endswith("__main__.py")}
    assert others == EXITS


def test_functions_are_not_named_by_participles():
    """A function is a verb, what it does, or a noun, what it returns."""
    assert not {name: files for name, files in SOURCE.participles().items() if name not in PERMITTED}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("kept", True),
        ("made_for", True),
        ("codes_kept", True),
        ("_fitted", True),
        ("kept_codes", False),
        ("is_kept", False),
        ("check_resumed", False),
        ("prior_is_fixed", False),
        ("noise_of", False),
        ("embed", False),
        ("seed_of", False),
        ("__missing__", False),
    ],
)
def test_a_participle_is_recognised(name, expected):
    assert is_participle(name) == expected


def test_a_warning_at_a_line_of_ours_is_an_error():
    warn = "import warnings; warnings.warn('something is amiss')"
    for module in ("src.figures.page", "callbacks.recorder"):
        with pytest.raises(UserWarning):
            exec(warn, {"__name__": module})


def test_a_warning_at_a_line_of_a_library_is_none():
    with warnings.catch_warnings(record=True) as caught:
        exec("import warnings; warnings.warn('something is amiss')", {"__name__": "lightning.fabric"})
    assert len(caught) == 1
