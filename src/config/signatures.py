"""The options of a class or function, read from the syntax tree of its file, so that nothing is imported."""

import ast
import functools
import importlib.util
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from src.config.moved import current_path
from src.support import ranges
from src.support.errors import UserError

OURS = ("src", "callbacks")
BUILTIN = {each.__name__: each for each in (bool, int, float, str, list, tuple, dict)}
KNOWN = {**vars(typing), "Sequence": Sequence, "Callable": Callable, "Mapping": Mapping, **BUILTIN, **vars(ranges)}


class Source(NamedTuple):
    """A definition and the file that it is in."""

    path: Path
    node: ast.ClassDef | ast.FunctionDef | ast.expr


class Signature(NamedTuple):
    """The options of a class or function by name, each with its annotated type, or `Any` where there is none.

    is_open: whether it takes other options, too
    """

    options: dict[str, Any]
    is_open: bool


def signature(target: str) -> Signature | None:
    """The signature of the class or function at a dotted path; None where its source can't be found.

    Types are read only for this project's own parts; for other libraries, only the names. Raises UserError where a path
    into this project leads to nothing, or where the package is not installed.
    """
    top = target.partition(".")[0]
    if not is_installed(top):
        raise UserError(f"{target}: there is no module {top}; it is looked for in the current folder and on PYTHONPATH")
    source = definition(target)
    if source is None:
        if top in OURS:
            now = current_path(target)
            raise UserError(f"{target}: there is no such class or function" + f"; it is {now} now" * (now != target))
        return None
    if isinstance(source.node, ast.expr):
        return None
    source = constructor(source) if isinstance(source.node, ast.ClassDef) else source
    if source is None:
        return None
    if isinstance(source.node, ast.ClassDef):
        return Signature(
            {each.target.id: annotation(source.path, each.annotation) for each in fields(source.node)}, False
        )
    arguments = source.node.args
    names = [each for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs) if each.arg != "self"]
    types = {each.arg: annotation(source.path, each.annotation) if top in OURS else Any for each in names}
    return Signature(types, arguments.kwarg is not None)


def is_installed(top: str) -> bool:
    """Whether there is a top-level module or package of this name."""
    try:
        return importlib.util.find_spec(top) is not None
    except ValueError:  # a module that was started as a program has no spec
        return False


def constructor(source: Source) -> Source | None:
    """The `__init__` of a class or of its base, or the class itself where its options are its `fields`; None where
    neither can be found."""
    own = [node for node in source.node.body if isinstance(node, ast.FunctionDef) and node.name == "__init__"]
    if own:
        return Source(source.path, own[-1])  # those before it may be typing's overloads
    bases = [base for base in source.node.bases if ast.unparse(base) != "nn.Module"]  # which has no options
    if not bases:
        return source
    if len(bases) > 1 or fields(source.node):  # only Python knows which of them is called
        return None
    found = definition_in(source.path, ast.unparse(bases[0]))
    return constructor(found) if found and isinstance(found.node, ast.ClassDef) else None


def fields(node: ast.ClassDef) -> list[ast.AnnAssign]:
    """The fields of a dataclass; none of another class."""
    is_dataclass = any("dataclass" in ast.unparse(each) for each in node.decorator_list)
    return [each for each in node.body if is_dataclass and isinstance(each, ast.AnnAssign)]


def definition(target: str) -> Source | None:
    """The definition at a dotted path, followed through packages that only re-export it."""
    path, names = module_file(target)
    return definition_in(path, names[0]) if path and len(names) == 1 else None


def definition_in(path: Path, name: str) -> Source | None:
    """The class, function or alias of a name in a file, or in the file that it is imported from there."""
    for node in tree(path).body:
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return Source(path, node)
        if isinstance(node, ast.Assign) and any(
            isinstance(each, ast.Name) and each.id == name for each in node.targets
        ):
            return Source(path, node.value)
        if isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return definition(f"{node.module}.{alias.name}")
    return None


def module_file(target: str) -> tuple[Path | None, list[str]]:
    """The file of the innermost module on a dotted path, and the names that remain within it."""
    top, *names = target.split(".")
    spec = importlib.util.find_spec(top)
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        return None, names
    path = Path(spec.origin)
    while names and path.name == "__init__.py":
        inner = (path.parent / names[0] / "__init__.py", path.parent / f"{names[0]}.py")
        found = next((each for each in inner if each.is_file()), None)
        if found is None:
            break
        path, names = found, names[1:]
    return path, names


@functools.cache
def tree(path: Path) -> ast.Module:
    """The syntax tree of a file. Raises UserError where it is not valid Python."""
    try:
        return ast.parse(path.read_bytes())
    except (SyntaxError, ValueError) as error:
        raise UserError(f"{path}: {error}") from None


def annotation(path: Path, node: ast.expr | None) -> Any:
    """The type that an annotation in a file means; `Any` where it uses a name that is not in `Names`."""
    if node is None:
        return Any
    try:
        return eval(ast.unparse(node), {"__builtins__": {}}, Names(path))
    except (NameError, TypeError, AttributeError):
        return Any


class Names(dict):
    """Names for the annotations of a file: those of typing and src/support/ranges.py, and the file's own aliases."""

    def __init__(self, path: Path) -> None:
        super().__init__(KNOWN)
        self.path = path

    def __missing__(self, name: str) -> Any:
        source = definition_in(self.path, name)
        if source is None or not isinstance(source.node, ast.expr):
            raise KeyError(name)
        return annotation(source.path, source.node)
