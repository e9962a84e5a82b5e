"""Bring the input of a neuron into the range in which it fires."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.snntorch.base import Neuron


def scale_input(linear: nn.Module, neuron: Neuron) -> None:
    r"""Scale the weights in front of a neuron to its range; once, when the network is built.

    The weights stay as they are drawn, so that learning rates keep their meaning: from now on the output of `linear` is
    multiplied by $g\, /\, (\sqrt{3\, n}\; \lVert W \rVert_\text{rms})$, where $n$ is the number of inputs of a unit and
    $g$ the neuron's `input_scale`; for weights as PyTorch draws them that is $g$. It is kept in the buffer
    `input_scale` of `linear`, in the state_dict too.

    Args:
        linear: The `nn.Linear` or convolution in front of the neuron; pooling may stand between.
        neuron: A neuron of this package.

    Raises:
        TypeError: If `linear` has no weights, or `neuron` is none of this package.
        ValueError: If the weights are all zero or not finite.

    Examples:
        >>> import torch
        >>> from snn_neuromod.snntorch import Izhikevich
        >>> linear, neuron = torch.nn.Linear(50, 20), Izhikevich(init_hidden=True)
        >>> scale_input(linear, neuron)
        >>> bool(sum(neuron(linear(torch.rand(8, 50))).sum() for _ in range(50)) > 0)
        True
    """
    if not isinstance(neuron, Neuron):
        raise KindError(
            f"scale_input: neuron must be one of this package, got {type(neuron).__name__}"
        )
    weight = getattr(linear, "weight", None)
    if not isinstance(weight, Tensor) or weight.ndim < 2:
        raise KindError(
            f"scale_input: linear must be a layer with weights, got {type(linear).__name__}"
        )
    inputs = weight[0].numel()
    size = (3 * weight.detach().square().mean() * inputs).sqrt()
    if not (bool(size > 0) and bool(size.isfinite())):
        raise ConfigError(
            f"scale_input: weights must be finite and not all zero, got size {size:g}"
        )
    linear.register_buffer("input_scale", neuron.input_scale / size)
    if not is_scaled(linear):
        linear.register_forward_hook(_scaled)


def is_scaled(module: nn.Module) -> bool:
    """Whether the one hook of a module is that of `scale_input`."""
    others = (module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks)
    return [*module._forward_hooks.values()] == [_scaled] and not any(others)


def _scaled(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    scale: Any = module.input_scale
    scaled: Tensor = output * scale.to(output.dtype)
    return scaled
