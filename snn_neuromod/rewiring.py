r"""Pruning and growing of synapses during training, with their number kept: Deep R.

Every possible synapse has a sign for good. A weight that an optimiser's step takes across zero makes its synapse go
dormant, and for each such synapse another one, drawn uniformly among all that are not there, wakes up with weight zero.
So the network looks for useful connections and never holds more than it began with.

With a learning rate $\eta$, a weight w of sign s that is there moves, after the optimiser's own step, by

    w <- w - eta l1 s + sqrt(2 eta temperature) n,    n ~ N(0, 1)

Deviations from the source: the optimiser is any, not plain gradient descent; its momenta of synapses that went or came
are set to zero, but Adam's count of steps is shared by all, so that its first step for a new synapse is about three
learning rates long. The number is kept for each weight matrix on its own.

References:
    Bellec, Kappel, Maass, Legenstein, "Deep Rewiring: Training very sparse deep networks", ICLR 2018, Algorithm 1.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels.noise import drawn, key_of, normal, order, sent
from snn_neuromod.layers import Recurrent

__all__ = ["DeepRewiring", "Rewired", "rewire"]


class Rewired:
    """What a step of rewiring changed; unpacks as `moved, total`. To read either on a CUDA device is to wait for it.

    Args:
        counts: Both, on the device of the weights, (2,).
    """

    def __init__(self, counts: Tensor) -> None:
        self.counts = counts

    @property
    def moved(self) -> int:
        """Synapses that went dormant, and as many that were grown."""
        return int(self.counts[0])

    @property
    def total(self) -> int:
        """Synapses that are there."""
        return int(self.counts[1])

    def __iter__(self) -> Iterator[int]:
        return iter((self.moved, self.total))


@torch.no_grad()
def rewire(
    weight: Tensor,
    mask: Tensor,
    sign: Tensor,
    *,
    impossible: Tensor | None = None,
    generator: torch.Generator | None = None,
) -> Tensor:
    """Replace the synapses whose weights have crossed zero, in place.

    Args:
        weight: Weights, (to, from).
        mask: Which synapses are there, boolean.
        sign: Sign of every possible synapse, 1 or -1.
        impossible: Synapses that are never grown, boolean; None: all may be.
        generator: Source of randomness, on the CPU; on other devices what grows follows from its next number.

    Returns:
        The synapses that went or came, boolean: those whose optimiser state has lost its meaning.

    Examples:
        >>> weight, mask = torch.tensor([[0.5, -0.1, 0.0]]), torch.tensor([[True, True, False]])
        >>> changed = rewire(weight, mask, torch.ones(1, 3), generator=torch.Generator().manual_seed(0))
        >>> weight.tolist(), int(mask.sum())
        ([[0.5, 0.0, 0.0]], 2)
    """
    crossed = mask & (weight * sign < 0)
    if crossed.device.type == "cpu" and not crossed.any():  # elsewhere to look would be to wait
        return crossed
    mask &= ~crossed
    weight.masked_fill_(~mask, 0.0)
    free = ~mask if impossible is None else ~mask & ~impossible
    places = order(mask.numel(), generator, mask.device)
    free = free.flatten()[places]
    first = free & (free.cumsum(0, dtype=torch.int32) <= crossed.sum())  # as many as went
    grown = torch.empty_like(first).scatter_(0, places, first).view_as(mask)
    mask |= grown
    return crossed | grown


def _key(generator: torch.Generator | None, device: torch.device) -> Tensor:
    """What random numbers of a weight matrix are a function of."""
    on = torch.device("cpu") if generator is None else generator.device
    return key_of(sent(drawn(generator, on), device))


class DeepRewiring:
    """Deep R on the masked weights of a network; to be called after each step of its optimiser.

    Make it once the weights are what training starts from: the signs of the synapses that are there are those of their
    weights; the others are drawn.

    Args:
        network: Holds `Recurrent` layers; their `w_in` with a `mask_in` and `w_rec` with a `mask_rec` are rewired.
        optimizer: Its state is reset where synapses went or came, and its learning rates are those of `l1` and
            `temperature`. None: plain gradient descent by hand.
        l1: Pull of the weights towards zero, >= 0: how readily synapses are given up.
        temperature: Strength of the noise, >= 0.
        seed: Seed of signs, noise and growth.

    Raises:
        ValueError: If no layer has a mask, or `l1` or `temperature` is negative or comes without an optimiser.

    Examples:
        >>> from snn_neuromod import ALIF
        >>> from snn_neuromod.connectivity import Random
        >>> net = Recurrent(ALIF(20), 5, mask_rec=Random(sparsity=0.8))
        >>> optimizer = torch.optim.Adam(net.parameters())
        >>> rewiring = DeepRewiring(net, optimizer)
        >>> net(torch.rand(30, 8, 5))[0].sum().backward()
        >>> optimizer.step()
        >>> rewiring.step().total
        76
    """

    def __init__(
        self,
        network: nn.Module,
        optimizer: torch.optim.Optimizer | None = None,
        *,
        l1: float = 0.0,
        temperature: float = 0.0,
        seed: int = 0,
    ) -> None:
        for name, value in (("l1", l1), ("temperature", temperature)):
            if not value >= 0:
                raise ConfigError(f"DeepRewiring: {name} must be >= 0, got {value}")
            if value and optimizer is None:
                raise ConfigError(
                    f"DeepRewiring: {name} must be 0 without an optimizer, whose learning rate it needs, got {value}"
                )
        self.network, self.optimizer = network, optimizer
        self.l1, self.temperature = l1, temperature
        self.generator = torch.Generator().manual_seed(seed)
        self.signs: dict[str, Tensor] = {}
        for name, weight, mask, _ in self._masked():
            own = self.generator
            drawn = torch.randint(0, 2, weight.shape, generator=own, device=own.device) * 2 - 1
            now = weight.detach().sign().to(torch.int8)
            self.signs[name] = torch.where(
                mask & (now != 0), now, drawn.to(weight.device, torch.int8)
            )
        if not self.signs:
            raise ConfigError(
                "DeepRewiring: network must have a Recurrent layer with a mask, got none; "
                "give it mask_rec=connectivity.Random(sparsity=0.8)"
            )

    @torch.no_grad()
    def step(self) -> Rewired:
        """Move the weights by `l1` and noise, then replace those that have crossed zero."""
        counts = list[Tensor]()
        for name, weight, mask, impossible in self._masked():
            sign = self.signs[name]
            if self.l1 or self.temperature:
                rate = self._learning_rate(weight)
                weight.sub_(rate * self.l1 * sign * mask)
                if self.temperature:
                    noise = normal(_key(self.generator, weight.device), weight.numel())
                    noise = noise.to(weight.dtype).view_as(weight)
                    weight.add_(math.sqrt(2 * rate * self.temperature) * noise * mask)
            changed = rewire(weight, mask, sign, impossible=impossible, generator=self.generator)
            if self.optimizer is not None:
                for value in self.optimizer.state.get(weight, {}).values():
                    if isinstance(value, Tensor) and value.shape == weight.shape:
                        value.masked_fill_(changed, 0.0)
            counts.append(torch.stack([(changed & ~mask).sum(), mask.sum()]))
        return Rewired(torch.stack(counts).sum(0))

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run needs besides the network's own state."""
        return {"signs": dict(self.signs), "generator": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            ValueError: If it is the state of another network.
        """
        found = {name: tuple(sign.shape) for name, sign in state["signs"].items()}
        own = {name: tuple(sign.shape) for name, sign in self.signs.items()}
        if found != own:
            raise ConfigError(
                f"DeepRewiring: the state must be one of the weights {own}, got {found}"
            )
        for name, sign in state["signs"].items():
            self.signs[name] = sign.to(self.signs[name].device)
        self.generator.set_state(state["generator"].cpu())

    def _masked(self) -> Iterator[tuple[str, nn.Parameter, Tensor, Tensor | None]]:
        """Name, weight, mask and impossible synapses of every masked weight."""
        for name, layer in self.network.named_modules():
            if not isinstance(layer, Recurrent):
                continue
            prefix = f"{name}." if name else ""
            if layer.mask_in is not None:
                yield f"{prefix}w_in", layer.w_in, layer.mask_in, None
            if layer.mask_rec is not None:
                yield f"{prefix}w_rec", layer.w_rec, layer.mask_rec, layer.diagonal

    def _learning_rate(self, weight: nn.Parameter) -> float:
        if self.optimizer is not None:
            for group in self.optimizer.param_groups:
                if any(weight is parameter for parameter in group["params"]):
                    return float(group["lr"])
        return 0.0  # a weight that is not learned
