"""The folder of the project, and the code and commands in its README and the pages of docs/."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text()
PAGES = {path.name: path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
FENCE = re.compile(r"```(\w+)\n(.*?)```", flags=re.DOTALL)
BLOCKS = [block for page in PAGES.values() for block in FENCE.findall(page)]


def command_lines() -> list[str]:
    """Each line of the bash blocks, and each command of this program that is a code span, once."""
    lines = [line for kind, block in BLOCKS if kind == "bash" for line in block.splitlines()]
    for page in PAGES.values():
        lines += re.findall(r"`(python -m (?:src|benchmarks)\.[^`]*)`", FENCE.sub("", page))
    lines = [line for line in lines if line.strip() and not line.startswith("#")]
    return list(dict.fromkeys(line for line in lines if "..." not in line))


LINES = command_lines()


def arguments(line: str, module: str) -> list[str]:
    """The arguments of a command line after python -m MODULE, without its comment."""
    words = shlex.split(line, comments=True)
    return words[words.index(module) + 1 :]


def python_block(text: str) -> str:
    """The first block of Python that contains a text."""
    return next(block for kind, block in BLOCKS if kind == "python" and text in block)
