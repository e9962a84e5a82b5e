"""Times in ms in the place of numbers of steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError

Time: TypeAlias = float | list[float] | list[list[float]]


@dataclass(frozen=True, eq=False)
class Ms:
    """A time in ms, which a layer turns into steps by its neurons' `dt`.

    As `delay` it is the time from a spike to its arrival. As `refractory` it is the shortest time between two spikes of
    a neuron, `t_ref` of NEST and of the papers: `Ms(5.0)` is `refractory=4` with steps of 1 ms.

    Args:
        time: A multiple of `dt`, > 0; for delays also one for each neuron or synapse.

    Examples:
        >>> from snn_neuromod import ALIF, Recurrent
        >>> neuron = ALIF(10, dt=0.5, refractory=Ms(2.0))
        >>> neuron.refractory, Recurrent(neuron, 3, delay=Ms(1.5)).delay
        (3, 3)
    """

    time: Time | Tensor | Sequence[float]

    def steps(self, who: str, name: str, dt: float | None) -> int | Tensor:
        """Number of steps.

        Args:
            who: Class whose argument it is, for error messages.
            name: Name of the argument.
            dt: Time step in ms; None: the step is the neurons' unit of time.

        Returns:
            One number, or integers of the shape of `time`.

        Raises:
            ValueError: If a time is not a multiple of `dt`, >= one step, or there is no `dt`.
        """
        if dt is None:
            raise ConfigError(
                f"{who}: {name} must be a number of steps for neurons whose unit of time is the step, got {self}"
            )
        exact = torch.as_tensor(self.time, dtype=torch.float64) / dt
        if exact.ndim == 2:  # by synapse: there are no self-connections
            exact = exact.clone().fill_diagonal_(1.0)
        steps = exact.round()
        if not bool(((exact - steps).abs() <= 1e-6 * steps).all() and (steps >= 1).all()):
            raise ConfigError(f"{who}: {name} must be a multiple of dt={dt:g} ms, > 0, got {self}")
        return steps.long() if steps.ndim else int(steps)


def in_steps(who: str, delay: Any, dt: float | None) -> Any:
    """A delay in steps; what is no `Ms` is left alone."""
    return delay.steps(who, "delay", dt) if isinstance(delay, Ms) else delay
