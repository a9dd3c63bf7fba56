"""Text files of runs, which may have been changed or come from somebody else: read within bounds of size and depth."""

import json
import re
from pathlib import Path
from typing import Any

import yaml

LARGEST = 20_000_000  # bytes of a file of text; metrics.json has 3,000
MOST = 100_000  # values in a file
DEEPEST = 50  # levels of nesting; a configuration has 4
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # five times as fast, where PyYAML has it
# characters that change what a terminal shows, or that no file can hold; line breaks and tabs are none of them
CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def natural_key(text: str) -> tuple[list[tuple[int, str]], str]:
    """A key that sorts texts as people do, whatever their case: 2 before 10. Numbers may have any number of digits."""
    words = [word.lstrip("0") if i % 2 else word.casefold() for i, word in enumerate(re.split(r"([0-9]+)", text))]
    return [(len(word) if i % 2 else 0, word) for i, word in enumerate(words)], text


def printable(text: str) -> str:
    """A text without characters that control a terminal; each becomes U+FFFD."""
    return text if text.isprintable() else CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def read_text(path: Path) -> str:
    """The content of a text file. Raises ValueError where it is no file, or larger than the program's own."""
    if not path.is_file() and path.exists():
        raise ValueError("it is no file")
    with path.open("rb") as file:
        content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise ValueError(f"it has more than {LARGEST:,} bytes")
    return content.decode()


def read_json(path: Path) -> Any:
    """The content of a JSON file, its texts printable. Raises ValueError where it is damaged, or beyond all bounds."""
    try:
        return bound(json.loads(read_text(path)))
    except RecursionError:
        raise ValueError(f"it is nested deeper than {DEEPEST} levels") from None


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, its texts printable. Raises ValueError or yaml.YAMLError where it is damaged, or
    beyond all bounds."""
    return parse_yaml(read_text(path))


def parse_yaml(text: str) -> Any:
    """The content of a text in YAML, as `read_yaml` has it."""
    depth = 0
    for event in yaml.parse(text, LOADER):  # loading is recursive, in C
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > DEEPEST:
            raise ValueError(f"it is nested deeper than {DEEPEST} levels")
    return bound(yaml.load(text, LOADER))


def bound(content: Any) -> Any:
    """`content` with printable texts. Raises ValueError where it has too many values, as aliases of aliases have, or
    too many levels."""
    left = [MOST]

    def copy(value: Any, depth: int) -> Any:
        left[0] -= 1
        if left[0] < 0 or depth > DEEPEST:
            raise ValueError(f"it holds more than {MOST:,} values, or is nested deeper than {DEEPEST} levels")
        if isinstance(value, str):
            return printable(value)
        if isinstance(value, dict):
            return {copy(name, depth + 1): copy(each, depth + 1) for name, each in value.items()}
        return [copy(each, depth + 1) for each in value] if isinstance(value, list) else value

    return copy(content, 0)
