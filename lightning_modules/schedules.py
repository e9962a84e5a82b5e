"""Learning-rate schedules that know the length of the run."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from lightning_modules.arguments import UNIT, check
from snn_neuromod.errors import ConfigError

__all__ = ["Decay", "WarmUp"]

Decay = Literal["none", "linear", "cosine"]


@dataclass(frozen=True)
class WarmUp:
    r"""Learning rate that rises linearly to the optimiser's own and falls afterwards, if wanted.

    With K steps of warm-up, step n = 0, 1, ... of the optimiser has (n + 1) / K of its learning rate for n < K. Then,
    over the rest of the run, the factor stays at 1, or falls to `final` in a straight line or as half a period of a
    cosine.

    Args:
        steps: Length K of the warm-up in steps of the optimiser, >= 0; Bellec et al. 2020 have 100.
        epochs: The same in epochs, >= 0, instead of `steps`; van der Veen 2022 has 1.
        decay: What follows.
        final: Factor of the learning rate at the end of the run, in [0, 1].

    Raises:
        ValueError: If an argument is outside its range, or `steps` and `epochs` are both given.

    Examples:
        >>> schedule = WarmUp(steps=4, decay="linear")
        >>> [round(schedule.factor(n, warm=4, total=8), 2) for n in range(9)]
        [0.25, 0.5, 0.75, 1.0, 1.0, 0.75, 0.5, 0.25, 0.0]
    """

    steps: int = 0
    epochs: float = 0.0
    decay: Decay = "none"
    final: float = 0.0

    def __post_init__(self) -> None:
        for name in ("steps", "epochs"):
            if not 0 <= getattr(self, name) < math.inf:
                raise ConfigError(f"WarmUp: {name} must be >= 0, got {getattr(self, name)}")
        check("WarmUp", "decay", self.decay, Decay)
        check("WarmUp", "final", self.final, UNIT)
        if self.steps and self.epochs:
            raise ConfigError(
                f"WarmUp: steps or epochs must be 0, got steps={self.steps} and epochs={self.epochs}"
            )

    def factor(self, step: int, *, warm: int, total: float) -> float:
        """Factor of the learning rate.

        Args:
            step: Steps of the optimiser before this one.
            warm: Steps of warm-up.
            total: Steps of the run.
        """
        if step < warm:
            return (step + 1) / warm
        if self.decay == "none":
            return 1.0
        progress = min(1.0, (step - warm) / max(1.0, total - warm))
        left = 1 - progress if self.decay == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return self.final + (1 - self.final) * left

    def schedule(self, optimizer: Optimizer, *, total: float, per_epoch: float) -> LambdaLR:
        """Schedule of an optimiser, which advances at each of its steps.

        Args:
            optimizer: The optimiser.
            total: Steps of the run, inf if unknown.
            per_epoch: Steps of an epoch, inf if unknown.

        Raises:
            ValueError: If a length is needed that is not known.
        """
        if self.epochs and not per_epoch < math.inf:
            raise ConfigError("WarmUp: epochs must be 0 with data of unknown length; use steps")
        if self.decay != "none" and not total < math.inf:
            raise ConfigError(
                f"WarmUp: decay must be none in a run without an end, got {self.decay!r}; set max_epochs or max_steps"
            )
        warm = round(self.epochs * per_epoch) if self.epochs else self.steps
        return LambdaLR(optimizer, lambda step: self.factor(step, warm=warm, total=total))
