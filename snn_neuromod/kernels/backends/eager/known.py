"""A neuron's traced step with what is known of the parameters of a call, and what its reverse pass needs of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.fusion.graph import Graph, Node, Value, every, live
from snn_neuromod.kernels.fusion.once import Once
from snn_neuromod.kernels.fusion.operations import COSTLY
from snn_neuromod.kernels.fusion.trace import Step

__all__ = ["Known", "Reads", "general", "known"]

SAVED = COSTLY - {"sigmoid"}
"""Results of the forward pass that the reverse pass reads rather than computes again."""

_CONSTANTS = frozenset(["0.0", "1.0", "inf", "-inf"])
"""Values of numbers that are folded, as they are written: -0.0, which is equal to 0.0, is another."""


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


def general(call: Call) -> Known:
    """The step with what is known of the parameters of a call without a look at their values.

    Raises:
        NotElementwise: If it cannot be traced.
    """
    kinds = tuple(
        "steps" if varies else "tensor" if p.ndim or p.device.type != "cpu" else "number"
        for p, varies in zip(call.params, call.per_step, strict=True)
    )
    key, neuron = (call.current.dtype, call.paths.states), call.neuron
    return neuron.once(("known", *key, kinds), lambda: Known(neuron.traced(*key), kinds))


def known(call: Call) -> Known:
    """The same with numbers that are 0, 1 or infinite as constants, and conditions on numbers decided."""
    start = general(call)
    pairs = zip(start.kinds, call.params, strict=True)
    values = [p.item() if kind == "number" else None for kind, p in pairs]
    constants = tuple(v if repr(v) in _CONSTANTS else None for v in values)
    found = start.once(("constants", constants), lambda: start.where(constants))
    if not found.conditions:
        return found
    truths = found.truths(values)
    return found.once(("truths", truths), lambda: found.where(constants, truths))


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
        moving: Numbers of the states that change.
        spiking: Number of the state that holds the spikes, or None; also where a step finds these before it begins.
        fixed: Whether a node of any graph does not change with time.
        number: Whether it is also one number on a CPU.
        once: Makes, and keeps, what is printed from it.
    """

    def __init__(
        self,
        step: Step,
        kinds: Sequence[str],
        given: Mapping[Node, Value] = MappingProxyType({}),
        source: Known | None = None,
    ) -> None:
        self.kinds, self._given, self._source = kinds, given, source
        graph = Graph(step.graph.dtype)
        self.step = step.of(graph, graph.substitute(step.roots, given)) if given else step
        self.moving = self.step.moving
        self.fixed, self.number = every(self._is_fixed), every(self._is_number)
        spikes = self.step.spikes
        holds = (k for k, node in enumerate(self.step.after) if node is spikes)
        self.spiking = next(holds, None) if spikes in self.leaves() else None
        self.once = Once()

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

    def _is_fixed(self, name: str) -> bool:
        if name[0] == "p":
            return self.kinds[int(name[1:])] != "steps"
        return name[0] == "s" and int(name[1:]) not in self.moving

    def _is_number(self, name: str) -> bool:
        return name[0] == "p" and self.kinds[int(name[1:])] == "number"

    @cached_property
    def conditions(self) -> list[Node]:
        """Conditions that read numbers alone."""
        nodes = live(self.step.roots)
        return [n for n in nodes if n.is_bool and n.op != "const" and self.number(n)]

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
        nodes = live([self.step.spikes, *self.step.after])
        return self.step.jumps or not any(n.op in COSTLY and not self.fixed(n) for n in nodes)

    def leaves(self) -> dict[Node, str]:
        """What the forward pass leaves behind: "z" the spikes, "n0" a state after the step."""
        step = self.step
        found = {step.after[k]: f"n{k}" for k in self.moving}
        found[step.spikes] = "z"
        return {node: name for node, name in found.items() if node.args and not self.fixed(node)}

    def reads(self, needed: Sequence[int]) -> Reads:
        """What the reverse pass reads, whatever gradients of the last state it is given."""
        return self.once(("reads", needed), lambda: self._reads(needed))

    def _reads(self, needed: Sequence[int]) -> Reads:
        step, leaves = self.step, self.leaves()
        ahead = set(live([step.spikes, *step.after]))
        costly = {n for n in ahead if n.op in SAVED and not self.fixed(n) and n not in leaves}
        read = live(step.gradients(needed), stop=[*leaves, *costly])
        saved = tuple(node for node in read if node in costly)
        names = {
            leaves.get(node, str(node.value))
            for node in read
            if node in leaves or node.op == "input"
        }
        states = {int(name[1:]) for name in names if name[0] in "sn"}
        states &= set(self.moving) - {self.spiking}
        return Reads(tuple(sorted(states)), saved, "x" in names)
