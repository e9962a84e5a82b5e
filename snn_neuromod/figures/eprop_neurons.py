r"""The neurons that e-prop is used with, one figure each: what comes in, the state, the spikes, what learning sees.

A neuron gets a current that switches on and off, and spikes of one presynaptic neuron over a weak synapse. Shown below
one another are these, the membrane with its threshold and spikes, adaptation or recovery, the pseudo-derivative $\psi$
and the eligibility trace $e$ of the synapse, as the papers write it: the reset is not differentiated.

"Fixed" Izhikevich: in the code behind the slides its pseudo-derivative was never assigned, so that every trace was zero
and hidden weights did not learn; and with $\Delta t$ = 1 ms the eligibility vector reaches 1e5. What the slides call
fixed is not published. Here it is the neuron with its pseudo-derivative in place and the derivative of the membrane by
itself bounded to [-1, 1] (`clip_jacobian=1`); the figure without is drawn with both faults.

References:
    Bellec et al., Nat. Commun. 11:3625 (2020). Traub et al., arXiv 2006.09988 (2020). W. van der Veen, arXiv 2201.07602
    (2022).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from snn_neuromod.dynamics import izhikevich
from snn_neuromod.figures import style
from snn_neuromod.figures.registry import Options
from snn_neuromod.layers import ALIF, STDPALIF, Izhikevich, Recurrent
from snn_neuromod.learning.eprop import traces

STEPS = 300
ON = slice(30, 230)
"""Steps at which the current is on."""
WEIGHT = 0.02
"""Of the synapse, in units of the current."""


class Neuron(NamedTuple):
    """What a figure shows; time is the first axis, 1 ms a step.

    Attributes:
        current: (T,).
        presynaptic: Steps of the presynaptic spikes.
        v: Membrane, (T,).
        threshold: (T,).
        spikes: (T,).
        slow: Adaptation or recovery, (T,).
        psi: Pseudo-derivative, (T,).
        eps: Eligibility vector of the membrane, (T,).
        e: Eligibility trace, (T,).
    """

    current: NDArray[np.float64]
    presynaptic: NDArray[np.int64]
    v: NDArray[np.float64]
    threshold: NDArray[np.float64]
    spikes: NDArray[np.float64]
    slow: NDArray[np.float64]
    psi: NDArray[np.float64]
    eps: NDArray[np.float64]
    e: NDArray[np.float64]


def compute(neuron: Any, current: float, *, seed: int = 0) -> Neuron:
    """Run a neuron and its eligibility trace.

    Args:
        neuron: An ALIF, STDP-ALIF or Izhikevich layer of one neuron.
        current: Input while it is on.
        seed: Of the presynaptic spikes.

    Returns:
        What the figure shows.
    """
    layer = Recurrent(neuron, 2).double()
    x = torch.zeros(STEPS, 1, 2, dtype=torch.float64)
    x[ON, 0, 0] = 1.0
    generator = torch.Generator().manual_seed(seed)
    x[:, 0, 1] = (torch.rand(STEPS, generator=generator) < 0.08).double()
    with torch.no_grad():
        layer.w_rec.zero_()
        layer.w_in.copy_(torch.tensor([[current, WEIGHT * current]]))
    run = list(traces.steps(layer, x))
    params = neuron.params(torch.float64)
    known = isinstance(neuron, Izhikevich)

    def over(values: list[torch.Tensor]) -> torch.Tensor:
        return torch.stack([value.reshape(-1)[-1] for value in values]).detach()

    v, spikes = over([step.state.v for step in run]), over([step.spikes for step in run])
    slow = over([step.state.u if known else step.state.a for step in run])
    if known:
        threshold = torch.full_like(v, izhikevich.PEAK)
        psi = neuron.psi.derivative(v - threshold, izhikevich.PEAK)
    else:
        threshold = params.v_th + params.beta * slow
        held = over([step.state.held for step in run]) > 0
        psi = neuron.psi.derivative(v - threshold, params.v_th, held)
    synapse = [step.eps["v"][0, 0, 1] for step in run]
    e = over([step.e[0, 0, 1] for step in run])
    return Neuron(
        (current * x[:, 0, 0]).numpy(),
        np.flatnonzero(x[:, 0, 1].numpy()),
        *(
            value.reshape(-1).numpy()
            for value in (v, threshold, spikes, slow, psi, over(synapse), e)
        ),
    )


def draw(
    found: Neuron, message: str, *, slow: str, unit: str, e: str = "", wide: bool = False
) -> Any:
    """Draw what `compute` found.

    Args:
        found: A run.
        message: What the figure says.
        slow: What the slow variable is, with its unit.
        unit: Unit of the membrane.
        e: Said in the panel of the eligibility trace.
        wide: Draw the eligibility trace in a scale that is logarithmic on both sides of zero.

    Returns:
        A matplotlib figure.
    """
    figure, axes = style.panels(5, heights=[0.7, 1.5, 0.8, 0.8, 1.0])
    top, membrane, second, derivative, trace = axes
    time = np.arange(STEPS)
    top.plot(time, found.current, color=style.BLACK, linewidth=0.9)
    top.plot(
        found.presynaptic, np.full(len(found.presynaptic), 1.25 * found.current.max()), "|",
        color=style.ORANGE, markersize=6, label="presynaptic spike",
    )  # fmt: skip
    style.label(top, f"current\n({unit})")
    fired = np.flatnonzero(found.spikes)
    shown = np.minimum(found.v, found.threshold.max() * 1.3)
    membrane.plot(time, shown, color=style.BLUE, linewidth=0.9, label="membrane v")
    membrane.plot(time, found.threshold, color=style.VERMILION, linewidth=0.9, label="threshold")
    height = found.threshold.max() + 0.2 * (found.threshold.max() - shown.min())
    membrane.plot(
        fired, np.full(len(fired), height), "|", color="black", markersize=6, label="spike"
    )
    style.label(membrane, f"membrane\n({unit})")
    second.plot(time, found.slow, color=style.GREEN, linewidth=0.9)
    style.label(second, slow)
    derivative.plot(time, found.psi, color=style.PURPLE, linewidth=0.9)
    style.label(derivative, "$\\psi$\n(spikes/" + unit + ")")
    trace.plot(time, found.e, color=style.ORANGE, linewidth=0.9)
    if wide:
        trace.set_yscale("symlog", linthresh=0.1)
    if e:
        trace.text(0.995, 0.93, e, transform=trace.transAxes, ha="right", va="top", fontsize=7)
    style.label(trace, "trace $e$\n(spikes/" + unit + ")")
    for ax in (derivative, trace):
        ax.axhline(0, color=style.PALE, linewidth=0.6, zorder=0)
    trace.set_xlabel("time (ms)", fontsize=8)
    trace.set_xlim(0, STEPS)
    for ax in (top, membrane):
        ax.legend(fontsize=6, ncols=3, loc="lower right", bbox_to_anchor=(1, 0.95), frameon=False)
    figure.suptitle(message, fontsize=10)
    return figure


def alif_neuron(options: Options) -> Any:
    """ALIF: each spike raises the threshold, so that firing slows down; learning sees most near the threshold."""
    neuron = ALIF(
        1, tau_mem=20.0, tau_adapt=200.0, beta=0.184, v_th=1.0, refractory=2, detach_reset=True
    )
    return draw(
        compute(neuron, 0.12, seed=options.seed),
        "ALIF: spikes raise the threshold, and firing slows down",
        slow="adaptation a\n(spikes)",
        unit="a.u.",
    )


def stdp_alif_neuron(options: Options) -> Any:
    """STDP-ALIF: the pseudo-derivative is negative while refractory, and so is the trace just after a spike."""
    neuron = STDPALIF(
        1, tau_mem=20.0, tau_adapt=200.0, beta=0.184, v_th=1.0, refractory=4, detach_reset=True
    )
    return draw(
        compute(neuron, 0.12, seed=options.seed),
        "STDP-ALIF: inputs that come just after a spike count against the synapse",
        slow="adaptation a\n(spikes)",
        unit="a.u.",
    )


def izhikevich_neuron(options: Options) -> Any:
    """Izhikevich as it was used: the neuron fires, the pseudo-derivative is missing, the trace is zero."""
    found = compute(Izhikevich(1, detach_reset=True), 10.0, seed=options.seed)
    largest = np.abs(found.eps).max()
    silent = found._replace(psi=0 * found.psi, e=0 * found.e)
    return draw(
        silent,
        "Izhikevich as it was used: without a pseudo-derivative the trace is zero, and nothing is learned",
        slow="recovery u\n(mV)",
        unit="mV",
        e=f"the eligibility vector under it reaches {largest:.0e} ms: too much for any $\\psi$",
    )


def fixed_izhikevich_neuron(options: Options) -> Any:
    """Izhikevich with its pseudo-derivative, and the derivative of the membrane by itself bounded."""
    found = compute(Izhikevich(1, clip_jacobian=1.0, detach_reset=True), 10.0, seed=options.seed)
    return draw(
        found,
        "Fixed Izhikevich: with a pseudo-derivative and a bounded Jacobian the trace is alive and finite",
        slow="recovery u\n(mV)",
        unit="mV",
        e=f"the eligibility vector stays below {np.ceil(np.abs(found.eps).max()):.0f} ms",
    )
