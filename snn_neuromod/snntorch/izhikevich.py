"""Izhikevich neuron in snnTorch's form."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import reduce
from typing import Any, ClassVar, Literal, NoReturn

import torch
from torch import Tensor

from snn_neuromod import layers
from snn_neuromod._types import Param
from snn_neuromod.dynamics import izhikevich
from snn_neuromod.errors import ConfigError
from snn_neuromod.layers.parameters import Value
from snn_neuromod.snntorch.fixed import FixedReset
from snn_neuromod.snntorch.fused import fused_sequence
from snn_neuromod.snntorch.leaky import psi_of, sequence_layer
from snn_neuromod.snntorch.surrogate import SpikeGrad

_LONGEST = 0.5  # ms, of a step of the equations


class Izhikevich(FixedReset):
    r"""Izhikevich neuron in snnTorch's form; equations in `snn_neuromod.dynamics.izhikevich`.

    `spk, u, mem = neuron(input_, u, mem)`, u and mem in mV; an input of 10 drives the default neuron to about 20 Hz. It
    has no beta, no threshold to set and one reset of its own; the constructor takes keywords only.

    What differs from the layer `snn_neuromod.Izhikevich`, so that it stands in the place of a `snntorch.Leaky`:

    | here | in the layer | reason |
    |---|---|---|
    | no gradient through the reset | gradient | snnTorch detaches every reset; through it gradients explode |
    | `clip_jacobian=0.5` if a call takes several steps | no bound | as Leaky's, a gradient fades over the steps |
    | steps of at most 0.5 ms, `substeps` of them in a call | one step of `dt` | at 1 ms strong inhibition excites |
    | input from `min_current` on | any | below it a step of 0.5 ms leaps over rest as well |

    A call that takes several steps emits one spike if any of them does.

    Args:
        a: Rate of recovery in 1/ms, > 0; negative together with a negative b only.
        b: Sensitivity of recovery to the membrane.
        c: Membrane after a spike in mV.
        d: Increase of recovery by a spike in mV.
        dt: Time of a call in ms, > 0.
        v_init: Membrane before the first step, mV; recovery starts at its equilibrium.
        detach_reset: No gradient through the reset.
        clip_jacobian: Bound, > 0, of the derivative of a neuron's membrane by itself, per step; up to 1 it keeps
            gradients from growing during a spike's upstroke, below 1 it lets them fade over the steps. None for none,
            "auto" for 0.5 where a call takes several steps.
        substeps: Steps of the equations in a call; None: as many as keep each at 0.5 ms or below.
        min_current: Stronger inhibition is taken as this, the gradient passes; None for no bound.
        num_neurons: Number of neurons; None for inputs of any shape, with parameters that all neurons share.
        learn: Names of the parameters a, b, c, d that are learned.
        spike_grad: Surrogate: a function of the distance to 30 mV, or a `snn_neuromod.Psi`. None: the source's
            exponential.
        surrogate_disable: No surrogate gradient.
        init_hidden: Keep the state in the module; the call takes none and returns the spikes alone.
        inhibition: Only the neuron with the highest membrane emits its spike; inputs are (batch, neuron).
        state_quant: Quantiser of the membrane, from `snntorch.functional.quant`; False for none.
        output: With `init_hidden`, return the state as well.
        graded_spikes_factor: Factor of the emitted spikes.
        learn_graded_spikes_factor: Learn it.

    Raises:
        ValueError: If an argument is outside its range.
        TypeError: If a keyword of snnTorch's is passed that has no meaning here.

    Examples:
        >>> import torch
        >>> neuron = Izhikevich(d=8.0, init_hidden=True)
        >>> bool(torch.stack([neuron(x) for x in torch.full((100, 1, 3), 10.0).unbind(0)]).any())
        True
    """

    state_names: ClassVar[tuple[str, ...]] = ("u", "mem")
    _input_scale: ClassVar[float] = 40.0
    _meaningless: ClassVar[Mapping[str, str]] = {
        "beta": "its membrane is quadratic and has no decay; set a, b, c, d",
        "learn_beta": "its membrane is quadratic and has no decay; set learn=['a', 'b', 'c', 'd']",
        "threshold": f"it spikes at its peak of {izhikevich.PEAK:g} mV; scale the input",
        "learn_threshold": f"it spikes at its peak of {izhikevich.PEAK:g} mV; set learn=['c', 'd']",
        "reset_mechanism": "a spike sets its membrane to c and adds d to its recovery; set c and d",
        "reset_delay": "its reset opens the step after the spike",
    }

    def __init__(
        self,
        *,
        a: Value = 0.02,
        b: Value = 0.2,
        c: Value = -65.0,
        d: Value = 2.0,
        dt: float = 1.0,
        v_init: float = -65.0,
        detach_reset: bool = True,
        clip_jacobian: float | Literal["auto"] | None = "auto",
        substeps: int | None = None,
        min_current: float | None = -100.0,
        num_neurons: int | None = None,
        learn: Collection[str] = (),
        spike_grad: SpikeGrad | None = None,
        surrogate_disable: bool = False,
        init_hidden: bool = False,
        inhibition: bool = False,
        state_quant: Any = False,
        output: bool = False,
        graded_spikes_factor: Param = 1.0,
        learn_graded_spikes_factor: bool = False,
        **meaningless: NoReturn,
    ) -> None:
        self._refuse(meaningless)
        steps = _steps(type(self).__name__, dt, substeps, min_current)
        if clip_jacobian == "auto":
            clip_jacobian = 0.5 if steps > 1 else None
        super().__init__(
            izhikevich.PEAK,
            izhikevich.PSI if spike_grad is None else spike_grad,
            surrogate_disable,
            init_hidden,
            inhibition,
            False,
            "none",
            state_quant,
            output,
            graded_spikes_factor,
            learn_graded_spikes_factor,
        )
        self._forget_reset()
        self.substeps, self.min_current = steps, min_current
        self.layer: layers.Izhikevich = layers.Izhikevich(
            num_neurons,
            a=a,
            b=b,
            c=c,
            d=d,
            dt=dt / steps,
            v_init=v_init,
            detach_reset=detach_reset,
            clip_jacobian=clip_jacobian,
            learn=learn,
        )

    def _rest(self, current: Tensor) -> list[Tensor]:
        state = self.layer.initial_state(current)
        return [state.u, state.v]

    def _plain(self, current: Tensor, states: list[Tensor], **inputs: Any) -> list[Tensor]:
        (u, mem), current = states, self._bounded(current)
        params = self.layer.params(current.dtype)
        options = {**self.layer.step_options(), "spike_fn": self._spikes}
        state = izhikevich.State(mem, u, self._spikes(mem - izhikevich.PEAK, izhikevich.PEAK))
        spikes = torch.zeros_like(mem)
        for _ in range(self.substeps):
            fired, state = izhikevich.step(params, state, current, **options)
            if self.state_quant:
                mem = self.state_quant(state.v)
                fired = self._spikes(mem - izhikevich.PEAK, izhikevich.PEAK)
                state = izhikevich.State(mem, state.u, fired)
            spikes = _either(spikes, fired)
        return [self._emit(spikes, state.v), state.u, state.v]

    def _sweep(self, current: Tensor, states: list[Tensor]) -> list[Tensor] | None:
        swept = fused_sequence(self, current, states) if self.substeps > 1 else None
        if swept is not None:
            return swept
        psi = psi_of(self.spike_grad, self.threshold)
        if psi is None:
            return None
        (u, mem), current = states, self._bounded(current)
        state = izhikevich.State(mem, u, psi(mem - izhikevich.PEAK, izhikevich.PEAK))
        options = {**self.layer.step_options(), "psi": psi}
        options.pop("spike_fn")
        layer = sequence_layer(layers.Izhikevich, **options)
        params = self.layer.params(current.dtype)._asdict()
        spikes, state = layer._forward(current.repeat_interleave(self.substeps, 0), state, params)
        steps = spikes.unflatten(0, (len(current), self.substeps)).unbind(1)
        return [reduce(_either, steps), state.u, state.v]

    def _bounded(self, current: Tensor) -> Tensor:
        """The gradient passes the bound: a neuron that is held down can come back."""
        if self.min_current is None:
            return current
        return current + (self.min_current - current).clamp(min=0).detach()


def _either(one: Tensor, other: Tensor) -> Tensor:
    """A spike where either is one."""
    return one + other * (1 - one)


def _steps(who: str, dt: float, substeps: int | None, min_current: float | None) -> int:
    """Steps in a call; checks what the layer does not know."""
    if not 0 < dt < math.inf:
        raise ConfigError(f"{who}: dt must be finite and > 0, got {dt}")
    if min_current is not None and not min_current < 0:
        raise ConfigError(f"{who}: min_current must be < 0 or None, got {min_current}")
    steps = math.ceil(dt / _LONGEST) if substeps is None else substeps
    if not steps >= 1 or int(steps) != steps:
        raise ConfigError(f"{who}: substeps must be a number of steps >= 1 or None, got {substeps}")
    return int(steps)
