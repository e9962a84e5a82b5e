"""A network of modules wired as a NIR graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from snn_neuromod.layers import Layer
from snn_neuromod.learning.rules import LearningRule
from snn_neuromod.nir import modules
from snn_neuromod.nir.reading.plan import Loop, Plan


class Network(nn.Module):
    """Modules run one after another over whole sequences; what several of them send to one is added up.

    `network["name"]` is the module of a node.

    Args:
        plan: What runs when.
        nodes: Module of each node but the input and the output.
        learning_rule: Of neurons whose spikes come back through weights.

    Attributes:
        plan: What runs when.
        layers: The modules of the nodes, in the order in which they run; those of a loop stand in one.
    """

    def __init__(
        self, plan: Plan, nodes: Mapping[str, nn.Module], learning_rule: LearningRule = "bptt"
    ) -> None:
        super().__init__()
        ends = (plan.input, plan.output)
        self.plan = plan
        self._stages = [stage for stage in plan.stages if stage not in ends]
        self.layers = nn.ModuleList(
            nodes[stage] if isinstance(stage, str) else _loop(plan, stage, nodes, learning_rule)
            for stage in self._stages
        )

    def __getitem__(self, name: str) -> nn.Module:
        """The module of a node."""
        for stage, layer in zip(self._stages, self.layers, strict=True):
            if stage == name:
                return layer
            if isinstance(stage, Loop) and name in stage.order:
                inner: Any = layer
                found: nn.Module = inner.nodes[stage.order.index(name)]
                return found
        names = [
            s
            for stage in self._stages
            for s in ([stage] if isinstance(stage, str) else stage.order)
        ]
        raise KeyError(f"Network: name must be one of {', '.join(names)}, got {name!r}")

    def named_layers(self) -> Iterator[tuple[str, nn.Module]]:
        """The modules by name in the order in which they run, neurons with weights of their own as one."""
        for stage, layer in zip(self._stages, self.layers, strict=True):
            if isinstance(stage, str):
                yield stage, layer
            elif isinstance(layer, modules.Loop):
                yield from zip(stage.order, layer.nodes, strict=True)
            else:
                yield stage.order[-1], layer

    def forward(
        self, x: Tensor, state: Mapping[str, Any] | None = None
    ) -> tuple[Tensor, dict[str, Any]]:
        """Run over a sequence.

        Args:
            x: Input, time first, (T, batch, ...).
            state: State after an earlier sequence; None: at rest.

        Returns:
            output: What reaches the graph's output, (T, batch, ...).
            state: State of each module that has one, by its name; that of a loop by the name of its last node.
        """
        signals = {self.plan.input: x}
        after: dict[str, Any] = {}
        for stage, layer in zip(self._stages, self.layers, strict=True):
            name = stage if isinstance(stage, str) else stage.order[-1]
            before = None if state is None else state.get(name)
            if isinstance(layer, modules.Loop):
                heard = {n: self._heard(n, signals) for n in stage.order}  # type: ignore[union-attr]
                inputs = {n: modules.total(signals_) for n, signals_ in heard.items() if signals_}
                outputs, new = layer(inputs, before)
                signals |= outputs
            else:
                heard_here = modules.total(self._heard(name, signals))
                signals[name], new = modules.call(layer, heard_here, before)
            after |= {} if new is None else {name: new}
        return modules.total(self._heard(self.plan.output, signals)), after

    if TYPE_CHECKING:
        __call__ = forward

    def _heard(self, name: str, signals: Mapping[str, Tensor]) -> list[Tensor]:
        """What reaches a node of what was sent so far."""
        return [signals[source] for source in self.plan.sources[name] if source in signals]


def _loop(
    plan: Plan, loop: Loop, nodes: Mapping[str, nn.Module], learning_rule: LearningRule
) -> nn.Module:
    """Neurons whose spikes come back through weights as one layer, any other loop step by step."""
    if len(loop.order) == 2:
        weights, neuron = loop.order
        recurrent, layer = nodes[weights], nodes[neuron]
        simple = plan.sources[weights] == (neuron,) and neuron not in plan.sources[neuron]
        if simple and isinstance(recurrent, nn.Linear) and isinstance(layer, Layer):
            return modules.Recurrence(layer, recurrent, learning_rule)
    inside = {n: [s for s in plan.sources[n] if s in loop.order] for n in loop.order}
    shapes = {
        source: tuple(int(n) for n in next(iter(plan.nodes[source].output_type.values())))
        for source, _ in loop.delayed
    }
    return modules.Loop({n: nodes[n] for n in loop.order}, inside, loop.delayed, shapes)
