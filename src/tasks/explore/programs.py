"""Functions of a VAE as lists of operations that a browser carries out; page/operators.js has these operations.

PyTorch's exporter traces each function for a single image or code into its core operators. So any model of these
operators can be explored, and the page computes what PyTorch computes. What depends on no input is computed here, once:
transposed and masked weights, and the posteriors of pseudo-inputs that a VampPrior is made of.
"""

import operator
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind

from src.support.errors import UserError
from src.tasks.explore.arrays import Arrays

NAMES = """_log_softmax _softmax _to_copy abs add addmm alias amax bmm cat clamp clone constant_pad_nd convolution
    diagonal div elu eq erf exp expand expm1 full full_like ge gelu getitem gt hardtanh index index_put index_select le
    leaky_relu log log1p logical_not lt maximum mean minimum mm mul native_group_norm ne neg permute pow reciprocal relu
    repeat rsqrt scalar_tensor select sigmoid sign slice split_with_sizes sqrt squeeze sub sum tanh unsqueeze view
    where"""
OPERATORS = frozenset(NAMES.split())  # the operations of page/operators.js; a test compares the two lists
CHECKS = ("_assert_tensor_metadata", "_assert_scalar")  # operators without a result
OF_MEMORY = ("dtype", "layout", "device", "pin_memory", "memory_format")  # arguments that change no number
# Keyword arguments that operations of the page have, besides those of OF_MEMORY
KEYWORDS = ("alpha", "beta", "approximate")
RENAMED = {"view": "reshape"}  # operations whose PyTorch's own needs a layout of memory that constants do not keep
SMALL = 1024  # numbers of a constant, up to which it is stored as float32: biases, scales, offsets
HIGHEST, TINY = 32767, 1e-30  # the largest number of 16 bits; a scale where all numbers are zero

Program = dict[str, Any]


def trace(
    function: Callable[..., Any], names: Sequence[str], examples: Sequence[Tensor], arrays: Arrays, exact: bool = False
) -> Program:
    """Write a function of tensors, which returns a tuple of tensors, as a program, its constants into `arrays`.

    A program has the names of its `inputs`, its `steps` [operator, arguments, keyword arguments], and its `outputs`. An
    argument is a number, a text, a list, `{"v": i}`, which is the i-th value, or `{"c": n}`, an array; the values are
    the inputs, followed by the results of the steps.

    exact: whether large constants are stored as float32 too, and not as whole numbers of 16 bits with scales

    Raises UserError where PyTorch can't trace the function, or where it needs an operation that the page does not have.
    """
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.export.export(_Function(function), tuple(examples)).run_decompositions()
    except Exception as error:  # the exporter raises many types, some derived from Exception directly
        raise UserError(f"task=explore: PyTorch can't trace this model ({first_line(error)})") from error
    return _Writer(exported, list(names), arrays, exact).program()


def run_program(program: Program, inputs: Sequence[Tensor], arrays: Arrays) -> list[Tensor]:
    """The outputs of a program, computed by PyTorch with the constants as they are stored.

    Raises UserError where a step fails.
    """
    values: list[Any] = list(inputs)

    def value(argument: Any) -> Any:
        if isinstance(argument, list):
            return [value(each) for each in argument]
        if isinstance(argument, dict):
            return values[argument["v"]] if "v" in argument else stored_constant(argument, arrays)
        return float(argument) if argument in ("inf", "-inf", "nan") else argument

    try:
        for name, arguments, keywords in program["steps"]:
            function = operator.getitem if name == "getitem" else getattr(torch.ops.aten, RENAMED.get(name, name))
            values.append(function(*value(arguments), **{key: value(each) for key, each in keywords.items()}))
        return [value(each) for each in program["outputs"]]
    except (RuntimeError, TypeError, IndexError) as error:
        raise UserError(f"task=explore: the program of this model fails ({first_line(error)})") from error


def stored_constant(argument: Mapping[str, Any], arrays: Arrays) -> Tensor:
    """A constant as it is stored, in the type that it had."""
    stored = torch.from_numpy(arrays.get(argument["c"]).copy())
    if "scale" in argument:
        axis, scale = argument["axis"], torch.from_numpy(arrays.get(argument["scale"]).copy())
        return stored.float() * scale.view(*(-1 if i == axis else 1 for i in range(stored.dim())))
    return stored.to({"whole": torch.long, "truth": torch.bool}.get(argument.get("type", ""), torch.float32))


def first_line(error: Exception) -> str:
    """The type of an error and the first line of its text."""
    return f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"


class _Function(nn.Module):
    """A function as a module without parameters, so that the weights that it uses become constants of the trace."""

    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.function = [function]

    def forward(self, *inputs: Tensor) -> Any:
        return self.function[0](*inputs)


class _Writer:
    """Turns an exported program into steps."""

    def __init__(self, exported: ExportedProgram, names: list[str], arrays: Arrays, exact: bool) -> None:
        self.exported, self.names, self.arrays, self.exact = exported, names, arrays, exact
        self.constants: dict[fx.Node, Any] = {}
        self.values: dict[fx.Node, int] = {}
        self.steps: list[list[Any]] = []

    def program(self) -> Program:
        """The program; see `trace`."""
        stored = {**self.exported.state_dict, **self.exported.constants}
        kinds = {each.arg.name: each for each in self.exported.graph_signature.input_specs}
        graph = self.exported.graph_module.graph
        graph.eliminate_dead_code()
        for node in graph.nodes:
            if node.op == "placeholder" and kinds[node.name].kind == InputKind.USER_INPUT:
                self.values[node] = len(self.values)
            elif node.op == "placeholder":
                self.constants[node] = stored[cast(str, kinds[node.name].target)]
            elif node.op == "call_function" and name_of(node) not in CHECKS:
                self.call(node)
        outputs = [self.argument(each) for each in graph.output_node().args[0]]
        return {"inputs": self.names, "steps": self.steps, "outputs": outputs}

    def call(self, node: fx.Node) -> None:
        """Compute a node whose inputs are all constant; write a step for another one."""
        function = cast(Callable[..., Any], node.target)
        if all(each in self.constants for each in node.all_input_nodes):
            arguments, keywords = fx.node.map_arg((node.args, node.kwargs), lambda each: self.constants[each])
            with torch.no_grad():
                self.constants[node] = function(*arguments, **keywords)
            return
        name = name_of(node)
        if (form := missing_form(node, name)) is not None:
            raise UserError(f"task=explore: this model needs the operation {form}, which the page does not have")
        keywords = {key: self.argument(each) for key, each in node.kwargs.items() if key not in OF_MEMORY}
        self.steps.append([name, [self.argument(each) for each in node.args], keywords])
        self.values[node] = len(self.names) + len(self.steps) - 1

    def argument(self, value: Any) -> Any:
        """An argument of a step, as `trace` describes it."""
        if isinstance(value, fx.Node):
            if value in self.values:
                return {"v": self.values[value]}
            constant = self.constants[value]
            return self.constant(constant) if isinstance(constant, Tensor) else constant
        if isinstance(value, list | tuple):
            return [self.argument(each) for each in value]
        if isinstance(value, float) and not np.isfinite(value):
            return str(value)
        return value if value is None or isinstance(value, bool | int | float | str) else str(value)

    def constant(self, value: Tensor) -> dict[str, Any]:
        """Store a constant tensor."""
        array = value.detach().float().cpu().numpy()
        if not value.is_floating_point():
            kind = "truth" if value.dtype == torch.bool else "whole"
            return {"c": self.arrays.add(array, "float32"), "type": kind}
        if array.size <= SMALL or self.exact:
            return {"c": self.arrays.add(array, "float32")}
        axis = 1 if array.ndim == 2 else 0  # of the outputs of a transposed matrix, or of a convolution
        others = tuple(i for i in range(array.ndim) if i != axis)
        scale = np.abs(array).max(others, keepdims=True) / HIGHEST + TINY
        number = self.arrays.add(np.rint(array / scale), "int16")
        return {"c": number, "scale": self.arrays.add(scale.ravel(), "float32"), "axis": axis}


def missing_form(node: fx.Node, name: str) -> str | None:
    """The form of an operation that page/operators.js does not have; None for what it has."""
    if name not in OPERATORS:
        return name
    if others := [key for key in node.kwargs if key not in (*KEYWORDS, *OF_MEMORY)]:
        return f"{name} with {others[0]}"
    dtype = cast(torch.dtype | None, node.kwargs.get("dtype"))
    if name == "_to_copy" and dtype is not None and not dtype.is_floating_point:
        return "of rounding to whole numbers"
    if name == "add" and node.meta["val"].dtype == torch.bool:
        return "add of truth values"
    if name == "convolution" and node.args[6] and node.args[8] != 1:
        return "transposed convolution of several groups"
    indices = cast(Sequence[Any], node.args[1]) if name in ("index", "index_put") else ()
    first = next((i for i, each in enumerate(indices) if each is not None), 0)
    return f"{name} with a whole axis after an index" if None in list(indices)[first:] else None


def name_of(node: fx.Node) -> str:
    """The name of a node's operation, without its overload."""
    return "getitem" if node.target is operator.getitem else cast(Any, node.target).__name__.partition(".")[0]
