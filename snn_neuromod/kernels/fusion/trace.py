"""A neuron's step and its reverse pass, read into one expression graph.

`trace` runs the step once under `make_fx` together with its vector-Jacobian product by autograd, so that options,
pseudo-derivatives and `torch.autograd.Function`s of the user's own are in it, and reads what was recorded into a
`Graph`. The result is a `Step`: nodes of that graph for what the step gives and for the gradients of what it takes.

How a printer uses it::

    traced = trace(dynamics.step, dynamics.Params, dynamics.State, options, dtype=torch.float32)
    traced.params, traced.states             # names; parameter k is the input "p<k>", state k before the step "s<k>"
    traced.spikes, traced.after              # nodes: spikes, and each state after the step
    traced.grad_current, traced.grad_before  # nodes that also read "gz", the gradient of the spikes, and "a<k>",
    traced.grad_params                       #   those of the states after the step; 0.0 is a constant node

    for node in live([traced.spikes, *traced.after]):   # arguments first
        ...                                  # node.op, node.args, node.value as the table in `graph` says
    graph = Graph(torch.float32)             # several steps in a row: put one step's results into the next one's inputs
    z1, *s1 = traced.forward(graph, params, state, x1)
    z2, *s2 = traced.forward(graph, params, s1, x2)
    grads = traced.reverse(graph, params, s1, x2, gz2, adjoints)   # .params, .state, .current

Value numbering makes the reverse pass share what the forward pass found (the `tanh` of a step is one node in both).
Names are the printer's business: those of the user may be keywords elsewhere, hence "p0" and not "p_alpha".
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, get_decompositions
from torch.fx.experimental.proxy_tensor import make_fx

from snn_neuromod.kernels.fusion.graph import Graph, Node, Value, every, live
from snn_neuromod.kernels.fusion.operations import JUMPS
from snn_neuromod.kernels.fusion.read import NotElementwise, Reader

__all__ = ["Gradients", "NotElementwise", "Step", "invariants", "trace"]


class Gradients(NamedTuple):
    """Nodes of the reverse pass of one step.

    Attributes:
        params: Gradient of each parameter.
        state: Gradient of each state before the step.
        current: Gradient of the input.
    """

    params: list[Node]
    state: list[Node]
    current: Node


@dataclass(frozen=True)
class Step:
    """A traced step.

    Attributes:
        graph: What it was read into.
        params: Names of the parameters, inputs "p0", "p1", ...
        states: Names of the states, inputs "s0", "s1", ... before the step.
        roots: All results: spikes of the step, which reads the input "x", each state after it, and the gradients of
            parameters, of states before the step and of the input, given those of the spikes, "gz", and of the states
            after the step, "a0", "a1", ...
        num_numbers: How many of the last parameters are numbers, the same for all neurons and steps.
    """

    graph: Graph
    params: tuple[str, ...]
    states: tuple[str, ...]
    roots: tuple[Node, ...]
    num_numbers: int = 0

    @property
    def spikes(self) -> Node:
        """Spikes of the step."""
        return self.roots[0]

    @cached_property
    def after(self) -> tuple[Node, ...]:
        """Each state after the step."""
        return self.roots[1:][: len(self.states)]

    @cached_property
    def grad_params(self) -> tuple[Node, ...]:
        """Gradient of each parameter."""
        return self.roots[1 + len(self.states) :][: len(self.params)]

    @cached_property
    def grad_before(self) -> tuple[Node, ...]:
        """Gradient of each state before the step."""
        return self.roots[1 + len(self.states) + len(self.params) : -1]

    @property
    def grad_current(self) -> Node:
        """Gradient of the input."""
        return self.roots[-1]

    def of(self, graph: Graph, roots: Sequence[Node]) -> Step:
        """The same with other results."""
        return replace(self, graph=graph, roots=tuple(roots))

    @cached_property
    def moving(self) -> list[int]:
        """Numbers of the states that change."""
        return [k for k, s in enumerate(self.inputs("s")) if self.after[k] is not s]

    @cached_property
    def jumps(self) -> bool:
        """Whether spikes or states jump with input or state, so that a rounding error may move one."""
        nodes, invariant = live([self.spikes, *self.after]), invariants()
        return any(n.op in JUMPS and not invariant(n) for n in nodes)

    def following(self, states: Collection[int] | None) -> Step:
        """The step with the past of all other states as constants; None: as it is."""
        if states is None:
            return self
        zero, first = self.graph.const(0.0), 1 + len(self.states) + len(self.params)
        others = {first + k for k in range(len(self.states)) if k not in states}
        return self.of(self.graph, [zero if k in others else g for k, g in enumerate(self.roots)])

    def gradients(self, needed: Iterable[int]) -> list[Node]:
        """Those of the input, of the states before the step, and of the parameters of these numbers."""
        return [self.grad_current, *self.grad_before, *(self.grad_params[k] for k in needed)]

    def silent(self, seeded: Collection[int] = ()) -> frozenset[int]:
        """Numbers of the states whose adjoint stays 0 where it is 0 after the last step, but for these states."""
        adjoints, zero = self.inputs("a"), self.graph.const(0.0)
        found, more = {k for k in range(len(self.states)) if k not in seeded}, True
        while more:
            given = {adjoints[k]: zero for k in found}
            before = self.graph.substitute(self.grad_before, given)
            remain = {k for k in found if before[k] is zero}
            found, more = remain, remain != found
        return frozenset(found)

    def inputs(self, prefix: str) -> list[Node]:
        """The inputs of this letter: "p" parameters, "s" states before the step, "a" gradients of those after it."""
        names = self.params if prefix == "p" else self.states
        return [self.graph.input(f"{prefix}{k}") for k in range(len(names))]

    def forward(
        self, graph: Graph, params: Sequence[Value], state: Sequence[Value], current: Value
    ) -> list[Node]:
        """Spikes and states after a step over other values, in another graph."""
        given = self.given(params, state, current)
        return graph.substitute([self.spikes, *self.after], given)

    def reverse(
        self,
        graph: Graph,
        params: Sequence[Value],
        state: Sequence[Value],
        current: Value,
        grad_spikes: Value,
        adjoints: Sequence[Value],
    ) -> Gradients:
        """Gradients of a step over other values, in another graph."""
        given = self.given(params, state, current)
        given[self.graph.input("gz")] = grad_spikes
        given |= dict(zip(self.inputs("a"), adjoints, strict=True))
        roots = [*self.grad_params, *self.grad_before, self.grad_current]
        made = graph.substitute(roots, given)
        return Gradients(made[: len(self.params)], made[len(self.params) : -1], made[-1])

    def given(
        self, params: Sequence[Value], state: Sequence[Value], current: Value
    ) -> dict[Node, Value]:
        """What stands in the place of the inputs of a step over other values."""
        given: dict[Node, Value] = dict(zip(self.inputs("p"), params, strict=True))
        given |= dict(zip(self.inputs("s"), state, strict=True))
        return given | {self.graph.input("x"): current}


def invariants() -> Callable[[Node], bool]:
    """What tells whether a value depends on parameters alone, and so does not change with time."""
    return every(lambda name: name[0] == "p")


_LOCK = threading.Lock()
_SHAPE = (2, 3)


def trace(
    step: Callable[..., tuple[Tensor, Any]],
    params_type: Any,
    state_type: Any,
    options: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
) -> Step:
    """Read a step and its reverse pass.

    No mode may be on that is not the step's own: `once.Once` sees to that, wherever it is called.

    Args:
        step: `step(params, state, current, **options) -> (spikes, state)`, elementwise.
        params_type: NamedTuple of its parameters; every one is given as a tensor.
        state_type: NamedTuple of its states.
        options: Named arguments of the step; what they are is fixed in the result.
        dtype: Type it calculates in.

    Returns:
        The step as nodes of one graph.

    Raises:
        NotElementwise: If the step is not made of operations on each neuron alone, draws random numbers, branches on
            values, changes its arguments, or reads a tensor of more than one element that is no argument.
    """
    num_params, num_states = len(params_type._fields), len(state_type._fields)
    inner = num_params + num_states + 1

    def joint(*values: Tensor) -> tuple[Tensor | None, ...]:
        with torch.enable_grad():
            given = [value.detach().requires_grad_() for value in values[:inner]]
            params, state = params_type(*given[:num_params]), state_type(*given[num_params:-1])
            spikes, after = step(params, state, given[-1], **(options or {}))
            results = (spikes, *after)
            return *results, *_gradients(results, given, values[inner:])

    own = torch.Generator().manual_seed(0)  # numbers of the global one are its user's
    examples = [
        torch.rand(_SHAPE, generator=own, dtype=dtype, device="cpu") + 0.5
        for _ in range(inner + num_states + 1)
    ]
    try:
        with _LOCK:
            recorded = make_fx(joint, decomposition_table=decompositions())(*examples)
    except RuntimeError as error:
        raise NotElementwise(_reason(error)) from error
    graph = Graph(dtype)
    names = [f"p{k}" for k in range(num_params)] + [f"s{k}" for k in range(num_states)]
    names += ["x", "gz", *(f"a{k}" for k in range(num_states))]
    found = Reader(recorded, graph, [graph.input(name) for name in names], examples).results
    return Step(graph, params_type._fields, state_type._fields, tuple(found))


@cache
def decompositions() -> Any:
    """What PyTorch itself takes apart into operations of the table `aten`."""
    aten = torch.ops.aten
    activations = [aten.elu, aten.gelu, aten.hardtanh, aten.leaky_relu]
    return {**core_aten_decompositions(), **get_decompositions(activations)}


def _gradients(
    results: Sequence[Tensor], given: Sequence[Tensor], grads: Sequence[Tensor]
) -> Sequence[Tensor | None]:
    """Vector-Jacobian product by autograd; None is zero."""
    pairs = [(y, g) for y, g in zip(results, grads, strict=True) if y.requires_grad]
    if not pairs:
        return [None] * len(given)
    outputs, seeds = zip(*pairs, strict=True)
    return torch.autograd.grad(outputs, given, seeds, allow_unused=True)


def _reason(error: RuntimeError) -> str:
    text = str(error)
    if "tracing" in text or "data-dependent" in text:
        return "the step branches on values of tensors, or reads one as a number"
    return f"the step cannot be traced: {text}"
