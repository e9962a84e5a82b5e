"""The layers inside Norse's forms: parameters are those that the user gave, in Norse's units."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from snn_neuromod import layers
from snn_neuromod.dynamics.parameter import POSITIVE


class Shared(layers.Layer):
    """A layer that keeps the user's own parameters, under the names and in the units of Norse.

    A `Parameter` given is the parameter itself, also if another module has it; any other tensor that requires a
    gradient is read as it is, and stays the user's to optimise.
    """

    inverse: ClassVar[Mapping[str, str]] = {}
    """Time constants of the layer (ms), and the names of their inverses (1/s)."""
    tau_inv: float = 1000.0
    """Milliseconds of the layer in one second of Norse's `dt`."""

    def adopt(self, given: Mapping[str, Any], learned: Collection[str]) -> None:
        """Put Norse's parameters in the place of the layer's.

        Args:
            given: Values by Norse's names.
            learned: Names of those that are learned.
        """
        names = {theirs: ours for ours, theirs in self.inverse.items()}
        self._ranges |= dict.fromkeys(names, POSITIVE)
        for name, value in given.items():
            held = getattr(self, names.get(name, name), None)
            if not isinstance(held, Tensor) or (name not in names and not _own(value)):
                continue
            delattr(self, names.get(name, name))
            if isinstance(value, nn.Parameter):
                self.register_parameter(name, value)
            elif _own(value):
                vars(self)[name] = value
            else:
                tensor = torch.as_tensor(value, dtype=held.dtype).expand(held.shape).clone()
                if name in learned:
                    self.register_parameter(name, nn.Parameter(tensor))
                else:
                    self.register_buffer(name, tensor)
        self.learned = tuple(name for name in given if name in learned or _own(given[name]))

    def value(self, name: str, dtype: torch.dtype | None = None) -> Tensor:
        theirs = self.inverse.get(name)
        if theirs is None or name in self._parameters or name in self._buffers:
            return super().value(name, dtype)
        tensor = 1000 / super().value(theirs, dtype)
        return tensor if dtype is None else tensor.to(dtype)

    def __getattr__(self, name: str) -> Any:
        """Time constants in ms too."""
        theirs = type(self).inverse.get(name)
        if theirs in vars(self).get("_parameters", ()) or theirs in vars(self).get("_buffers", ()):
            return self.value(name)
        return super().__getattr__(name)

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """Version 0.1 kept time constants in ms."""
        for ours, theirs in self.inverse.items():
            if prefix + ours in state_dict and prefix + theirs not in state_dict:
                state_dict[prefix + theirs] = 1000 / state_dict.pop(prefix + ours)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)


def _own(value: Any) -> bool:
    """Whether a value is a tensor whose gradient the user wants."""
    return isinstance(value, Tensor) and value.requires_grad


_TAUS = {"tau_mem": "tau_mem_inv", "tau_adapt": "tau_adapt_inv"}


class ALIF(Shared, layers.ALIF):
    """ALIF with inverse time constants."""

    inverse = _TAUS


class STDPALIF(Shared, layers.STDPALIF):
    """STDP-ALIF with inverse time constants."""

    inverse = _TAUS


class Izhikevich(Shared, layers.Izhikevich):
    """Izhikevich with the user's parameters."""


class Custom(Shared, layers.Custom):
    """A neuron of the user's own with the user's parameters."""


class SRC(Shared, layers.SRC):
    """SRC with the user's parameters."""


class MSRC(Shared, layers.MSRC):
    """mSRC with the user's parameters."""


class BSRC(Shared, layers.BSRC):
    """BSRC with the user's parameters."""
