"""What NIR's nodes become: modules over sequences, time first."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from snn_neuromod.errors import ConfigError
from snn_neuromod.layers import Layer
from snn_neuromod.learning.rules import LearningRule, in_force, resolve
from snn_neuromod.surrogate import Psi


class OverTime(nn.Module):
    """A module without state, such as a convolution, on every step of a sequence.

    Args:
        module: Takes (batch, ...).
    """

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        """Run on (T, batch, ...)."""
        y: Tensor = self.module(x.flatten(0, 1))
        over_time: Tensor = y.unflatten(0, x.shape[:2])
        return over_time


class SumPool2d(nn.Module):
    """Sums over windows.

    Args:
        kernel_size: Height and width.
        stride: Height and width.
        padding: Height and width, of zeros.
    """

    def __init__(
        self, kernel_size: tuple[int, int], stride: tuple[int, int], padding: tuple[int, int]
    ) -> None:
        super().__init__()
        self.kernel_size, self.stride, self.padding = kernel_size, stride, padding

    def forward(self, x: Tensor) -> Tensor:
        """Run on (batch, channel, height, width)."""
        return functional.avg_pool2d(
            x, self.kernel_size, self.stride, self.padding, divisor_override=1
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class Scale(nn.Module):
    """Factors, one for each feature.

    Args:
        scale: The factors, shaped as the features.
    """

    def __init__(self, scale: Tensor) -> None:
        super().__init__()
        self.scale = nn.Parameter(scale)

    def forward(self, x: Tensor) -> Tensor:
        """Scale (..., features)."""
        return x * self.scale


class Threshold(nn.Module):
    """Spikes where the input is above a threshold.

    Args:
        threshold: One for each feature.
        psi: Pseudo-derivative of the spikes.
    """

    threshold: Tensor

    def __init__(self, threshold: Tensor, psi: Psi) -> None:
        super().__init__()
        self.psi = psi
        self.register_buffer("threshold", threshold)

    def forward(self, x: Tensor) -> Tensor:
        """Spikes, (..., features)."""
        unit = self.threshold.abs()
        return self.psi(x - self.threshold, torch.where(unit > 0, unit, 1.0))


class Delay(nn.Module):
    """Features that come steps later, each its own number; before, they are zero.

    Args:
        steps: Delay of each feature in steps, >= 0, shaped as the features, or one number for all.
    """

    steps: Tensor

    def __init__(self, steps: Tensor) -> None:
        super().__init__()
        self.register_buffer("steps", steps)

    def forward(self, x: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Delay a sequence.

        Args:
            x: (T, batch, features).
            state: The steps before it, (longest delay, batch, features); None: zeros.

        Returns:
            y: (T, batch, features).
            state: The last steps.
        """
        longest = int(self.steps.max())
        before = x.new_zeros((longest, *x.shape[1:])) if state is None else state
        whole = torch.cat([before, x])
        late = longest - self.steps.expand(x.shape[2:])
        steps = torch.arange(len(x), device=x.device).reshape(-1, *[1] * (x.ndim - 1))
        return whole.gather(0, (steps + late).expand(x.shape)), whole[len(x) :]


class Flat(nn.Module):
    """Neurons over several axes of features, each with parameters of its own.

    Args:
        layer: The neurons, in one axis.
        axes: How many axes of features there are.
    """

    def __init__(self, layer: Layer, axes: int) -> None:
        super().__init__()
        self.layer, self.axes = layer, axes

    def forward(self, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run over (T, batch, ...)."""
        y, state = self.layer(x.flatten(-self.axes), state)
        return y.reshape(x.shape), state


class RecurrenceState(NamedTuple):
    """State of `Recurrence`.

    Attributes:
        neuron: State of the neurons.
        spikes: Spikes of the last step, (batch, neuron).
    """

    neuron: Any
    spikes: Tensor


class Recurrence(nn.Module):
    """Neurons whose spikes come back through weights one step later; unlike in `Recurrent` also to themselves.

    Args:
        neuron: The neurons.
        recurrent: The weights, row: to, column: from; a bias is added at every step.
        learning_rule: As of `snn_neuromod.Recurrent`.
    """

    def __init__(self, neuron: Layer, recurrent: nn.Linear, learning_rule: LearningRule) -> None:
        super().__init__()
        self.neuron, self.recurrent, self.learning_rule = neuron, recurrent, learning_rule
        resolve("Recurrence", learning_rule).paths(
            neuron.dynamics
        )  # whether it can serve this neuron

    @property
    def nodes(self) -> tuple[nn.Module, nn.Module]:
        """The weights and the neurons."""
        return self.recurrent, self.neuron

    def forward(
        self, current: Tensor, state: RecurrenceState | None = None
    ) -> tuple[Tensor, RecurrenceState]:
        """Run over a sequence.

        Args:
            current: Weighted input, (T, batch, neuron).
            state: State after an earlier sequence; None: at rest.

        Returns:
            spikes: (T, batch, neuron).
            state: State after the last step.
        """
        if state is None:
            neuron = self.neuron.initial_state(current[0])
            state = RecurrenceState(neuron, torch.zeros_like(neuron[0]))
        bias, rule = self.recurrent.bias, in_force(resolve("Recurrence", self.learning_rule))
        if rule.credit != "adjoint":
            raise ConfigError(
                f"Recurrence: learning_rule must pass the adjoint of its input on, got {rule!r}; only nm.Recurrent, "
                "which knows its input weights, takes others"
            )
        spikes, after = self.neuron.forward_recurrent(
            current if bias is None else current + bias,
            state.neuron,
            self.recurrent.weight,
            state.spikes,
            rule=rule,
        )
        return spikes, RecurrenceState(after, spikes[-1])

    def extra_repr(self) -> str:
        return f"learning_rule={self.learning_rule!r}"


STATELESS = (nn.Linear, nn.Identity, OverTime, Scale, Threshold)


def call(module: nn.Module, x: Tensor, state: Any) -> tuple[Tensor, Any]:
    """Run a module over a sequence, with or without a state."""
    if isinstance(module, STATELESS):
        return module(x), None
    y, state = module(x, state)
    return y, state


def total(signals: Sequence[Tensor]) -> Tensor:
    """The sum of what several nodes send to one."""
    return reduce(operator.add, signals)


class Loop(nn.Module):
    """Nodes that wait for one another, run step by step.

    Args:
        modules: The nodes by name, in the order of one step.
        sources: For each node those of the loop that it listens to.
        delayed: Edges that carry what their source sent one step before; before the first step that is zero.
        shapes: Features that the sources of these edges send.
    """

    def __init__(
        self,
        modules: Mapping[str, nn.Module],
        sources: Mapping[str, Sequence[str]],
        delayed: frozenset[tuple[str, str]],
        shapes: Mapping[str, tuple[int, ...]],
    ) -> None:
        super().__init__()
        self.nodes = nn.ModuleList(modules.values())
        self._plan = [(name, tuple(sources[name])) for name in modules]
        self._delayed, self._shapes = delayed, dict(shapes)

    def forward(
        self, inputs: Mapping[str, Tensor], state: Any = None
    ) -> tuple[dict[str, Tensor], Any]:
        """Run over a sequence.

        Args:
            inputs: What comes from outside, for those nodes that something comes to, (T, batch, ...).
            state: State after an earlier sequence; None: at rest.

        Returns:
            outputs: Output of each node, (T, batch, ...).
            state: States of the nodes, and what they sent last.
        """
        example = next(iter(inputs.values()))[:1]
        if state is None:
            sent = {k: example.new_zeros(*example.shape[:2], *s) for k, s in self._shapes.items()}
            state = {}, sent
        states, sent = state
        steps: dict[str, list[Tensor]] = {name: [] for name, _ in self._plan}
        for current in zip(*(x.split(1) for x in inputs.values()), strict=True):
            here = dict(zip(inputs, current, strict=True))
            states, sent = self._step(here, states, sent)
            for name, output in sent.items():
                steps[name].append(output)
        return {name: torch.cat(outputs) for name, outputs in steps.items()}, (states, sent)

    def _step(
        self, here: Mapping[str, Tensor], states: Mapping[str, Any], sent: Mapping[str, Tensor]
    ) -> tuple[dict[str, Any], dict[str, Tensor]]:
        now: dict[str, Tensor] = {}
        after: dict[str, Any] = {}
        for module, (name, sources) in zip(self.nodes, self._plan, strict=True):
            signals = [here[name]] if name in here else []
            signals += [(sent if (s, name) in self._delayed else now)[s] for s in sources]
            now[name], after[name] = call(module, total(signals), states.get(name))
        return after, now
