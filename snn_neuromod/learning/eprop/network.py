"""What e-prop reads of recurrent layers and their readout, by the names that `layers` gives."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from snn_neuromod.errors import ConfigError, KindError


class Group(NamedTuple):
    """Outputs of a readout that share a decay per step.

    Attributes:
        kappa: The decay, a scalar.
        outputs: Their indices.
    """

    kappa: Tensor
    outputs: Tensor


def local_layers(who: str, layer: nn.Module, readout: nn.Module) -> list[Any]:
    """The recurrent layers, the lowest first, each of which learns from the readout's error alone.

    Args:
        who: Name for error messages.
        layer: A `Recurrent`, or a `RecurrentStack` with `credit="broadcast"`.
        readout: A `LeakyReadout`.

    Raises:
        TypeError: If one is of another kind.
        ValueError: If the stack passes credit through its layers, or the readout reads another number of neurons.

    Warns:
        UserWarning: If readout and neurons count time in different steps.
    """
    layers = list(getattr(layer, "layers", [layer]))
    for part in layers:
        if not hasattr(part, "w_rec"):
            raise KindError(
                f"{who}: layer must be a Recurrent or a RecurrentStack, got {type(part).__name__}"
            )
    if not (hasattr(readout, "w_out") and hasattr(readout, "b_feedback")):
        raise KindError(f"{who}: readout must be a LeakyReadout, got {type(readout).__name__}")
    if getattr(layer, "credit", "broadcast") != "broadcast":
        raise ConfigError(
            f"{who}: layer must have credit='broadcast', got {layer.credit!r}: credit through layers is not local; "
            "take loss.backward() instead"
        )
    weights: Any = readout.w_out
    neurons, read = sum(part.w_rec.shape[0] for part in layers), weights.shape[1]
    if read != neurons:
        raise ConfigError(
            f"{who}: readout must have in_features={neurons}, the neurons of all layers, got {read}"
        )
    warn_of_time_steps(who, [part.neuron for part in layers], readout)
    return layers


def warn_of_time_steps(who: str, neurons: Sequence[nn.Module], readout: nn.Module) -> None:
    """Warn where a readout's time constant is counted in other steps than its neurons' are.

    Args:
        who: Name of what brings them together.
        neurons: Neurons; those of the SRC family have no time step of their own.
        readout: Their readout; only a `LeakyReadout` has a time step.
    """
    if not hasattr(readout, "b_feedback"):
        return
    steps: list[Any] = [getattr(neuron, "dt", None) for neuron in neurons]
    found = sorted({float(dt) for dt in steps if dt is not None})
    own = float(readout.filter.dt)  # type: ignore[arg-type, union-attr]
    if any(not math.isclose(dt, own) for dt in found):
        warnings.warn(
            f"{who}: the readout counts steps of {own:g} ms and its neurons steps of "
            f"{', '.join(f'{dt:g}' for dt in found)} ms, so that tau_out means another time than their time constants; "
            "give both the same dt",
            stacklevel=3,
        )


class Source(NamedTuple):
    """What some synapses of a layer bring.

    Attributes:
        values: Inputs and delayed spikes of each step, (steps, batch, synapse).
        mask: Which synapses those are, (neuron, synapse); None: all.
    """

    values: Tensor
    mask: Tensor | None


def sources(layer: Any, state: Any, x: Tensor, spikes: Tensor) -> list[Source]:
    """What the synapses of a layer bring at each step, by distinct delay where it differs from synapse to synapse.

    Args:
        layer: A `Recurrent`.
        state: Its state before the first step.
        x: Inputs, (steps, batch, in_features).
        spikes: Of all steps but the last, (steps - 1, batch, neuron).

    Returns:
        The inputs first, then the recurrent spikes, on the synapse axis.
    """
    before = [state.spikes[None]] if state.earlier is None else [state.earlier, state.spikes[None]]
    history = torch.cat([*before, spikes])
    longest, groups = history.shape[0] - spikes.shape[0], layer.delays.groups

    def delayed(by: int) -> Tensor:
        return history[longest - by :][: len(x)]

    delay, (first, *others) = groups.delay, groups.steps
    if not others or delay.ndim == 1:
        seen = delayed(first)
        for by in others:
            seen = torch.where(delay == by, delayed(by), seen)
        return [Source(torch.cat([x, seen], -1), None)]
    found: list[Source] = []
    for by in groups.steps:
        inputs = torch.full((len(delay), x.shape[-1]), not found, device=x.device)
        values = torch.cat([x, delayed(by)], -1)
        found.append(Source(values, torch.cat([inputs, delay == by], 1)))
    return found


def following(state: Any, neuron: Any, spikes: Tensor) -> Any:
    """State of a `Recurrent` one step on, from the new state of its neurons and their spikes."""
    earlier = state.earlier
    if earlier is not None:
        earlier = torch.cat([earlier, state.spikes[None]])[1:]
    return type(state)(neuron, spikes, earlier)


def detached(value: Any) -> Any:
    """A tensor off its graph; anything else as it is."""
    return value.detach() if isinstance(value, Tensor) else value


def by_neuron(found: list[Source]) -> Tensor:
    """The sources of a single step as every neuron sees them, (batch, neuron or 1, synapse)."""
    parts = [
        source.values[0].unsqueeze(1)
        if source.mask is None
        else source.values[0].unsqueeze(1) * source.mask
        for source in found
    ]
    return torch.stack(parts).sum(0) if len(parts) > 1 else parts[0]


class Decays:
    """Outputs of a `LeakyReadout` by their decay; which share one is looked at again only where it may have changed.

    Args:
        readout: The readout.
    """

    def __init__(self, readout: Any) -> None:
        self.readout = readout
        self._seen: tuple[Tensor | None, int] = None, 0
        self._outputs: list[Tensor] = []

    def groups(self, dtype: torch.dtype) -> list[Group]:
        """The groups, by ascending time constant."""
        tau: Tensor = self.readout.filter.tau
        if self._seen[0] is not tau or self._seen[1] != tau._version:
            self._seen, self._outputs = (tau, tau._version), self._alike(tau.detach())
        kappa = decay(self.readout, dtype).expand(len(self.readout.w_out))
        return [Group(kappa.index_select(0, some[:1])[0], some) for some in self._outputs]

    def _alike(self, tau: Tensor) -> list[Tensor]:
        """Indices of the outputs of each time constant."""
        if tau.ndim == 0:
            return [torch.arange(len(self.readout.w_out), device=tau.device)]
        return [(tau == value).nonzero()[:, 0] for value in tau.unique()]


def decay(readout: Any, dtype: torch.dtype) -> Tensor:
    """Decay per step of each output or of all, constant."""
    kappa: Tensor = readout.filter.params(dtype).kappa
    return kappa.detach()


def gain(readout: Any, kappa: Tensor) -> Tensor:
    """Weight of a filter's input."""
    return 1 - kappa if readout.filter.normalise else torch.ones_like(kappa)


def feedback(readout: Any) -> Tensor:
    """Weights that carry the error back, (out_features, neuron)."""
    b: Tensor = readout.w_out if readout.b_feedback is None else readout.b_feedback
    return b.detach()
