"""A neuron's traced step with what is known of the parameters of a call, and what its reverse pass needs of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import Any, NamedTuple, TypeVar

from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion.graph import JUMPS, Graph, Node, Value, live
from snn_neuromod.kernels.fusion.jacobian import SPIKES, flow, variables
from snn_neuromod.kernels.fusion.loops import COSTLY
from snn_neuromod.kernels.fusion.trace import Step, apart

__all__ = ["Known", "Reads", "general", "known", "made"]

SAVED = COSTLY - {"sigmoid"}
"""Results of the forward pass that the reverse pass reads rather than computes again."""

_CONSTANTS = (0.0, 1.0, math.inf, -math.inf)
_T = TypeVar("_T")


class Reads(NamedTuple):
    """What the reverse pass reads of the forward pass.

    Attributes:
        states: Numbers of the states that are kept.
        saved: Nodes that are kept.
        current: Whether it reads the input.
    """

    states: tuple[int, ...]
    saved: tuple[Node, ...]
    current: bool


def general(step: Step, call: Call, cache: dict[Any, Any]) -> Known:
    """The step with what is known of the parameters of a call without a look at their values.

    Args:
        step: The traced step.
        call: A sequence of this neuron.
        cache: Holds what was found before.
    """
    found = []
    for p in call.params:
        if p.ndim == call.current.ndim and p.shape[0] > 1:
            found.append("steps")
        else:
            found.append("tensor" if p.ndim or p.device.type != "cpu" else "number")
    kinds = tuple(found)
    return made(cache, kinds, lambda: Known(step, kinds))


def known(step: Step, call: Call, cache: dict[Any, Any]) -> Known:
    """The same with numbers that are 0, 1 or infinite as constants, and conditions on numbers decided."""
    start = general(step, call, cache)
    pairs = zip(start.kinds, call.params, strict=True)
    values = [p.item() if kind == "number" else None for kind, p in pairs]
    constants = tuple(v if v in _CONSTANTS else None for v in values)
    found = made(start.cache, constants, lambda: start.where(constants))
    if not found.conditions:
        return found
    truths = found.truths(values)
    return made(found.cache, truths, lambda: found.where(constants, truths))


def made(cache: dict[Any, Any], key: Any, make: Callable[[], _T]) -> _T:
    """What is in the cache, made first if it is not there: in a thread of its own, where no mode is on."""
    if key not in cache:
        cache[key] = apart(make)
    found: _T = cache[key]
    return found


class Known:
    """A step of which something is known.

    Args:
        step: The traced step.
        kinds: What each parameter is: "number", "tensor", or "steps" for one that changes from step to step.
        given: What stands in the place of nodes of the step.
        source: The step before.

    Attributes:
        step: The step, simplified.
        kinds: As given.
        names: Of each state among the variables of the Jacobian.
        moving: Numbers of the states that change.
        spiking: Number of the state that holds the spikes, or None.
        cache: For what is printed from it.
    """

    def __init__(
        self,
        step: Step,
        kinds: Sequence[str],
        given: Mapping[Node, Value] = MappingProxyType({}),
        source: Known | None = None,
    ) -> None:
        self.kinds, self._given, self._source = kinds, given, source
        self.step = _with(step, given) if given else step
        self.names = variables(self.step)
        old = self.step.inputs("s")
        self.moving = [k for k, after in enumerate(self.step.after) if after is not old[k]]
        self.spiking = self.names.index(SPIKES) if SPIKES in self.names else None
        self._fixed: dict[Node, bool] = {}
        self._number: dict[Node, bool] = {}
        self.cache: dict[Any, Any] = {}

    def where(self, constants: Sequence[float | None], truths: Sequence[bool] = ()) -> Known:
        """The same where these parameters have these values, and `conditions` this outcome."""
        pairs = zip(self.step.inputs("p"), constants, strict=True)
        given: dict[Node, Value] = {node: value for node, value in pairs if value is not None}
        given |= dict(zip(self.conditions, truths, strict=False))
        return Known(self.step, self.kinds, given, self) if given else self

    def image(self, nodes: Sequence[Node]) -> list[Node]:
        """Nodes of the traced step as they are in this one."""
        nodes = self._source.image(nodes) if self._source else [*nodes]
        return self.step.graph.substitute(nodes, self._given) if self._given else nodes

    def fixed(self, node: Node) -> bool:
        """Whether a node of any graph does not change with time."""
        return _all_inputs(node, self._is_fixed, self._fixed)

    def number(self, node: Node) -> bool:
        """Whether it is also one number on a CPU."""
        return _all_inputs(node, self._is_number, self._number)

    def _is_fixed(self, name: str) -> bool:
        if name[0] == "p":
            return self.kinds[int(name[1:])] != "steps"
        return name[0] == "s" and int(name[1:]) not in self.moving

    def _is_number(self, name: str) -> bool:
        return name[0] == "p" and self.kinds[int(name[1:])] == "number"

    @cached_property
    def conditions(self) -> list[Node]:
        """Conditions that read numbers alone."""
        step = self.step
        roots = [step.spikes, *step.after, *step.grad_params, *step.grad_before, step.grad_current]
        return [n for n in live(roots) if n.is_bool and n.op != "const" and self.number(n)]

    def truths(self, values: Sequence[float | None]) -> tuple[bool, ...]:
        """The outcome of `conditions` with these numbers."""
        pairs = zip(self.step.inputs("p"), values, strict=True)
        given = {node: value for node, value in pairs if value is not None}
        found = Graph(self.step.graph.dtype).substitute(self.conditions, given)
        return tuple(bool(node.number) for node in found)

    @property
    def exact(self) -> bool:
        """Whether the forward pass rounds as the step does: always, but for smooth steps with costly functions.

        Where results jump with input or state, rounding may move a spike.
        """
        nodes = [n for n in live([self.step.spikes, *self.step.after]) if not self.fixed(n)]
        return any(n.op in JUMPS for n in nodes) or not any(n.op in COSTLY for n in nodes)

    def leaves(self) -> dict[Node, str]:
        """What the forward pass leaves behind: "z" the spikes, "n0" a state after the step."""
        step = self.step
        found = {step.after[k]: f"n{k}" for k in self.moving}
        found[step.spikes] = "z"
        return {node: name for node, name in found.items() if node.args and not self.fixed(node)}

    def reads(self, needed: Sequence[str], followed: Collection[int] | None) -> Reads:
        """What the reverse pass reads, whatever gradients of the last state it is given."""
        key = ("reads", needed, followed)
        return made(self.cache, key, lambda: self._reads(needed, followed))

    def _reads(self, needed: Sequence[str], followed: Collection[int] | None) -> Reads:
        step, leaves = self.step, self.leaves()
        coefficients = flow(step, needed, followed=followed).coefficients
        ahead = set(live([step.spikes, *step.after]))
        costly = {n for n in ahead if n.op in SAVED and not self.fixed(n) and n not in leaves}
        read = live(coefficients, stop=[*leaves, *costly])
        saved = tuple(node for node in read if node in costly)
        names = {
            leaves.get(node, str(node.value))
            for node in read
            if node in leaves or node.op == "input"
        }
        states = {int(name[1:]) for name in names if name[0] in "sn"}
        states &= set(self.moving) - {self.spiking}
        return Reads(tuple(sorted(states)), saved, "x" in names)


def _all_inputs(node: Node, test: Callable[[str], bool], memo: dict[Node, bool]) -> bool:
    if node not in memo:
        if node.op == "input":
            memo[node] = test(str(node.value))
        else:
            memo[node] = all(_all_inputs(a, test, memo) for a in node.args)
    return memo[node]


def _with(step: Step, given: Mapping[Node, Value]) -> Step:
    """The step over other values in the place of some nodes."""
    graph = Graph(step.graph.dtype)
    groups = [[step.spikes], step.after, step.grad_params, step.grad_before, [step.grad_current]]
    made_nodes = iter(graph.substitute([node for group in groups for node in group], given))
    spikes, after, params, before, current = ([next(made_nodes) for _ in g] for g in groups)
    return Step(
        graph,
        step.params,
        step.states,
        spikes[0],
        tuple(after),
        tuple(params),
        tuple(before),
        current[0],
    )
