r"""Loss terms on firing rates and weights, as in the e-prop papers.

Firing rates. With the rate $f_j = \frac{1}{\Delta t\, T B} \sum_{t,b} z_{j,b}^t$ of neuron j over the steps that count,
in spikes per ms, and the target f*,

$$E = c \sum_j (f_j - f^*)^2$$

- with eligibility traces, the default: E is a loss like any other. Under e-prop its gradient is
  $\frac{dE}{dW_{ji}} = \sum_{t,b} \frac{2 c (f_j - f^*)}{\Delta t\, T B} e_{ji}^t$, with traces not filtered by the
  readout's kappa (Bellec et al. 2020, Methods); under BPTT it is the exact one.
- without, as in van der Veen (2022): each trace is replaced by one, $\frac{dE}{dW_{ji}} = \frac{2 c}{\Delta t}
  (f_j - f^*)$ for every synapse of neuron j that is there. All weights of a neuron that fires too rarely rise alike,
  also those of inputs that are silent or negative. The value of E is the same. (The published code takes the mean rate
  up to the step instead of that of the sequence, and c instead of 2 c.)

References:
    Bellec et al., Nat. Commun. 11:3625 (2020), Methods. Van der Veen, arXiv 2201.07602 (2022).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from lightning_modules.arguments import POSITIVE, ZERO_OR_MORE, check, per_layer
from snn_neuromod import Recurrent
from snn_neuromod.errors import ConfigError, KindError

__all__ = ["L2", "FiringRate", "Over", "mean_rates"]

Over = Literal["mean", "sum"]


@dataclass(frozen=True)
class FiringRate:
    r"""Penalty $c\,(f_j - f^*)^2$ on the rate of each neuron.

    Args:
        weight: Weight c, >= 0; 0 switches it off.
        target: Rate f*, >= 0, in spikes per ms (0.01 is 10 Hz), one for all layers or one for each. For graded spikes
            it is the mean of $\max(0, h)$, about twice their number.
        dt: Duration of a step in ms, > 0; with 1 rates are spikes per step.
        over: "mean" over the neurons of a layer and over layers, or "sum" over all neurons, which is what c = 50 in the
            papers is meant for.
        eligibility: Whether the gradient contains the eligibility traces; see the module.

    Raises:
        ValueError: If an argument is outside its range.
    """

    weight: float = 0.0
    target: float | list[float] = 0.0
    dt: float = 1.0
    over: Over = "mean"
    eligibility: bool = True

    def __post_init__(self) -> None:
        check("FiringRate", "weight", self.weight, ZERO_OR_MORE)
        check("FiringRate", "target", self.target, ZERO_OR_MORE)
        check("FiringRate", "dt", self.dt, POSITIVE)
        check("FiringRate", "over", self.over, Over)

    def __call__(
        self,
        spikes: Sequence[Tensor],
        inside: Tensor | None = None,
        *,
        layers: Sequence[nn.Module] | None = None,
    ) -> Tensor:
        """Penalty of a batch.

        Args:
            spikes: Spikes of each layer, (T, batch, neuron).
            inside: Which frames count, as in `mean_rates`.
            layers: The `Recurrent` layers that gave the spikes; read without eligibility traces only.

        Returns:
            A scalar.

        Raises:
            ValueError: If targets or layers are not as many as layers of spikes.
            TypeError: If a layer is not a `Recurrent` where its weights are needed.
        """
        targets = per_layer("FiringRate", "target", self.target, len(spikes))
        rates = [mean_rates(layer, inside) / self.dt for layer in spikes]
        if not self.eligibility:
            rates = [
                rate.detach() + (total - total.detach()) / self.dt
                for rate, total in zip(rates, _total_weights(layers, len(spikes)), strict=True)
            ]
        errors = [(f - aim).square() for f, aim in zip(rates, targets, strict=True)]
        if self.over == "sum":
            return self.weight * torch.stack([error.sum() for error in errors]).sum()
        return self.weight * torch.stack([error.mean() for error in errors]).mean()


@dataclass(frozen=True)
class L2:
    r"""Penalty $\frac{\lambda}{2} \sum w^2$ on weights.

    Its gradient $\lambda w$ is that of `weight_decay` in Adam and SGD, but only for the parameters named here, and it
    shows in the loss. Absent synapses have no part in it; adaptive feedback weights decay like those of the readout.

    Args:
        weight: Weight lambda, >= 0; 0 switches it off.
        names: Names of the parameters.

    Raises:
        ValueError: If `weight` is negative.
    """

    weight: float = 0.0
    names: tuple[str, ...] = ("w_in", "w_rec", "w_out", "b_feedback")

    def __post_init__(self) -> None:
        check("L2", "weight", self.weight, ZERO_OR_MORE)

    def __call__(self, network: nn.Module) -> Tensor:
        """Penalty of a network's learned weights of these names.

        Raises:
            ValueError: If the network has none.
        """
        found = [
            parameter.square().sum()
            for name, parameter in network.named_parameters()
            if name.rpartition(".")[2] in self.names and parameter.requires_grad
        ]
        if not found:
            raise ConfigError(
                f"L2: names must hold names of learned parameters, got {', '.join(self.names)}"
            )
        return 0.5 * self.weight * torch.stack(found).sum()


def mean_rates(spikes: Tensor, inside: Tensor | None = None) -> Tensor:
    """Mean output of each neuron per step, over the steps that count.

    Args:
        spikes: Time first, (T, batch, neuron).
        inside: Which frames of each sequence count, bool (frames, batch), T a multiple of frames; None: all.

    Returns:
        (neuron,).

    Examples:
        >>> spikes = torch.tensor([1.0, 0.0, 1.0, 1.0])[:, None, None]
        >>> mean_rates(spikes), mean_rates(spikes, torch.tensor([[True], [False]]))
        (tensor([0.7500]), tensor([0.5000]))
    """
    if inside is None:
        return spikes.flatten(0, -2).mean(dim=0)
    steps = inside.repeat_interleave(len(spikes) // len(inside), dim=0)
    weights = steps.flatten().to(spikes.dtype)
    return weights @ spikes.flatten(0, 1) / weights.sum()


def _total_weights(layers: Sequence[nn.Module] | None, number: int) -> list[Tensor]:
    """Sum of each neuron's weights, (neuron,), of each layer."""
    if layers is None or len(layers) != number:
        raise ConfigError(
            f"FiringRate: layers must be the {number} layers with eligibility=False, got "
            f"{'none' if layers is None else len(layers)}"
        )
    totals = []
    for layer in layers:
        if not isinstance(layer, Recurrent):
            raise KindError(
                f"FiringRate: layers must be Recurrent with eligibility=False, got {type(layer).__name__}"
            )
        w_in, w_rec = layer.weights()
        totals.append(w_in.sum(1) + w_rec.sum(1))
    return totals
