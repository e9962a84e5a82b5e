"""Weights that also take spikes as bytes."""

from __future__ import annotations

from torch import Tensor, nn

from snn_neuromod.kernels.spikes import spike_linear

__all__ = ["SpikeLinear"]


class SpikeLinear(nn.Linear):
    """`torch.nn.Linear` that makes use of silence, and also takes spikes as bytes (uint8 or bool).

    On a CPU only spikes cost anything, forwards and for the gradient of the weights, as long as they are rare. Bytes
    need a quarter of the memory of float32; those above 1 count as so many spikes. In floating point any number but 0
    is a spike; large inputs are looked through, and dense ones served as by `torch.nn.Linear`. Arguments, parameters
    and `state_dict` are those of `torch.nn.Linear`, which it replaces anywhere.

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
