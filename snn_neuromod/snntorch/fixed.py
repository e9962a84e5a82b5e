"""Neurons whose threshold and reset belong to their equations."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor

from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.snntorch.base import Neuron


class FixedReset(Neuron):
    """Refuse snnTorch's keywords that have no meaning for a neuron."""

    _meaningless: ClassVar[Mapping[str, str]]
    """Keyword of snnTorch's: why it has no meaning here, and what to do."""

    remedy: ClassVar[str] = (
        "scale the weights in front to its range, `snn_neuromod.snntorch.scale_input(linear, neuron)`"
    )
    reset_mechanism_val: Tensor

    def _refuse(self, keywords: Mapping[str, Any]) -> None:
        for name in keywords:
            why = self._meaningless.get(name, "it is no keyword of this neuron")
            raise KindError(f"{type(self).__name__}: {name} cannot be set: {why}")

    def _forget_reset(self) -> None:
        """Keep what snnTorch's base class registers for threshold and reset out of the state_dict."""
        self.register_buffer("threshold", self.threshold, persistent=False)
        self.register_buffer("reset_mechanism_val", self.reset_mechanism_val, persistent=False)

    def _reset_cases(self, reset_mechanism: str) -> None:
        if reset_mechanism != "none" or "_reset_mechanism" in vars(self):
            why = self._meaningless["reset_mechanism"]
            raise ConfigError(f"{type(self).__name__}: reset_mechanism cannot be set: {why}")
