"""How PyTorch's layers are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import nir
import numpy as np
from torch import nn

from snn_neuromod.errors import ConfigError
from snn_neuromod.layers import SpikeLinear
from snn_neuromod.nir.modules import Delay, OverTime, Scale, SumPool2d, Threshold
from snn_neuromod.nir.writing.parts import Export, Part, Shape, array, features, weights

Writer = Callable[[Any, Shape, Export], list[Part]]
LEFT_OUT = (
    nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout, nn.FeatureAlphaDropout, nn.Identity,
)  # fmt: skip
"""Layers that do nothing once a network is trained."""


def _weights(layer: Any) -> tuple[Any, Any]:
    """Weight and bias, None if there is none, with the factor of `snn_neuromod.snntorch.scale_input` in them."""
    scale = layer._buffers.get("input_scale")
    factor = 1 if scale is None else array(scale)
    return array(layer.weight) * factor, None if layer.bias is None else array(layer.bias) * factor


def _linear(layer: nn.Linear, shape: Shape, export: Export) -> list[Part]:
    return [Part(weights(*_weights(layer)))]


def _conv(layer: Any, shape: Shape, export: Export) -> list[Part]:
    if layer.padding_mode != "zeros":
        raise ConfigError(f"padding_mode must be 'zeros', got {layer.padding_mode!r}")
    weight, bias = _weights(layer)
    bias = np.zeros(layer.out_channels, np.float32) if bias is None else bias
    sizes = (layer.stride, layer.padding, layer.dilation)
    if isinstance(layer, nn.Conv1d):
        one = [size if isinstance(size, str) else size[0] for size in sizes]
        return [Part(nir.Conv1d(shape[1], weight, *one, layer.groups, bias))]
    return [Part(nir.Conv2d(shape[1:], weight, *sizes, layer.groups, bias))]


def _pool(layer: Any, shape: Shape, export: Export) -> list[Part]:
    pads = layer.padding not in (0, (0, 0)) if hasattr(layer, "padding") else False
    if getattr(layer, "ceil_mode", False) or getattr(layer, "divisor_override", None):
        raise ConfigError("a pooling layer must have ceil_mode=False and no divisor_override")
    if pads and not getattr(layer, "count_include_pad", True):
        raise ConfigError("AvgPool2d must have count_include_pad=True where it pads")
    if isinstance(layer, nn.LPPool2d) and layer.norm_type != 1:
        raise ConfigError(f"LPPool2d must have norm_type=1, which is a sum, got {layer.norm_type}")
    kind = nir.AvgPool2d if isinstance(layer, nn.AvgPool2d) else nir.SumPool2d
    kernel, padding = _pair(layer.kernel_size), _pair(layer.padding) if pads else _pair(0)
    return [Part(kind(kernel, kernel if layer.stride is None else _pair(layer.stride), padding))]


def _pair(size: int | tuple[int, int]) -> Any:
    return np.array([size, size] if isinstance(size, int) else size)


def _flatten(layer: nn.Flatten, shape: Shape, export: Export) -> list[Part]:
    """The axes from the end: readers disagree about where they count from, and all take these."""
    start, end = (
        n - export.leading - len(shape) if n >= 0 else n for n in (layer.start_dim, layer.end_dim)
    )
    if not -len(shape) <= start <= end < 0:
        raise ConfigError(
            f"Flatten must leave batch and time alone, got start_dim={layer.start_dim} for {export.leading} such axes "
            f"and features of shape {shape}"
        )
    return [Part(nir.Flatten({"input": np.array(shape)}, start, end))]


def _over_time(layer: OverTime, shape: Shape, export: Export) -> list[Part]:
    inner = Export(export.dt, export.soft_reset, leading=1)
    return WRITERS[type(layer.module)](layer.module, shape, inner)


WRITERS: dict[type[nn.Module], Writer] = {
    nn.Linear: _linear,
    SpikeLinear: _linear,
    nn.Conv1d: _conv,
    nn.Conv2d: _conv,
    nn.AvgPool2d: _pool,
    nn.LPPool2d: _pool,
    SumPool2d: _pool,
    nn.Flatten: _flatten,
    OverTime: _over_time,
    Scale: lambda layer, shape, export: [Part(nir.Scale(array(layer.scale)))],
    Threshold: lambda layer, shape, export: [Part(nir.Threshold(features(layer.threshold, shape)))],
    Delay: lambda layer, shape, export: [
        Part(nir.Delay(1e-3 * export.step(None) * features(layer.steps, shape)))
    ],
}
