"""Whole sequences through a network that is written for a loop over time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import snntorch
import torch
from torch import Tensor, nn

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.snntorch.base import Neuron
from snn_neuromod.snntorch.leaky import leaky_sweep
from snn_neuromod.snntorch.scaling import is_scaled

_ROW_BY_ROW = (
    nn.Identity, nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.LayerNorm,
    nn.MaxPool1d, nn.MaxPool2d, nn.MaxPool3d, nn.AvgPool1d, nn.AvgPool2d, nn.AvgPool3d, nn.AdaptiveAvgPool1d,
    nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d, nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Sigmoid, nn.Tanh,
)  # fmt: skip
_IN_EVALUATION = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d
)  # fmt: skip


def run(net: nn.Module, x: Tensor) -> Any:
    """Take a whole sequence through an `nn.Sequential` at once, in the place of a loop over time.

    The result is that of `torch.stack([net(step) for step in x.unbind(0)])`, to the rounding of matrix products:
    neurons go on from the state that they keep and keep their last one. Neurons of this package, and `snntorch.Leaky`,
    run as one operator; linear layers, convolutions, pooling and the like take all steps as one batch. Everything else
    is called step by step: recurrent neurons, `state_quant`, `inhibition`, a neuron with `output=True`, surrogates
    other than `snn_neuromod.Psi` and snnTorch's atan and fast_sigmoid, batch normalisation and dropout in training,
    modules with hooks, modules of your own.

    Args:
        net: An `nn.Sequential`, nested or not, whose neurons have `init_hidden=True`; or one such neuron.
        x: Inputs, time first, (T, batch, ...); `x.expand(T, *x.shape)` for an input that stays.

    Returns:
        Outputs of the last module, (T, batch, ...); a tuple of such tensors if it returns several.

    Raises:
        TypeError: If `net` is something else, or a module before the last returns several tensors.
        ValueError: If `x` has no time and batch axis, or no steps.

    Examples:
        >>> import torch
        >>> from snn_neuromod import reset
        >>> from snn_neuromod.snntorch import ALIF
        >>> net = torch.nn.Sequential(torch.nn.Linear(5, 20), ALIF(0.9, init_hidden=True))
        >>> x = 3 * torch.rand(30, 8, 5)
        >>> spikes = run(net, x)
        >>> reset(net)
        >>> torch.equal(spikes, torch.stack([net(step) for step in x.unbind(0)]))
        True
    """
    if x.ndim < 2 or not x.shape[0]:
        raise ConfigError(
            f"run: x must have shape (T, batch, ...) with T >= 1, got {tuple(x.shape)}"
        )
    out: Any = x
    for module in _modules(net):
        if not isinstance(out, Tensor):
            raise KindError(
                f"run: modules before the last must return one tensor, got {len(out)} in front of "
                f"{type(module).__name__}; leave out output=True there"
            )
        out = _through(module, out)
    return out


def _modules(net: nn.Module) -> Iterator[nn.Module]:
    if type(net) is nn.Sequential and not _hooked(net):
        for module in net:
            yield from _modules(module)
    elif isinstance(net, snntorch.SpikingNeuron) and not net.init_hidden:
        raise KindError(
            f"run: neurons must keep their state, got {type(net).__name__} with init_hidden=False; set it to True"
        )
    else:
        yield net


def _hooked(module: nn.Module) -> bool:
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return any(getattr(module, name) for name in hooks) and not is_scaled(module)


def _through(module: nn.Module, x: Tensor) -> Any:
    if not _hooked(module):
        if _takes_rows(module):
            return _as_one_batch(module, x)
        spikes = module.sweep(x) if isinstance(module, Neuron) else leaky_sweep(module, x)
        if spikes is not None:
            return spikes
    return _stacked([module(step) for step in x.unbind(0)])


def _takes_rows(module: nn.Module) -> bool:
    if type(module) is nn.Flatten:
        return module.start_dim >= 1
    return type(module) in _ROW_BY_ROW or (type(module) in _IN_EVALUATION and not module.training)


def _as_one_batch(module: Any, x: Tensor) -> Tensor:
    """All steps as one batch; an input that stays is computed once."""
    if x.stride(0) == 0:
        one: Tensor = module(x[0])
        stays: Tensor = one.expand(len(x), *one.shape)
        return stays
    rows: Tensor = module(x.flatten(0, 1))
    out: Tensor = rows.unflatten(0, x.shape[:2])
    return out


def _stacked(outputs: Sequence[Any]) -> Any:
    if isinstance(outputs[0], Tensor):
        return torch.stack(list(outputs))
    return tuple(torch.stack(parts) for parts in zip(*outputs, strict=True))
