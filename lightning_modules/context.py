"""A feed-forward network told by a context signal, step by step, what to do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from lightning_modules.arguments import ONE_OR_MORE, check
from lightning_modules.networks import FeedForward, SpikingLinear
from snn_neuromod.errors import ConfigError

__all__ = ["ContextNetwork", "Contextual", "Path"]

Path = Literal["modulation", "current", "none"]


class Contextual(nn.Module):
    r"""A layer that a context $c_t$ reaches, as modulation or as current.

    $$
    \begin{aligned}
    h_{s0,t} &= h_{s0} + V c_t && \text{"modulation"} \\
    I_t &= W s_t + V c_t && \text{"current"}
    \end{aligned}
    $$

    Args:
        layer: The layer; for "modulation" its neurons have one.
        num_contexts: Number of context signals, >= 1.
        path: "modulation" or "current".
        weight: Start of V.

    Attributes:
        context_weight: V, (neuron, context), learned.

    Raises:
        ValueError: If the neurons have no modulation to act on.
    """

    def __init__(
        self, layer: SpikingLinear, num_contexts: int, path: Path, *, weight: float = 0.0
    ) -> None:
        super().__init__()
        if path == "modulation" and not hasattr(layer.neuron, "modulation"):
            raise ConfigError(
                f"Contextual: neuron must have a modulation, got {type(layer.neuron).__name__}; "
                "take snn_neuromod.MSRC or BSRC, or let the context enter as current"
            )
        self.layer, self.path = layer, path
        start = torch.full((len(layer.weight), num_contexts), float(weight))
        self.context_weight = nn.Parameter(start)

    @property
    def neuron(self) -> Any:
        """The neurons."""
        return self.layer.neuron

    def forward(self, x: Tensor, context: Tensor, state: object = None) -> tuple[Tensor, object]:
        """Run over a sequence.

        Args:
            x: Input, (T, batch, in_features).
            context: Context signals, (T, batch, context).
            state: State of the neurons after an earlier sequence; None: at rest.

        Returns:
            spikes: (T, batch, neuron).
            state: State after the last step.
        """
        current = self.layer.current(x)
        effect = functional.linear(context.to(current.dtype), self.context_weight)
        out: tuple[Tensor, object]
        if self.path == "current":
            out = self.neuron(current + effect, state)
        else:
            modulation = self.neuron.value("modulation") + effect
            out = self.neuron(current, state, modulation=modulation)
        return out

    def extra_repr(self) -> str:
        return f"path={self.path!r}"


class ContextNetwork(FeedForward):
    """A feed-forward network whose last inputs are context signals.

    Context acts on the layers that `context` names and on no others: on their modulation or, for comparison, on their
    current. It is not an input of the first weights, so a network with "none" everywhere does not see it.

    Args:
        sizes: Number of inputs, context signals included, then the number of neurons of each layer.
        context: How it reaches each layer: "modulation", "current" or "none".
        num_contexts: Number of context signals, the last inputs.
        context_weight: Start of the learned weights of the context.
        **options: As for `FeedForward`; layers that context reaches are not recurrent.

    Raises:
        ValueError: If an argument does not fit the others.

    Examples:
        >>> from snn_neuromod import MSRC
        >>> net = ContextNetwork([785, 32, 10], neuron=MSRC, context=["none", "modulation"])
        >>> digit = torch.rand(20, 4, 784) < 0.1  # (T, batch, input)
        >>> hold = torch.zeros(20, 4, 1)
        >>> hold[12:] = 1.0  # the context changes at run time
        >>> net(torch.cat([digit, hold], dim=-1)).outputs.shape
        torch.Size([20, 4, 10])
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        context: Sequence[Path],
        num_contexts: int = 1,
        context_weight: float = 0.0,
        **options: Any,
    ) -> None:
        sizes = list(sizes)
        check("ContextNetwork", "num_contexts", num_contexts, ONE_OR_MORE)
        if not sizes or not sizes[0] > num_contexts:
            raise ConfigError(
                f"ContextNetwork: sizes must start with more inputs than the {num_contexts} of the context, got {sizes}"
            )
        if len(context) != len(sizes) - 1 or not set(context) <= set(get_args(Path)):
            raise ConfigError(
                f"ContextNetwork: context must be one of {', '.join(get_args(Path))} for each of the "
                f"{len(sizes) - 1} layers, got {list(context)}"
            )
        super().__init__([sizes[0] - num_contexts, *sizes[1:]], **options)
        self.sizes, self.num_contexts = sizes, num_contexts
        for k, path in enumerate(context):
            layer = self.layers[k]
            if path == "none":
                continue
            if not isinstance(layer, SpikingLinear):
                raise ConfigError(
                    f"ContextNetwork: recurrent must be false for layers that context reaches, got layer {k + 1}"
                )
            self.layers[k] = Contextual(layer, num_contexts, path, weight=context_weight)

    def run_layer(self, k: int, spikes: Tensor, x: Tensor, state: Any = None) -> tuple[Tensor, Any]:
        layer = self.layers[k]
        if k == 0:
            spikes = spikes[..., : -self.num_contexts].contiguous()
        if isinstance(layer, Contextual):
            return layer(spikes, x[..., -self.num_contexts :], state)  # type: ignore[no-any-return]
        return layer(spikes, state)  # type: ignore[no-any-return]
