"""STDP-ALIF neuron in the place of `snntorch.Leaky`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

from torch import Tensor

from snn_neuromod import layers
from snn_neuromod._types import Param
from snn_neuromod.dynamics import alif, stdp_alif
from snn_neuromod.errors import ConfigError
from snn_neuromod.snntorch.alif_family import ADAPT_DECAY, ALIFFamily
from snn_neuromod.snntorch.leaky import psi_of, sequence_layer
from snn_neuromod.snntorch.surrogate import SpikeGrad

PSI = replace(stdp_alif.PSI, refractory=0.0)
"""Pseudo-derivative of this form: the source's, but 0 while refractory."""


class STDPALIF(ALIFFamily):
    r"""STDP-ALIF neuron in snnTorch's form; equations in `snn_neuromod.dynamics.stdp_alif`.

    `spk, held, adapt, mem = stdp_alif(input_, held, adapt, mem)`, where held counts the steps for which the neuron
    stays refractory. A spike empties the membrane, at the next step and once more when the refractory period ends, so
    that a loss of the membrane teaches it not to spike; one of spike counts suits it.

    What differs from the layer `snn_neuromod.STDPALIF`, so that it stands in the place of a `snntorch.Leaky`:

    | here | in the layer | reason |
    |---|---|---|
    | pseudo-derivative 0 while refractory | -gamma, the source's | firing often, it would climb, not descend |

    Args:
        beta: Decay of the membrane per step, clamped to [0, 1]; a number or a tensor, one per neuron.
        threshold: Baseline threshold; a number or one per neuron.
        spike_grad: Surrogate: a function of the distance to the threshold, whose gradient is zero while the neuron is
            refractory, or a `snn_neuromod.Psi`. None: `PSI`, the source's but for that zero.
        surrogate_disable: No surrogate gradient.
        init_hidden: Keep the state in the module; the call takes none and returns the spikes alone.
        inhibition: Only the neuron furthest above its threshold emits its spike; inputs are (batch, neuron).
        learn_beta: Learn beta.
        learn_threshold: Learn the threshold.
        reset_mechanism: "zero", the only one that this neuron has.
        state_quant: Quantiser of the membrane, from `snntorch.functional.quant`; False for none.
        output: With `init_hidden`, return the state as well.
        graded_spikes_factor: Factor of the emitted spikes.
        learn_graded_spikes_factor: Learn it.
        refractory: Refractory period in steps, >= 1; strict.
        adapt_decay: Decay of the adaptation per step, rho, in [0, 1].
        adapt_strength: Rise of the threshold by a spike, >= 0, the papers' beta.
        learn_adapt_decay: Learn adapt_decay.
        learn_adapt_strength: Learn adapt_strength.

    Raises:
        ValueError: If an argument is outside its range.

    Examples:
        >>> import torch
        >>> neuron = STDPALIF(0.9)
        >>> spk, held, adapt, mem = neuron(2 * torch.ones(8, 20))
        >>> bool(spk.all())
        True
    """

    dynamics = stdp_alif
    _input_scale: ClassVar[float] = 2.0
    state_names: ClassVar[tuple[str, ...]] = ("held", "adapt", "mem")

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
        reset_mechanism: str = "zero",
        state_quant: Any = False,
        output: bool = False,
        graded_spikes_factor: Param = 1.0,
        learn_graded_spikes_factor: bool = False,
        *,
        refractory: int = 2,
        adapt_decay: Param = ADAPT_DECAY,
        adapt_strength: Param = 0.184,
        learn_adapt_decay: bool = False,
        learn_adapt_strength: bool = False,
    ) -> None:
        if not refractory >= 1 or int(refractory) != refractory:
            raise ConfigError(
                f"{type(self).__name__}: refractory must be a number of steps >= 1, got {refractory}"
            )
        super().__init__(
            threshold,
            PSI if spike_grad is None else spike_grad,
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
        self.refractory = int(refractory)

    def step_options(self) -> dict[str, Any]:
        return {"refractory": self.refractory}

    def _reset_cases(self, reset_mechanism: str) -> None:
        if reset_mechanism != "zero":
            raise ConfigError(
                f"{type(self).__name__}: reset_mechanism must be 'zero', the only one of this neuron, "
                f"got {reset_mechanism!r}"
            )

    def _plain(self, current: Tensor, states: list[Tensor], **inputs: Any) -> list[Tensor]:
        held, adapt, mem = states
        params = self.params(current.dtype)
        before = self._spikes(mem - alif.threshold(params, adapt), params.v_th, held > 0)
        state = alif.State(mem, adapt, before, held)
        spikes, state = stdp_alif.step(
            params,
            state,
            current,
            spike_fn=self._spikes,
            refractory=self.refractory,
            detach_reset=True,
        )
        spk, adapt, mem = self._finish(params, spikes, state, state.held > 0)
        return [spk, state.held, adapt, mem]

    def _sweep(self, current: Tensor, states: list[Tensor]) -> list[Tensor] | None:
        psi = psi_of(self.spike_grad, self.threshold)
        if psi is None:
            return None
        held, adapt, mem = states
        params = self.params(current.dtype)
        before = psi(mem - alif.threshold(params, adapt), params.v_th, held > 0)
        layer = sequence_layer(
            layers.STDPALIF, psi=psi, refractory=self.refractory, detach_reset=True
        )
        spikes, state = layer._forward(
            current, alif.State(mem, adapt, before, held), params._asdict()
        )
        return [spikes, state.held, state.a, state.v]
