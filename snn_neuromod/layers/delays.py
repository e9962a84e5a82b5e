"""Delays of recurrent spikes, as arguments and as a module that keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from snn_neuromod.kernels.delays import Delays, grouped

Delay: TypeAlias = "int | Sequence[int] | Sequence[Sequence[int]] | Tensor"
"""Steps >= 1: one number, (N,) by presynaptic neuron, or (N, N) by synapse (neuron to, neuron from)."""


def checked_delay(
    who: str, delay: Delay, num_neurons: int | None, *, by_synapse: bool
) -> int | Tensor:
    """The delay as an int or an integer tensor; of delays by synapse the diagonal is not read.

    Args:
        who: Class whose argument it is.
        delay: Delay in steps.
        num_neurons: Number of neurons N; None: any, for one number only.
        by_synapse: Whether (N, N) is allowed.

    Raises:
        ValueError: If it is not made of integers >= 1, or of another shape.
        TypeError: If it is not made of numbers.
    """
    if isinstance(delay, Integral) and not isinstance(delay, bool):
        if delay < 1:
            raise ValueError(f"{who}: delay must be >= 1 step, got {delay}")
        return int(delay)
    n = num_neurons
    try:
        tensor = torch.as_tensor(delay)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(f"{who}: delay must be integers, got {delay!r}") from error
    wanted = [()] if n is None else [(), (n,), (n, n)] if by_synapse else [(), (n,)]
    integers = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    if not integers or tuple(tensor.shape) not in wanted:
        shapes = " or ".join(str(shape) for shape in wanted[1:])
        raise ValueError(
            f"{who}: delay must be an integer{shapes and ' or integers of shape ' + shapes}, "
            f"got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    tensor = tensor.detach().long().clone()
    if tensor.ndim == 2:
        others = tensor[~torch.eye(len(tensor), dtype=torch.bool, device=tensor.device)]
        tensor.fill_diagonal_(int(others.min()) if len(others) else 1)
    if not tensor.min() >= 1:
        raise ValueError(f"{who}: delay must be >= 1 step, got {tensor.min()}")
    return tensor if tensor.ndim else int(tensor)


class SynapticDelays(nn.Module):
    """The delays of a recurrent layer, grouped by value; delays in a tensor are saved with the layer.

    Args:
        delay: From `checked_delay`.
    """

    delay: Tensor | None

    def __init__(self, delay: int | Tensor) -> None:
        super().__init__()
        self._number = delay if isinstance(delay, int) else 0
        self.register_buffer("delay", None if isinstance(delay, int) else delay)
        self._group()

    def _load_from_state_dict(self, *args: Any, **kwargs: Any) -> None:
        super()._load_from_state_dict(*args, **kwargs)
        self._group()

    def _group(self) -> None:
        """Group the delays; again after others were loaded."""
        groups = grouped(self.given)
        for name in [name for name in self._buffers if name != "delay"]:
            delattr(self, name)
        self.steps, self._counts = groups.steps, (len(groups.sources), len(groups.masks))
        for kind, tensors in (("source", groups.sources), ("mask", groups.masks)):
            for k, tensor in enumerate(tensors):
                self.register_buffer(f"{kind}_{k}", tensor, persistent=False)

    @property
    def given(self) -> int | Tensor:
        """The delay as one number or a tensor."""
        return self._number if self.delay is None else self.delay

    @property
    def groups(self) -> Delays:
        """The groups, on the layer's device."""
        sources, masks = (
            tuple(getattr(self, f"{kind}_{k}") for k in range(count))
            for kind, count in zip(("source", "mask"), self._counts, strict=True)
        )
        return Delays(self.given, self.steps, sources, masks)
