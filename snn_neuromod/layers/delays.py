"""Delays of recurrent spikes, as arguments and as a module that keeps them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.kernels.synapses import Delays, grouped
from snn_neuromod.layers.fixed import Fixed
from snn_neuromod.layers.times import Ms

Delay: TypeAlias = int | Ms | Sequence[int] | Sequence[Sequence[int]] | Tensor
"""Steps >= 1 or ms: one number, (N,) by presynaptic neuron, or (N, N) by synapse (neuron to, neuron from)."""


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
    if isinstance(delay, Ms):
        raise ConfigError(f"{who}: delay must be a number of steps, got {delay}")
    if isinstance(delay, Integral) and not isinstance(delay, bool):
        if delay < 1:
            raise ConfigError(f"{who}: delay must be >= 1 step, got {delay}")
        return int(delay)
    n = num_neurons
    try:
        with torch.device("cpu"):  # values are read, also where layers are made on the meta device
            tensor = torch.as_tensor(delay).cpu()
    except (TypeError, ValueError, RuntimeError) as error:
        raise KindError(f"{who}: delay must be integers, got {delay!r}") from error
    wanted = [()] if n is None else [(), (n,), (n, n)] if by_synapse else [(), (n,)]
    integers = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
    if not integers or tuple(tensor.shape) not in wanted:
        shapes = " or ".join(str(shape) for shape in wanted[1:])
        raise ConfigError(
            f"{who}: delay must be an integer{shapes and ' or integers of shape ' + shapes}, "
            f"got {tensor.dtype} of shape {tuple(tensor.shape)}"
        )
    tensor = tensor.detach().long().clone()
    if tensor.ndim == 2:
        others = tensor[~torch.eye(len(tensor), dtype=torch.bool, device="cpu")]
        tensor.fill_diagonal_(int(others.min()) if len(others) else 1)
    if not tensor.min() >= 1:
        raise ConfigError(f"{who}: delay must be >= 1 step, got {tensor.min()}")
    return tensor if tensor.ndim else int(tensor)


class SynapticDelays(Fixed, nn.Module):
    """The delays of a recurrent layer, grouped by value; delays in a tensor are saved with the layer.

    Args:
        delay: From `checked_delay`.

    Raises:
        AttributeError: If the delays are set later; load them with `load_state_dict`.
    """

    delay: Tensor | None
    steps: tuple[int, ...]
    fixed: ClassVar[frozenset[str]] = frozenset({"steps"})

    def __init__(self, delay: int | Tensor) -> None:
        super().__init__()
        self._number = delay if isinstance(delay, int) else 0
        self._first = None if isinstance(delay, int) else delay.clone()
        device = torch.get_default_device()
        self.register_buffer("delay", None if isinstance(delay, int) else delay.to(device))
        self._group(delay)

    def reset_parameters(self) -> None:
        """The delays that the constructor was given, for instance after `to_empty`."""
        if self.delay is not None and self._first is not None:
            self.delay.copy_(self._first)
            self._group(self._first)

    def _load_from_state_dict(
        self,
        state_dict: Mapping[str, Any],
        prefix: str,
        local_metadata: Any,
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        key = f"{prefix}delay"
        if self.delay is not None and key in state_dict:
            try:
                num = self.delay.shape[0]
                loaded = checked_delay("SynapticDelays", state_dict[key], num, by_synapse=True)
                if not isinstance(loaded, Tensor) or loaded.shape != self.delay.shape:
                    raise ConfigError(
                        f"SynapticDelays: delay must have shape {tuple(self.delay.shape)}, "
                        f"got {tuple(torch.as_tensor(state_dict[key]).shape)}"
                    )
            except (ValueError, TypeError) as error:
                error_msgs.append(f"{key}: {error}")
                return
        super()._load_from_state_dict(
            state_dict,
            prefix,
            local_metadata,
            strict,
            missing_keys,
            unexpected_keys,
            error_msgs,
        )
        if self.delay is not None and not self.delay.is_meta:
            self._group(self.delay.cpu())

    def _group(self, delay: int | Tensor) -> None:
        """Group the delays; again after others were loaded."""
        with torch.device("cpu"):
            groups = grouped(delay)
        for name in [name for name in self._buffers if name != "delay"]:
            delattr(self, name)
        self.__dict__["steps"] = groups.steps
        self._counts = (len(groups.sources), len(groups.masks))
        device = torch.get_default_device() if self.delay is None else self.delay.device
        plain = None if self.delay is None or self.delay.is_inference() else self.delay
        self._version = 0 if plain is None else plain._version
        for kind, tensors in (("source", groups.sources), ("mask", groups.masks)):
            for k, tensor in enumerate(tensors):
                self.register_buffer(f"{kind}_{k}", tensor.to(device), persistent=False)

    def _changed(self, delay: Tensor) -> bool:
        """Whether the delays were written to since they were grouped."""
        known = delay.is_meta or delay.is_inference()
        return not known and delay._version != self._version

    @property
    def given(self) -> int | Tensor:
        """The delay as one number or a tensor."""
        return self._number if self.delay is None else self.delay

    @property
    def groups(self) -> Delays:
        """The groups, on the layer's device; made again if the delays were changed in place."""
        delay = self.delay
        if delay is not None and not torch.compiler.is_compiling() and self._changed(delay):
            num = delay.shape[0]
            self._group(checked_delay("SynapticDelays", delay, num, by_synapse=True))
        sources, masks = (
            tuple(getattr(self, f"{kind}_{k}") for k in range(count))
            for kind, count in zip(("source", "mask"), self._counts, strict=True)
        )
        return Delays(self.given, self.steps, sources, masks)
