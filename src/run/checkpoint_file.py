"""The file of a checkpoint, checked before anything is made of it, without importing PyTorch.

PyTorch compares no checksum, and its restricted reader still lets a file of a few kilobytes claim any memory. A file
that passes these checks holds what `torch.save` writes, undamaged: plain containers and tensors that are in the file.
"""

import io
import pickle
import pickletools
import re
import zipfile
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from annotated_types import MaxLen, MinLen

from src.config.moved import current_paths
from src.config.plain import check_plain, check_resolved
from src.support.errors import DamagedError, UserError, one_line
from src.support.ranges import Count, Whole, fault

FORMAT = 1  # the version of what a checkpoint holds of its run; those of earlier versions of the program have none
LARGEST_PICKLE = 50_000_000  # bytes of data.pkl, which lists the tensors; 10 kB for two networks
# what `torch.save` writes of containers and tensors
GLOBALS = re.compile(
    r"collections (OrderedDict|Counter)|builtins (set|complex)|torch (Size|device|bool|b?float\d+|u?int\d+|\w+Storage)"
    r"|torch\.storage (Untyped|Typed)Storage|torch\._utils (_rebuild_tensor_v2|_rebuild_parameter)"
    r"|torch\.nn\.parameter Parameter"
)
ALLOCATING = ("BYTEARRAY8", "BINBYTES8", "BINUNICODE8", "FRAME", "NEXT_BUFFER", "INST", "OBJ", "EXT1", "EXT2", "EXT4")
GROUPS = (
    *("data", "model", "posterior", "prior", "likelihood", "condition", "objective", "schedule"),
    *("optimizer", "lr_schedule", "trainer", "logger", "callbacks"),
)
# the options of a run that are read before they are checked by their own signatures, and their types
OF_RUN = {
    "overrides": Sequence[str],
    "composition": dict | None,
    "data": dict | None,
    **{f"config.{name}._target_": str for name in ("posterior", "prior", "likelihood", "data.source")},
    **{f"config.model.{name}._target_": str for name in ("encoder", "decoder")},
    **{"config.latent_dim": Count, "config.seed": Whole, "config.title": str, "config.data.name": str},
    "config.condition": dict | None,
    "config.data.shape": Annotated[Sequence[Count], MinLen(3), MaxLen(3)],
    "config.data.exclude_labels": Sequence[int | str],
    "config.data.batch_size": Count,
    "config.data.binarize": str,
    **{f"composition.{name}": dict | None for name in (*GROUPS, "data.source", "model.encoder", "model.decoder")},
}
REQUIRED = {"epoch": int, "global_step": int, "state_dict": dict, "run": dict}


class Placeholder:
    """Stands for a tensor, and for any other object that is no plain container."""

    def __init__(self, *_: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


class ContainerUnpickler(pickle.Unpickler):
    """Reads the plain containers of a checkpoint without importing PyTorch, which takes seconds, and runs no code that
    the file names."""

    def find_class(self, module: str, name: str) -> type:
        return OrderedDict if (module, name) == ("collections", "OrderedDict") else Placeholder

    def persistent_load(self, _: Any) -> None: ...


def read_containers(path: Path) -> dict[str, Any]:
    """The content of a checkpoint, with placeholders for tensors; its `run` has the present paths of classes.

    Raises UserError if the file is missing, not one of our checkpoints, or of a newer version, and DamagedError if it
    was changed or cut short.
    """
    return parse(path, verify(path))


def epoch_count(path: Path) -> int:
    """The number of epochs that a checkpoint was trained; it raises what `read_containers` raises."""
    return read_containers(path)["epoch"] + 1


def parse(path: Path, members: dict[str, bytes]) -> dict[str, Any]:
    """What `read_containers` returns, given what `verify` returns."""
    try:
        state = ContainerUnpickler(io.BytesIO(members["data.pkl"])).load()
        return state | {"run": check_state(state, path)}
    except UserError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise damage(path, error) from None


def damage(path: Path, error: Exception) -> DamagedError:
    """The error for a file that can't be read as a checkpoint."""
    return DamagedError(
        f"{path} is no checkpoint, or is cut short or changed ({one_line(error)[:120]}): try another of its folder"
    )


def verify(path: Path) -> dict[str, bytes]:
    """The members of a checkpoint's archive, by their names within it.

    Raises UserError where there is no such file, DamagedError unless each byte has the checksum that it was written
    with, and the archive holds what `torch.save` writes.
    """
    if path.exists() and not path.is_file():
        raise UserError(f"{path} is no file")
    try:
        content = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise UserError(f"{path}: no such checkpoint") from None
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = archive.infolist()
            if any(each.compress_type != zipfile.ZIP_STORED for each in members):
                raise ValueError("it is compressed")
            if sum(each.file_size for each in members) > len(content):
                raise ValueError("it claims more than it holds")
            contents = {each.filename.partition("/")[2]: archive.read(each) for each in members}
        check_pickle(contents["data.pkl"])
    except MemoryError:
        raise
    except Exception as error:  # a damaged file can raise anything
        raise damage(path, error) from None
    return contents


def check_pickle(listing: bytes) -> None:
    """Raise ValueError for a pickle that is none of `torch.save`'s: one that names other functions than those for
    containers and tensors, or instructions that allocate what the file does not hold."""
    if len(listing) > LARGEST_PICKLE:
        raise ValueError("it lists more than any checkpoint")
    for count, (opcode, argument, _) in enumerate(pickletools.genops(listing)):
        if opcode.name == "GLOBAL" and not GLOBALS.fullmatch(argument):
            raise ValueError(f"it names {argument.replace(' ', '.')}, and is no plain checkpoint")
        is_far = opcode.name in ("LONG_BINPUT", "BINPUT", "PUT") and argument > count
        if opcode.name in ALLOCATING or opcode.name == "STACK_GLOBAL" or is_far:
            raise ValueError("it is no plain checkpoint")


def check_state(state: Any, path: Path) -> dict[str, Any]:
    """What a checkpoint holds of its run. Raises UserError unless it was written by this program, in this version or an
    earlier one, and has all that is read of it, of the right types."""
    if not isinstance(state, dict) or "run" not in state:
        raise UserError(f"{path} was not written by this program: it holds no run's configuration")
    run = state["run"]
    version = run.get("version", 0) if isinstance(run, dict) else 0
    if not isinstance(version, int) or version > FORMAT:
        raise UserError(f"{path} was written by a later version of this program: update it to read this checkpoint")
    for name, kind in REQUIRED.items():
        if not isinstance(state.get(name), kind) or isinstance(state[name], bool):
            raise UserError(
                f"{path} is no complete checkpoint of this program: its {name} is missing, or of another kind"
            )
    if not all(isinstance(name, str) for name in state["state_dict"]):
        raise UserError(f"{path} is no complete checkpoint of this program: its weights have no names")
    check_plain(run, str(path))
    check_run(run, path)
    check_resolved(run["config"], str(path))
    return current_paths(run)


def check_run(run: dict[str, Any], path: Path) -> None:
    """Raise UserError unless a run has the options without which it can't be opened, each of the right type."""
    if not isinstance(run.get("config"), dict):
        raise UserError(f"{path} holds no run's configuration")
    options = OF_RUN | ({"data.fingerprint": str} if run.get("data") else {})
    for name, kind in options.items():
        value: Any = run
        for part in name.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if fault(value, kind):
            name = name.removeprefix("config.")
            raise UserError(f"{path}: the run's {name} is missing, or of another kind: the file was changed")
