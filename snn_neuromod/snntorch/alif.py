"""ALIF neuron in the place of `snntorch.Leaky`."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor

from snn_neuromod._types import Param
from snn_neuromod.dynamics import alif
from snn_neuromod.errors import ConfigError
from snn_neuromod.snntorch.alif_family import ADAPT_DECAY, ALIFFamily
from snn_neuromod.snntorch.leaky import alif_sweep, psi_of
from snn_neuromod.snntorch.surrogate import SpikeGrad


class ALIF(ALIFFamily):
    r"""Adaptive LIF neuron in snnTorch's form; equations in `snn_neuromod.dynamics.alif`.

    `spk, adapt, mem = alif(input_, adapt, mem)`. With the constant `adapt_strength=0` it is `snntorch.Leaky`, spike for
    spike and in its calls: `mem = alif.reset_mem()`, `spk, mem = alif(input_, mem)`; the longer call stays possible.
    The threshold is threshold + adapt_strength * adapt, where adapt counts decayed spikes. As in snnTorch the spike
    that resets and adapts is computed again from the state of the step before, and the reset passes no gradient; the
    adaptation does.

    Args:
        beta: Decay of the membrane per step, clamped to [0, 1]; a number or a tensor, one per neuron.
        threshold: Baseline threshold; a number or one per neuron.
        spike_grad: Surrogate: a function of the distance to the threshold, such as those of `snntorch.surrogate`, or a
            `snn_neuromod.Psi`. None: snnTorch's arctangent, as an object that can be pickled.
        surrogate_disable: No surrogate gradient.
        init_hidden: Keep the state in the module; the call takes none and returns the spikes alone.
        inhibition: Only the neuron furthest above its threshold emits its spike; inputs are (batch, neuron).
        learn_beta: Learn beta.
        learn_threshold: Learn the threshold.
        reset_mechanism: "subtract", "zero" or "none"; may be set again later.
        state_quant: Quantiser of the membrane, from `snntorch.functional.quant`; False for none.
        output: With `init_hidden`, return the state as well.
        graded_spikes_factor: Factor of the emitted spikes.
        learn_graded_spikes_factor: Learn it.
        reset_delay: False resets in the step of the spike. Possible without adaptation only, since a membrane that has
            been reset no longer shows the spike that adapts.
        adapt_decay: Decay of the adaptation per step, rho, in [0, 1].
        adapt_strength: Rise of the threshold by a spike, >= 0, the papers' beta; 0, not learned, is plain Leaky.
        learn_adapt_decay: Learn adapt_decay.
        learn_adapt_strength: Learn adapt_strength.

    Raises:
        ValueError: If an argument is outside its range, or `reset_delay=False` meets adaptation.

    Examples:
        >>> import torch
        >>> net = torch.nn.Sequential(torch.nn.Linear(5, 20), ALIF(0.9, init_hidden=True))
        >>> torch.stack([net(x) for x in torch.rand(30, 8, 5).unbind(0)]).shape
        torch.Size([30, 8, 20])
    """

    dynamics = alif
    state_names: ClassVar[tuple[str, ...]] = ("adapt", "mem")
    _leaky_names: ClassVar[tuple[str, ...]] = ("mem",)
    _leaky: bool = False
    exact: ClassVar[bool] = True  # bit for bit a Leaky

    def __init__(
        self,
        beta: Param,
        threshold: Param = 1.0,
        spike_grad: SpikeGrad | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        learn_beta: bool = False,
        learn_threshold: bool = False,
        reset_mechanism: str = "subtract",
        state_quant: Any = False,
        output: bool = False,
        graded_spikes_factor: Param = 1.0,
        learn_graded_spikes_factor: bool = False,
        reset_delay: bool = True,
        *,
        adapt_decay: Param = ADAPT_DECAY,
        adapt_strength: Param = 0.184,
        learn_adapt_decay: bool = False,
        learn_adapt_strength: bool = False,
    ) -> None:
        super().__init__(
            threshold,
            spike_grad,
            surrogate_disable,
            init_hidden,
            inhibition,
            learn_threshold,
            reset_mechanism,
            state_quant,
            output,
            graded_spikes_factor,
            learn_graded_spikes_factor,
        )
        self._register_adaptation(
            beta, learn_beta, adapt_decay, learn_adapt_decay, adapt_strength, learn_adapt_strength
        )
        self.reset_delay, self._adapts = reset_delay, learn_adapt_strength
        self._look_at_strength()

    def step_options(self) -> dict[str, Any]:
        if not self.reset_delay:
            raise ConfigError(
                f"{type(self).__name__}: reset_delay must be True for an analysis, whose equations reset at the step "
                "after a spike, got False"
            )
        return {"reset": self._reset_mechanism}

    def _look_at_strength(self) -> None:
        """Whether the neuron is a Leaky; read from the device once, and again where the strength was changed."""
        strength = self.adapt_strength
        if not strength.is_meta:
            self._leaky = not (self._adapts or bool(strength.any()))
        # A tensor made in inference mode counts no changes: it is read at every step.
        self._looked_at = (strength, None if strength.is_inference() else strength._version)
        if not (self.reset_delay or self._leaky):
            raise ConfigError(
                f"{type(self).__name__}: reset_delay must be True with adaptation, got False; a membrane that was "
                "reset in the same step no longer shows the spike that adapts. Keep the delay, or set adapt_strength=0"
            )

    def _taken(self) -> tuple[str, ...]:
        if not torch.compiler.is_compiling():
            strength, version = self._looked_at
            if (
                self.adapt_strength is not strength
                or version is None
                or strength._version != version
            ):
                self._look_at_strength()
        return self._leaky_names if self._leaky else self.state_names

    def _plain(self, current: Tensor, states: list[Tensor], **inputs: Any) -> list[Tensor]:
        adapt, mem = states
        params = self.params(current.dtype)
        before = self._spikes(mem - alif.threshold(params, adapt), params.v_th)
        state = alif.State(mem, adapt, before, torch.zeros_like(mem))
        spikes, state = alif.step(
            params,
            state,
            self._drive(current, before),
            spike_fn=self._spikes,
            reset=self._reset_mechanism,
            detach_reset=True,
        )
        spk, adapt, mem = self._finish(params, spikes, state)
        if not self.reset_delay:
            mem = self._reset_at_once(params, spk, before.detach(), mem)
        return [spk, adapt, mem]

    def _trained_results(self, spk: Tensor, mem: Tensor) -> tuple[Tensor, ...]:
        return (spk,) if self._reset_mechanism == "none" else (spk, mem)  # or an integrator is read

    def _sweep(self, current: Tensor, states: list[Tensor]) -> list[Tensor] | None:
        psi = psi_of(self.spike_grad, self.threshold)
        if psi is None or not self.reset_delay:
            return None
        adapt, mem = states
        spikes, state = alif_sweep(
            self.params(current.dtype), psi, self._reset_mechanism, current, mem, adapt
        )
        return [spikes, state.a, state.v]

    def _drive(self, current: Tensor, before: Tensor) -> Tensor:
        return current

    def _reset_at_once(
        self, params: alif.Params, spk: Tensor, before: Tensor, mem: Tensor
    ) -> Tensor:
        """Reset without delay, as in snnTorch; a spike of the step before has been dealt with."""
        due = spk / self.graded_spikes_factor.to(spk.dtype) - before
        if self._reset_mechanism == "subtract":
            return mem - due * params.v_th
        return mem - due * mem if self._reset_mechanism == "zero" else mem
