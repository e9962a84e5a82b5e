"""Recurrent layers on top of one another."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor, nn

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.layers.recurrent import Recurrent, RecurrentState
from snn_neuromod.learning.rules import LearningRule

Credit = Literal["broadcast", "spatial"]


class RecurrentStack(nn.Module):
    r"""Recurrent layers of which each reads the spikes of the one below, all read out together.

    Layer r of step t reads the spikes $z_{r-1}$ of the same step t and its own of step t - 1. The spikes of all layers
    come out side by side, for one readout that sees them all.

    Args:
        layers: The layers, from the input upwards; each reads as many features as the one below has neurons.
        credit: What a layer learns from. "broadcast": from the readout's error through its own columns of the readout
            alone, as each neuron does in Bellec et al. (2020); no gradient passes from a layer to the one below.
            "spatial": also from the layers above, by backpropagation through the layers.
        learning_rule: How the gradient passes through time, for all layers, as of `Recurrent`; None: each layer's own.

    Attributes:
        layers: The layers.
        num_neurons: Neurons of all layers together.

    Raises:
        ValueError: If there is no layer, one does not fit the one below, or `credit` is unknown.
        TypeError: If a layer is not a `Recurrent`.

    Examples:
        >>> import torch
        >>> from snn_neuromod import ALIF, LeakyReadout
        >>> lower = Recurrent(ALIF(20), in_features=5, learning_rule="eprop")
        >>> upper = Recurrent(ALIF(10), in_features=20, learning_rule="eprop")
        >>> stack, readout = RecurrentStack([lower, upper]), LeakyReadout(30, 3, feedback="random")
        >>> spikes, state = stack(torch.rand(40, 8, 5))  # (T, batch, in_features)
        >>> spikes.shape
        torch.Size([40, 8, 30])
        >>> y, _ = readout(spikes)
    """

    def __init__(
        self,
        layers: Sequence[Recurrent],
        *,
        credit: Credit = "broadcast",
        learning_rule: LearningRule | None = None,
    ) -> None:
        super().__init__()
        layers = list(layers)
        if not layers:
            raise ConfigError("RecurrentStack: layers must hold at least one layer, got none")
        for layer in layers:
            if not isinstance(layer, Recurrent):
                raise KindError(
                    f"RecurrentStack: layers must be Recurrent layers, got {type(layer).__name__}"
                )
        sizes = [layer.w_rec.shape[0] for layer in layers]
        for r, (below, layer) in enumerate(zip(sizes, layers[1:], strict=False), start=1):
            if layer.in_features != below:
                raise ConfigError(
                    f"RecurrentStack: layer {r} must have in_features={below}, the neurons of the layer below, "
                    f"got {layer.in_features}"
                )
        if credit not in get_args(Credit):
            raise ConfigError(
                f"RecurrentStack: credit must be one of {', '.join(get_args(Credit))}, got {credit!r}"
            )
        self.layers, self.credit, self.num_neurons = nn.ModuleList(layers), credit, sum(sizes)
        if learning_rule is not None:
            for layer in layers:
                layer.learning_rule = learning_rule

    def forward(
        self, x: Tensor, state: Sequence[RecurrentState] | None = None
    ) -> tuple[Tensor, tuple[RecurrentState[tuple[Tensor, ...]], ...]]:
        """Run all layers over a sequence.

        Args:
            x: Input of the lowest layer, time first, (T, batch, in_features).
            state: State of each layer after an earlier sequence; None: at rest.

        Returns:
            spikes: Those of all layers, the lowest first, (T, batch, num_neurons).
            state: State of each layer after the last step.

        Raises:
            ValueError: If `state` does not hold one state for each layer, or `x` or a state does not fit.
            TypeError: If `x` is not of a floating-point type.
        """
        if state is not None and len(state) != len(self.layers):
            raise ConfigError(
                f"RecurrentStack: state must hold one state for each of {len(self.layers)} layers, got {len(state)}"
            )
        emitted: list[Tensor] = []
        after: list[RecurrentState[tuple[Tensor, ...]]] = []
        for r, layer in enumerate(self.layers):
            spikes, layer_state = layer(x, None if state is None else state[r])
            emitted.append(spikes)
            after.append(layer_state)
            x = spikes.detach() if self.credit == "broadcast" else spikes
        return torch.cat(emitted, -1), tuple(after)

    if TYPE_CHECKING:
        __call__ = forward

    def extra_repr(self) -> str:
        return f"credit={self.credit!r}"
