"""The source of a project as its tests see it: the rooms, what each file imports, and properties of its functions."""

import ast
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

# From the lowest row to the highest. A file imports from its own room and from lower rows; of two rooms in one row, one
# may import from the other, but not both.
ROWS = (
    ("support",),
    ("models",),
    ("config",),
    ("data",),
    ("run",),
    ("inference",),
    ("training",),
    ("build", "startup"),
    ("figures",),
    ("reporting",),
    ("evaluation",),
    ("sweeps",),
    ("callbacks",),
    ("tasks",),
    ("commands", "hydra_plugins"),
)
FOLDERS = ("src", "callbacks", "hydra_plugins")
MANY = 6
PLAIN = (  # values, errors and objects of libraries: a test for one of these types does not distinguish parts of a VAE
    {"str", "bytes", "bool", "int", "float", "dict", "list", "tuple", "set", "Mapping", "Sequence", "Path", "ndarray"}
    | {"Tensor", "Module", "ModuleType", "Image", "BaseException", "SystemExit", "KeyboardInterrupt", "type"}
    | {"Logger", "WandbLogger", "Callback", "ProgressBar", "WeightAveraging"}
)
PREPOSITIONS = {"of", "for", "by", "in", "with", "as", "at", "from", "on", "to", "within", "over", "than"}
PARTICIPLES_WITHOUT_ED = """
apart began begun broken built chosen done drawn driven dropped fallen fed felt forgotten found frozen given
gone grown held hidden kept known laid learnt left lost made meant met paid said seen sent shown shrunk spelt
standing stood stuck struck sunk swept taken taught thought thrown told torn understood won worn written
moving watching sweeping going coming differing varying
"""
IRREGULAR = set(PARTICIPLES_WITHOUT_ED.split())
VERBS = {"is", "has", "can", "check", "warn", "write", "read", "draw", "load", "save", "add", "skip", "count"}
NO_PARTICIPLE = {"embed", "feed", "need", "seed", "speed", "red", "shed", "bed", "exceed", "proceed", "succeed"}


class Import(NamedTuple):
    """A module that a line of a file imports; `lazy` is inside a function, `typing` only for the type checker."""

    module: str
    line: int
    lazy: bool
    typing: bool


class Source:
    """The Python files of a project's folders, parsed once."""

    def __init__(self, root: Path, folders: tuple[str, ...] = FOLDERS):
        self.root = root
        paths = sorted(path for folder in folders for path in root.glob(f"{folder}/**/*.py"))
        self.trees = {path: ast.parse(path.read_text()) for path in paths}
        self.modules = {self.module_name(path): path for path in paths}

    def name(self, path: Path) -> str:
        return str(path.relative_to(self.root))

    def module_name(self, path: Path) -> str:
        parts = path.relative_to(self.root).with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)

    def room(self, path: Path) -> str:
        """The folder within src/; `commands` for src/*.py, but `build` and `startup` by their own names."""
        folder, *rest = path.relative_to(self.root).parts
        if folder != "src":
            return folder
        return rest[0] if len(rest) > 1 else path.stem if path.stem in ("build", "startup") else "commands"

    def imports(self, path: Path) -> Iterator[Import]:
        """Every import of a file, with `from package import module` as `package.module`."""
        for node, lazy, typing in self._nodes(self.trees[path], False, False):
            if isinstance(node, ast.Import):
                yield from (Import(alias.name, node.lineno, lazy, typing) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{self.name(path)}:{node.lineno}: a relative import"
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield Import(full if full in self.modules else node.module or "", node.lineno, lazy, typing)

    def _nodes(self, node: ast.AST, lazy: bool, typing: bool) -> Iterator[tuple[ast.AST, bool, bool]]:
        yield node, lazy, typing
        lazy |= isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            guarded = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test) and child in node.body
            yield from self._nodes(child, lazy, typing or guarded)

    @cached_property
    def arrows(self) -> dict[tuple[str, str], list[str]]:
        """(room, room that it imports from) -> the lines that do."""
        found: dict[tuple[str, str], list[str]] = {}
        for path in self.trees:
            for each in self.imports(path):
                if each.module in self.modules:
                    rooms = self.room(path), self.room(self.modules[each.module])
                    if rooms[0] != rooms[1]:
                        found.setdefault(rooms, []).append(f"{self.name(path)}:{each.line} imports {each.module}")
        return found

    def libraries_reached(self, module: str, without: tuple[tuple[str, str], ...] = ()) -> dict[str, str]:
        """The libraries that `module` may import, itself or through others of ours, each with the module that does.

        Imports inside functions count, those for the type checker do not, nor those of the pairs (module, imported)
        in `without`.
        """
        found, open_, seen = {}, [module], set()
        while open_:
            current = open_.pop()
            if current in seen:
                continue
            seen.add(current)
            packages = current.split(".")
            open_ += [name for i in range(1, len(packages)) if (name := ".".join(packages[:i])) in self.modules]
            for each in self.imports(self.modules[current]):
                if each.typing or (current, each.module) in without:
                    continue
                if each.module in self.modules:
                    open_.append(each.module)
                else:
                    found.setdefault(each.module.split(".")[0], current)
        return found

    @cached_property
    def functions(self) -> list[tuple[Path, ast.FunctionDef | ast.AsyncFunctionDef]]:
        kinds = ast.FunctionDef | ast.AsyncFunctionDef
        return [(path, node) for path, tree in self.trees.items() for node in ast.walk(tree) if isinstance(node, kinds)]

    def long_signatures(self) -> dict[str, int]:
        """`file:function` -> its number of parameters, self not counted, where there are six or more."""
        found = {}
        for path, node in self.functions:
            a = node.args
            names = [each.arg for each in (*a.posonlyargs, *a.args, *a.kwonlyargs, a.vararg, a.kwarg) if each]
            count = len(names) - (names[:1] in (["self"], ["cls"]))
            if count >= MANY:
                found[f"{self.name(path)}:{node.name}"] = count
        return found

    def participles(self) -> dict[str, list[str]]:
        """Names of functions that are participles -> the files that define them."""
        found: dict[str, list[str]] = {}
        for path, node in self.functions:
            if is_participle(node.name):
                found.setdefault(node.name, []).append(self.name(path))
        return found

    def type_tests(self, path: Path) -> list[str]:
        """`line: code` of each question about the type or the attributes of something that is no plain value."""
        tree = self.trees[path]
        parents = {child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)}
        found = [node for node in ast.walk(tree) if is_type_test(node, parents.get(node))]
        return [f"{node.lineno}: {ast.unparse(node)}" for node in found]

    def exits(self, path: Path) -> int:
        """How often a file ends the process, by `sys.exit` or by raising SystemExit."""
        nodes = list(ast.walk(self.trees[path]))
        calls = [ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)]
        raised = [ast.unparse(node.exc) for node in nodes if isinstance(node, ast.Raise) and node.exc]
        return sum(call in ("sys.exit", "exit", "quit", "SystemExit") for call in calls) + raised.count("SystemExit")

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Room, from the highest to the lowest -> its files and lines."""
        found = {room: (0, 0) for row in reversed(ROWS) for room in row}
        for path in self.trees:
            files, lines = found.get(self.room(path), (0, 0))
            found[self.room(path)] = files + 1, lines + len(path.read_text().splitlines())
        return found


def rank(room: str) -> int:
    """The row of a room, counted from the lowest."""
    return next(i for i, row in enumerate(ROWS) if room in row)


def is_participle(name: str) -> bool:
    """Whether a function's name ends, before a preposition, in a participle: `kept`, `codes_kept`, `made_for`.

    `kept_codes` is a noun, and `is_kept` and `check_kept` begin with a verb.
    """
    tokens = name.strip("_").split("_")
    if name.startswith("__") or tokens[0] in VERBS or "is" in tokens:
        return False
    end = next((i for i, token in enumerate(tokens) if i and token in PREPOSITIONS), len(tokens))
    head = tokens[end - 1]
    return head in IRREGULAR or (len(head) > 3 and head.endswith("ed") and head not in NO_PARTICIPLE)


def is_type_test(node: ast.AST, parent: ast.AST | None) -> bool:
    """Whether a node is hasattr, getattr with a default, a class pattern, isinstance or type() of no plain value.

    `type(x).__name__`, the name in a message, is none.
    """
    if isinstance(node, ast.MatchClass):
        return not is_plain(node.cls)
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        return False
    match node.func.id:
        case "hasattr":
            return True
        case "getattr":
            return len(node.args) == 3
        case "isinstance" | "issubclass":
            return not is_plain(node.args[1])
        case "type":
            return len(node.args) == 1 and not (isinstance(parent, ast.Attribute) and parent.attr == "__name__")
    return False


def is_plain(kind: ast.expr) -> bool:
    """Whether all alternatives of a type are plain values, errors, or objects of a library."""
    if isinstance(kind, ast.Tuple):
        return all(is_plain(each) for each in kind.elts)
    if isinstance(kind, ast.BinOp):
        return is_plain(kind.left) and is_plain(kind.right)
    name = ast.unparse(kind).split(".")
    return name[-1] in PLAIN or name[-1].endswith(("Error", "Exception")) or name[0] == "ast"
