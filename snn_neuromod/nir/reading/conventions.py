"""How a graph is run: what NIR leaves open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from snn_neuromod.errors import ConfigError
from snn_neuromod.learning.rules import LearningRule
from snn_neuromod.nir.neurons import Reset, Synapse
from snn_neuromod.surrogate import Psi


@dataclass(frozen=True)
class Conventions:
    """How a graph is run; see `from_nir`.

    Attributes:
        dt: Time step in ms, or None.
        reset: "value" or "subtract".
        synapse: "old" or "new".
        unit_step: Whether I and IF take steps of 1.
        learning_rule: Of recurrent layers.
        learn: Names of parameters that are learned.
        psi: Pseudo-derivative.
        dtype: Type of weights and parameters.
    """

    dt: float | None
    reset: Reset
    synapse: Synapse
    unit_step: bool
    learning_rule: LearningRule
    learn: frozenset[str]
    psi: Psi
    dtype: torch.dtype

    def step(self, name: str) -> float:
        """The time step.

        Args:
            name: Node that needs it, for the error message.

        Raises:
            ConfigError: If there is none.
        """
        if self.dt is None:
            raise ConfigError(
                f"from_nir: dt must be given (ms), got None; the graph holds none, and node {name!r} needs it"
            )
        return self.dt

    def tensor(self, values: Any) -> Tensor:
        """Values of a node in the type of the network."""
        return torch.as_tensor(np.array(values, dtype=np.float64)).to(self.dtype)


def conventions(
    held: Mapping[str, Any],
    *,
    dt: float | None,
    reset: str | None,
    synapse: str | None,
    unit_step: bool | None,
    **rest: Any,
) -> Conventions:
    """What is given, else what a file holds, else NIR's own.

    Args:
        held: Metadata of the file, dt in s.
        dt: Time step in ms.
        reset: As of `from_nir`.
        synapse: As of `from_nir`.
        unit_step: As of `from_nir`.
        **rest: Other fields of `Conventions`.

    Raises:
        ConfigError: If one of them is unknown, or the time step not positive.
    """
    return Conventions(
        dt=_time_step(held.get("dt") if dt is None else 1e-3 * dt),
        reset=_choice("reset", reset, held, Reset, "value"),
        synapse=_choice("synapse", synapse, held, Synapse, "old"),
        unit_step=bool(held.get("unit_step", False) if unit_step is None else unit_step),
        **rest,
    )


def _time_step(seconds: Any) -> float | None:
    """The time step in ms."""
    if seconds is None:
        return None
    dt = float(f"{1e3 * float(seconds):.12g}")
    if not 0 < dt < float("inf"):
        raise ConfigError(f"from_nir: dt must be > 0 (ms) and finite, got {dt}")
    return dt


def _choice(name: str, given: str | None, held: Mapping[str, Any], kind: Any, default: str) -> Any:
    value = str(held.get(name, default)) if given is None else given
    if value not in get_args(kind):
        raise ConfigError(
            f"from_nir: {name} must be one of {', '.join(get_args(kind))}, got {value!r}"
        )
    return value
