"""Weights that also take spikes as bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from snn_neuromod.kernels.backends import Backend, checked
from snn_neuromod.kernels.products import spike_linear

__all__ = ["SpikeLinear"]


class SpikeLinear(nn.Linear):
    """`torch.nn.Linear` that makes use of silence, and also takes spikes as bytes (uint8 or bool).

    On a CPU only spikes cost anything, forwards and for the gradient of the weights, as long as they are rare. Bytes
    need a quarter of the memory of float32; those above 1 count as so many spikes. In floating point any number but 0
    is a spike; large inputs are looked through, and dense ones served as by `torch.nn.Linear`. Arguments, parameters
    and `state_dict` are those of `torch.nn.Linear`, which it replaces anywhere.

    Args:
        in_features: Number of inputs.
        out_features: Number of outputs.
        bias: Whether there is a bias.
        device: As of `torch.nn.Linear`.
        dtype: As of `torch.nn.Linear`.
        backend: Asks for a backend by name, see `kernels.backends`; None: as `kernels.use` or the environment says.

    Raises:
        ValueError: If `backend` is unknown.

    Examples:
        >>> import torch
        >>> layer = SpikeLinear(784, 10)
        >>> spikes = torch.rand(50, 8, 784) < 0.05
        >>> torch.allclose(layer(spikes), layer(spikes.float()), atol=1e-5)
        True
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | str | int | None = None,
        dtype: torch.dtype | None = None,
        *,
        backend: Backend | None = None,
    ) -> None:
        super().__init__(in_features, out_features, bias, device, dtype)
        self.backend = checked(type(self).__name__, backend)

    def forward(self, input: Tensor) -> Tensor:
        """Weighted input, (..., out_features), of `input` (..., in_features)."""
        return spike_linear(input, self.weight, self.bias, backend=self.backend)

    if TYPE_CHECKING:
        __call__ = forward

    def extra_repr(self) -> str:
        return super().extra_repr() + (f", backend={self.backend!r}" if self.backend else "")
