"""Izhikevich neuron in snnTorch's form."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, ClassVar

from torch import Tensor

from snn_neuromod import layers
from snn_neuromod._types import Param
from snn_neuromod.dynamics import izhikevich
from snn_neuromod.layers.parameters import Value
from snn_neuromod.snntorch.fixed import FixedReset
from snn_neuromod.snntorch.surrogate import SpikeGrad


class Izhikevich(FixedReset):
    r"""Izhikevich neuron in snnTorch's form; equations in `snn_neuromod.dynamics.izhikevich`.

    `spk, u, mem = neuron(input_, u, mem)`, u and mem in mV; an input of 10 drives the default neuron to about 20 Hz. It
    has no beta, no threshold to set and one reset of its own; the constructor takes keywords only.

    Args:
        a: Rate of recovery, 1/ms, > 0.
        b: Sensitivity of recovery to the membrane.
        c: Membrane after a spike, mV.
        d: Increase of recovery by a spike, mV.
        dt: Time step in ms, > 0; 0.5 is safer in training.
        v_init: Membrane before the first step, mV; recovery starts at its equilibrium.
        detach_reset: No gradient through the reset.
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
        detach_reset: bool = False,
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
        **meaningless: Any,
    ) -> None:
        self._refuse(meaningless)
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
        self.layer: layers.Izhikevich = layers.Izhikevich(
            num_neurons,
            a=a,
            b=b,
            c=c,
            d=d,
            dt=dt,
            v_init=v_init,
            detach_reset=detach_reset,
            learn=learn,
        )

    def forward(self, input_: Tensor, u: Tensor | None = None, mem: Tensor | None = None) -> Any:
        """Advance by one time step.

        Args:
            input_: Input current, (batch, ..., neuron), floating point.
            u: Recovery after the step before, mV; None: at rest.
            mem: Membrane after the step before, mV; None: at rest.

        Returns:
            (spk, u, mem), each of the input's shape; spk alone with `init_hidden=True` and `output=False`.

        Raises:
            TypeError: If a state is passed with `init_hidden=True`, or the input is not floating point.
            ValueError: If a state has another shape than the input.
        """
        return self._call(input_, (u, mem))

    def _rest(self, current: Tensor) -> list[Tensor]:
        state = self.layer.initial_state(current)
        return [state.u, state.v]

    def _advance(self, current: Tensor, states: list[Tensor], **inputs: Any) -> list[Tensor]:
        u, mem = states
        before = self._spikes(mem - izhikevich.PEAK, izhikevich.PEAK)
        spikes, state = izhikevich.step(
            self.layer.params(current.dtype),
            izhikevich.State(mem, u, before),
            current,
            spike_fn=self._spikes,
            detach_reset=self.layer.detach_reset,
        )
        mem = state.v
        if self.state_quant:
            mem = self.state_quant(mem)
            spikes = self._spikes(mem - izhikevich.PEAK, izhikevich.PEAK)
        return [self._emit(spikes, mem), state.u, mem]
