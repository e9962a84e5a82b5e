"""Weights that also take spikes as bytes."""

from __future__ import annotations

from torch import Tensor, nn

from snn_neuromod.kernels.spikes import spike_linear

__all__ = ["SpikeLinear"]


class SpikeLinear(nn.Linear):
    """`torch.nn.Linear` that also takes spikes as bytes (uint8 or bool), a quarter of the memory of float32.

    On a CPU only spikes then cost anything, forwards and backwards, as long as they are rare. Arguments, parameters and
    `state_dict` are those of `torch.nn.Linear`, which it replaces anywhere; floating-point input is served as there.
    Bytes above 1 count as so many spikes.

    Examples:
        >>> import torch
        >>> layer = SpikeLinear(784, 10)
        >>> spikes = torch.rand(50, 8, 784) < 0.05
        >>> torch.allclose(layer(spikes), layer(spikes.float()), atol=1e-5)
        True
    """

    def forward(self, input: Tensor) -> Tensor:
        """Weighted input, (..., out_features), of `input` (..., in_features)."""
        return spike_linear(input, self.weight, self.bias)
