"""Feed-forward networks of spiking layers, and readouts of their output spikes."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn

from lightning_modules.arguments import POSITIVE, check, check_sequences, layer_sizes, per_layer
from lightning_modules.precision import as_weights, at_least_float32, read_exactly
from snn_neuromod import LeakyIntegrator, Recurrent
from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.dynamics.traits import traits
from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels.products import SPIKE_DTYPES, spike_linear
from snn_neuromod.layers import Layer
from snn_neuromod.learning.eprop.network import warn_of_time_steps
from snn_neuromod.learning.rules import LearningRule

__all__ = [
    "FeedForward",
    "NetworkOutput",
    "Neuron",
    "Readout",
    "SpikeSum",
    "SpikingLinear",
    "is_graded",
    "membrane_of",
    "modulations",
]

Neuron = Callable[[int], Layer]
"""Makes a layer of neurons from their number; in YAML `class_path` and `init_args` of a layer."""

Readout = Callable[[int, int], nn.Module]
"""Makes a readout from the numbers of neurons read and of classes."""

Init = Literal["xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "orthogonal"]


class NetworkOutput(NamedTuple):
    """What a network returns.

    Attributes:
        outputs: Readout at every step, (T, batch, class).
        spikes: Spikes of each layer, first layer first, (T, batch, neuron).
    """

    outputs: Tensor
    spikes: list[Tensor]


class SpikeSum(nn.Module):
    r"""Readout that adds up the spikes of one output neuron per class: $y_t = a\,y_{t-1} + s_t$.

    Args:
        in_features: Number of output neurons.
        num_classes: Number of classes, the same.
        decay: Decay a per step, in (0, 1]; 1 sums without a leak.

    Raises:
        ValueError: If the numbers differ or `decay` is outside (0, 1].

    Examples:
        >>> y, _ = SpikeSum(2, 2)(torch.ones(5, 1, 2))
        >>> y[-1].tolist()
        [[5.0, 5.0]]
    """

    def __init__(self, in_features: int, num_classes: int, *, decay: float = 1.0) -> None:
        super().__init__()
        if in_features != num_classes:
            raise ConfigError(
                f"SpikeSum: in_features must equal num_classes={num_classes}, got {in_features}; "
                "let the last layer have one neuron per class, or choose another readout"
            )
        check("SpikeSum", "decay", decay, Range(0, 1, open_low=True))
        self.decay = decay
        tau = math.inf if decay == 1 else -1 / math.log(decay)
        self.filter = LeakyIntegrator(num_classes, tau=tau)

    def forward(self, spikes: Tensor, state: Any = None) -> tuple[Tensor, object]:
        """Read a sequence of spikes, (T, batch, in_features); returns sums of the same shape and the state."""
        return self.filter(spikes, state)

    def extra_repr(self) -> str:
        return f"decay={self.decay}"


class SpikingLinear(nn.Module):
    """Weights in front of a layer of neurons; they also take spikes as bytes, as `snn_neuromod.SpikeLinear` does.

    Args:
        neuron: The layer.
        in_features: Number of inputs.
        bias: Whether each neuron receives a learned constant current.
        input_gain: Factor of the weighted input.

    Attributes:
        weight: (neuron, in_features).
        bias: (neuron,), zero at first, or None.
    """

    def __init__(
        self, neuron: Layer, in_features: int, *, bias: bool = False, input_gain: float = 1.0
    ) -> None:
        super().__init__()
        num_neurons = neuron.num_neurons or 0
        self.neuron, self.input_gain = neuron, input_gain
        self.weight = nn.Parameter(torch.empty(num_neurons, in_features))
        self.bias = nn.Parameter(torch.zeros(num_neurons)) if bias else None

    def forward(self, x: Tensor, state: object = None) -> tuple[Tensor, object]:
        """Run over a sequence x (T, batch, in_features); returns spikes (T, batch, neuron) and the state."""
        return self.neuron(self.current(x), state)

    def current(self, x: Tensor) -> Tensor:
        """Input of the neurons, (T, batch, neuron), from x (T, batch, in_features)."""
        weight = self.weight if self.input_gain == 1 else self.input_gain * self.weight
        return spike_linear(x, weight, self.bias, backend=self.neuron.backend)

    def extra_repr(self) -> str:
        return f"in_features={self.weight.shape[1]}, input_gain={self.input_gain:g}"


class FeedForward(nn.Module):
    r"""Layers of spiking neurons one after another, with a readout of the last one.

    Args:
        sizes: Number of inputs, then the number of neurons of each layer, for instance `[784, 32, 10]`.
        num_classes: Number of classes.
        neuron: Makes the neurons of a layer from their number, for instance `snn_neuromod.MSRC`.
        output_neuron: The same for the last layer; None takes `neuron`.
        readout: Makes the readout from the number of neurons of the last layer and the number of classes: `SpikeSum`
            for one output neuron per class, `snn_neuromod.PopulationReadout` for fixed groups of neurons,
            `snn_neuromod.LeakyReadout` for learned weights.
        recurrent: Whether the neurons of a layer are connected among themselves; one value, or one per layer.
        learning_rule: "bptt" or "eprop", for recurrent layers; in a layer that is not recurrent both are the same.
        init: How weights are drawn, a function of `torch.nn.init` without its underscore.
        gain: Gain of that function (weights of kaiming_* are multiplied by it).
        input_gain: Factor of the weighted inputs, > 0, for neurons of large units such as Izhikevich's (10 to 100).
            In a recurrent layer it multiplies the first weights instead.
        bias: Whether each neuron receives a learned constant current; for layers that are not recurrent.

    Attributes:
        layers: The layers, each with its `.neuron`.
        readout: The readout.

    Raises:
        ValueError: If sizes are not positive, there is no layer, or the other arguments do not fit.

    Examples:
        >>> from snn_neuromod import MSRC
        >>> net = FeedForward([784, 32, 10], neuron=MSRC)
        >>> outputs, spikes = net((torch.rand(20, 4, 784) < 0.1).byte())  # (T, batch, input)
        >>> outputs.shape, [s.shape[-1] for s in spikes]
        (torch.Size([20, 4, 10]), [32, 10])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        neuron: Neuron,
        num_classes: int = 10,
        output_neuron: Neuron | None = None,
        readout: Readout = SpikeSum,
        recurrent: bool | Sequence[bool] = False,
        learning_rule: LearningRule = "bptt",
        init: Init = "xavier_uniform",
        gain: float = 1.0,
        input_gain: float = 1.0,
        bias: bool = False,
    ) -> None:
        super().__init__()
        sizes = layer_sizes("FeedForward", sizes)
        check("FeedForward", "init", init, Init)
        check("FeedForward", "gain", gain, POSITIVE)
        check("FeedForward", "input_gain", input_gain, POSITIVE)
        num_layers = len(sizes) - 1
        loops = per_layer("FeedForward", "recurrent", recurrent, num_layers)
        if bias and any(loops):
            raise ConfigError(
                "FeedForward: bias must be false with recurrent layers; learn the neurons' own b instead"
            )
        makers = [neuron] * (num_layers - 1) + [output_neuron or neuron]
        self.sizes, self.num_classes = sizes, num_classes
        self.layers = nn.ModuleList()
        for make, looped, (num_inputs, n) in zip(makers, loops, pairwise(sizes), strict=True):
            layer: nn.Module
            if looped:
                layer = Recurrent(make(n), num_inputs, learning_rule=learning_rule)
            else:
                layer = SpikingLinear(make(n), num_inputs, bias=bias, input_gain=input_gain)
            _initialise(layer, init, gain * input_gain if looped else gain)
            self.layers.append(layer)
        self.readout = readout(sizes[-1], num_classes)
        warn_of_time_steps("FeedForward", self.neurons, self.readout)

    @property
    def neurons(self) -> list[Layer]:
        """The neurons of each layer."""
        return [layer.neuron for layer in self.layers]  # type: ignore[misc]

    def forward(self, x: Tensor) -> NetworkOutput:
        """Run over a batch of sequences, starting at rest.

        Args:
            x: Input spikes, time first, (T, batch, sizes[0]), of any type.

        Returns:
            outputs: Readout at every step, (T, batch, num_classes), at least float32.
            spikes: Spikes of each layer.

        Raises:
            ValueError: If `x` has another shape.
        """
        check_sequences("FeedForward", x, self.sizes[0])
        # The first layer takes bytes as they are.
        x = x if x.dtype in SPIKE_DTYPES else as_weights(x, self)
        spikes, record = x, []
        for k in range(len(self.layers)):
            spikes, _ = self.run_layer(k, spikes, x)
            record.append(spikes)
        return NetworkOutput(read_exactly(self.readout, spikes), record)

    def run_layer(self, k: int, spikes: Tensor, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        """Run one layer over a sequence.

        Args:
            k: Which layer, 0 for the first.
            spikes: Its input, (T, batch, in_features): the spikes of the layer before, or `x`.
            x: The network's input, (T, batch, sizes[0]), of the network's type.
            state: State of the layer after an earlier sequence; None: at rest.

        Returns:
            spikes: (T, batch, neuron).
            state: State after the last step.
        """
        return self.layers[k](spikes, state)  # type: ignore[no-any-return]

    @torch.no_grad()
    def membranes(self, x: Tensor) -> list[Tensor]:
        """Membrane of every neuron at every step, for pictures; slow.

        Args:
            x: As in `forward`.

        Returns:
            The membrane of each layer, such as h (SRC family) or v, (T, batch, neuron).
        """
        x = x.to(next(self.parameters()).dtype)
        spikes, traces = x, []
        for k, layer in enumerate(self.layers):
            state, spiked, membrane = None, [], []
            for now, given in zip(spikes.split(1), x.split(1), strict=True):
                out, state = self.run_layer(k, now, given, state)
                cell = state.neuron if isinstance(layer, Recurrent) else state
                spiked.append(out)
                membrane.append(getattr(cell, membrane_of(self.neurons[k])))
            spikes = torch.cat(spiked)
            traces.append(torch.stack(membrane))
        return traces


def membrane_of(neuron: Layer) -> str:
    """Name of the membrane in a layer's state."""
    return traits(neuron.dynamics).membrane[-1]


def is_graded(neuron: Layer) -> bool:
    """Whether a layer's spikes are pulses of finite width and height, as in the SRC family."""
    return traits(neuron.dynamics).spike_level is not None


def modulations(network: FeedForward, *, learned: bool = False) -> dict[int, Tensor]:
    """Modulation of each layer that has one.

    Args:
        network: The network.
        learned: Whether to leave out layers that do not learn it.

    Returns:
        (neuron,), detached and on the CPU, by the number of the layer from 1.
    """
    found = {}
    for k, neuron in enumerate(network.neurons, 1):
        if hasattr(neuron, "modulation") and (neuron.modulation.requires_grad or not learned):
            value = at_least_float32(neuron.value("modulation").detach().cpu())
            found[k] = value.expand(neuron.num_neurons or 1).clone()
    return found


def _initialise(layer: nn.Module, init: Init, gain: float) -> None:
    fill = getattr(nn.init, f"{init}_")
    for weight in layer.parameters(recurse=False):
        if weight.ndim != 2:
            continue
        if init.startswith("kaiming"):
            fill(weight)
            with torch.no_grad():
                weight.mul_(gain)
        else:
            fill(weight, gain=gain)
    if isinstance(layer, Recurrent):
        layer.remove_absent(rescale=True)
