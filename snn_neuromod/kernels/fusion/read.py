"""What `make_fx` recorded, read into an expression graph; what does not fit is refused by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from snn_neuromod.kernels.fusion.aten import (
    ALIASES,
    COPIES,
    FILLED,
    as_bool,
    as_real,
    operation,
)
from snn_neuromod.kernels.fusion.graph import Graph, Node


class NotElementwise(ValueError):  # noqa: N818 - what is wrong with the step
    """A step that no kernel can be printed from; the text says why."""


class Reader:
    """Goes through a record with nodes and, beside them, tensors, whose shape and type tell what was done.

    Args:
        recorded: A function, of operations of PyTorch.
        graph: Where its nodes are made.
        inputs: Its arguments.
        examples: Tensors that could be its arguments, all of one shape and type.

    Attributes:
        results: Its results as nodes; None, the gradient of what is not read, is 0.

    Raises:
        NotElementwise: At the first operation that is not elementwise, or not in the table.
    """

    def __init__(
        self,
        recorded: fx.GraphModule,
        graph: Graph,
        inputs: Sequence[Node],
        examples: Sequence[Tensor],
    ) -> None:
        self.recorded, self.graph = recorded, graph
        self.shape, self.dtype = examples[0].shape, examples[0].dtype
        self.nodes: dict[fx.Node, Node] = {}
        self.tensors: dict[fx.Node, Any] = {}
        self.shared: set[fx.Node] = set()
        self.results: list[Node] = []
        arguments = iter(zip(inputs, examples, strict=True))
        for step in recorded.graph.nodes:
            if step.op == "placeholder":
                self.nodes[step], self.tensors[step] = next(arguments)
            elif step.op == "get_attr":
                self._captured(step)
            elif step.op == "call_function":
                self._call(step)
            elif step.op == "output":
                self.results = [self._result(x) for x in step.args[0]]

    def _result(self, value: fx.Node | None) -> Node:
        if value is None:
            return self.graph.const(0.0)
        node = as_real(self.graph, self.nodes[value])
        return self.graph.make("add", node, 0.0)

    def _captured(self, step: fx.Node) -> None:
        tensor = getattr(self.recorded, str(step.target))
        if tensor.numel() != 1:
            raise NotElementwise(
                f"the step reads a tensor of shape {tuple(tensor.shape)} that is no argument of it; what differs from "
                "neuron to neuron belongs in Params"
            )
        value = tensor.item()
        self.tensors[step] = tensor
        self.nodes[step] = self.graph.const(value if isinstance(value, bool) else float(value))

    def _call(self, step: fx.Node) -> None:
        name, in_place = _name(step.target)
        if in_place and step.args[0] in self.shared:
            raise NotElementwise(
                f"{name}_ changes a tensor that the step also holds under another name"
            )
        args, kwargs = _arguments(step, self.tensors)
        copies = [x.clone() if in_place and k == 0 else x for k, x in enumerate(args)]
        tensor = step.target(*copies, **kwargs)  # type: ignore[operator]
        self._check(name, tensor)
        self.tensors[step] = tensor
        if name in ALIASES:
            self.shared |= {step, *step.all_input_nodes}
        self.nodes[step] = self._node(name, step, tensor)

    def _node(self, name: str, step: fx.Node, tensor: Tensor) -> Node:
        if name in FILLED:
            return self.graph.const(tensor.flatten()[0].item())
        args, kwargs = _arguments(step, self.nodes)
        node = args[0] if name in ALIASES | COPIES else operation(self.graph, name, args, kwargs)
        if node is None:
            raise _unknown(name)
        kind = as_bool if tensor.dtype == torch.bool else as_real
        value = kind(self.graph, node)
        return value if isinstance(value, Node) else self.graph.const(value)

    def _check(self, name: str, tensor: Any) -> None:
        if not isinstance(tensor, Tensor):
            raise _unknown(name)
        if tensor.numel() != 1 and tensor.shape != self.shape:
            raise NotElementwise(f"{name} changes the shape from (batch, neuron)")
        if tensor.dtype not in (self.dtype, torch.bool):
            raise NotElementwise(
                f"{name} gives {tensor.dtype} in a step that calculates in {self.dtype}; keep the input's type"
            )


def _unknown(name: str) -> NotElementwise:
    return NotElementwise(f"{name} is not an operation on each neuron alone, or not in the table")


def _arguments(step: fx.Node, values: Mapping[fx.Node, Any]) -> tuple[list[Any], dict[str, Any]]:
    """Arguments of a recorded operation, values in the place of what was computed before."""
    get: Any = values.__getitem__
    args: Any = fx.map_arg(step.args, get)
    kwargs: Any = fx.map_arg(step.kwargs, get)
    return list(args), dict(kwargs)


def _name(target: Any) -> tuple[str, bool]:
    """Name of an operation without its overload, and whether it works in place."""
    schema = getattr(target, "_schema", None)
    if schema is None:
        return getattr(target, "__name__", str(target)), False
    name = schema.name.partition("::")[2]
    if schema.name.partition("::")[0] != "aten":
        raise NotElementwise(f"{schema.name} is not an operation of PyTorch")
    in_place = name.endswith("_") and not name.endswith("__")
    return (name[:-1], True) if in_place else (name, False)
