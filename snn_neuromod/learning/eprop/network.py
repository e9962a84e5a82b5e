"""What e-prop reads of recurrent layers and their readout, by the names that `layers` gives."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


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
        ValueError: If the stack passes credit through its layers.
    """
    layers = list(getattr(layer, "layers", [layer]))
    for part in layers:
        if not hasattr(part, "w_rec"):
            raise TypeError(
                f"{who}: layer must be a Recurrent or a RecurrentStack, got {type(part).__name__}"
            )
    if not (hasattr(readout, "w_out") and hasattr(readout, "b_feedback")):
        raise TypeError(f"{who}: readout must be a LeakyReadout, got {type(readout).__name__}")
    if getattr(layer, "credit", "broadcast") != "broadcast":
        raise ValueError(
            f"{who}: layer must have credit='broadcast', got {layer.credit!r}: credit through layers is not local; "
            "take loss.backward() instead"
        )
    return layers


def weights(layer: Any) -> tuple[Tensor, Tensor]:
    """Input and recurrent weights of a `Recurrent` as they act."""
    return layer.w_in, layer.w_rec.masked_fill(layer.diagonal, 0.0)


def decays(readout: Any, dtype: torch.dtype) -> list[Group]:
    """Outputs of a `LeakyReadout` by their decay."""
    kappa = decay(readout, dtype).expand(readout.w_out.shape[0])
    return [Group(value, (kappa == value).nonzero()[:, 0]) for value in kappa.unique()]


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
