"""What ALIF and STDP-ALIF have in common in the place of `snntorch.Leaky`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from snn_neuromod._types import Param
from snn_neuromod.dynamics import alif
from snn_neuromod.errors import ConfigError, KindError
from snn_neuromod.snntorch.base import Neuron

ADAPT_DECAY = alif.Params().rho


class ALIFFamily(Neuron):
    """Parameters of the two, and how their spikes are read off the state."""

    beta: Tensor
    adapt_decay: Tensor
    adapt_strength: Tensor

    @property
    def input_scale(self) -> float:
        """In units of the threshold: ALIF fires on what `snntorch.Leaky` fires on."""
        return self._input_scale * float(self.threshold.detach().mean())

    def _register(self, name: str, value: Param, learn: bool, high: float | None) -> None:
        if not isinstance(value, Tensor | Sequence | int | float):
            raise KindError(
                f"{type(self).__name__}: {name} must be a number or a tensor, one per neuron, got {value!r}; a "
                "distribution gives one by .sample(num_neurons)"
            )
        tensor = torch.as_tensor(value).detach().clone()
        tensor = tensor if tensor.is_floating_point() else tensor.to(torch.get_default_dtype())
        inside = (tensor >= 0) if high is None else (tensor >= 0) & (tensor <= high)
        if not bool(inside.all()):
            wanted = "be >= 0" if high is None else f"lie in [0, {high:g}]"
            raise ConfigError(f"{type(self).__name__}: {name} must {wanted}, got {value}")
        if learn:
            self.register_parameter(name, nn.Parameter(tensor))
        else:
            self.register_buffer(name, tensor)

    def _register_adaptation(
        self,
        beta: Param,
        learn_beta: bool,
        adapt_decay: Param,
        learn_adapt_decay: bool,
        adapt_strength: Param,
        learn_adapt_strength: bool,
    ) -> None:
        self._register("beta", beta, learn_beta, None)
        self._register("adapt_decay", adapt_decay, learn_adapt_decay, 1.0)
        self._register("adapt_strength", adapt_strength, learn_adapt_strength, None)

    def params(self, dtype: torch.dtype | None = None) -> alif.Params:
        """Parameters of the equations in `snn_neuromod.dynamics.alif`.

        Args:
            dtype: Type of the result; None keeps the module's own.

        Returns:
            beta as alpha and adapt_decay as rho, both clamped to [0, 1], adapt_strength as beta, threshold as v_th.
        """
        params = alif.Params(
            alpha=self.beta.clamp(0, 1),
            rho=self.adapt_decay.clamp(0, 1),
            beta=self.adapt_strength,
            v_th=self.threshold,
        )
        return params if dtype is None else alif.Params(*(p.to(dtype) for p in params))  # type: ignore[union-attr]

    def step_options(self) -> dict[str, Any]:
        """What the neuron has set of the options of its step in `snn_neuromod.dynamics`; `analysis` reads it."""
        raise NotImplementedError

    def initial_state(self, current: Tensor) -> alif.State:
        """State at rest of those equations, of the shape of a current."""
        return alif.initial_state(current)

    def _rest(self, current: Tensor) -> list[Tensor]:
        return [torch.zeros_like(current) for name in self.state_names if name != "spk"]

    def _finish(
        self, params: alif.Params, spikes: Tensor, state: alif.State, held: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Emitted spikes, adaptation and membrane: the options that act after the neuron's step."""
        threshold, mem = alif.threshold(params, state.a), state.v
        if self.state_quant:  # its levels end a little above v_th: they grow with the threshold
            rise = (threshold / params.v_th).detach()
            mem = self.state_quant(mem / rise) * rise
            spikes = self._spikes(mem - threshold, params.v_th, held)
        return self._emit(spikes, mem - threshold), state.a, mem

    def _load_from_state_dict(
        self, state_dict: dict[str, Any], prefix: str, *args: Any, **kwargs: Any
    ) -> None:
        """A state_dict of `snntorch.Leaky` or `RLeaky` has no adaptation: the neuron's own stays."""
        own = {
            prefix + name: getattr(self, name).detach()
            for name in ("adapt_decay", "adapt_strength")
        }
        if prefix + "beta" in state_dict and not set(own) & set(state_dict):
            state_dict.update(own)
        super()._load_from_state_dict(state_dict, prefix, *args, **kwargs)
