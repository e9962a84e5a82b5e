"""e-prop's gradient: explicit traces against the factorised form, and training under e-prop against backpropagation."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import torch
from torch import Tensor

from snn_neuromod import dynamics
from snn_neuromod.benchmarks.workloads import Comparison, Workload
from snn_neuromod.layers import ALIF, Recurrent

INPUTS = 100
KAPPA = 0.95


class _Problem(NamedTuple):
    """A live recurrent layer, its input, and the learning signal of each step, (T, batch, neuron)."""

    layer: Recurrent
    x: Tensor
    signal: Tensor


def _problem(num_steps: int, num_neurons: int, batch: int = 32) -> _Problem:
    layer = Recurrent(ALIF(num_neurons, detach_reset=True), INPUTS, learning_rule="eprop")
    with torch.no_grad():
        layer.w_in.add_(0.03)
    x = (torch.rand(num_steps, batch, INPUTS) < 0.1).float()
    return _Problem(layer, x, torch.randn(num_steps, batch, num_neurons))


def _gradient_part(num_steps: int, num_neurons: int, filtered: bool) -> Workload:
    """The gradient alone, from spikes and pseudo-derivatives that the forward pass left."""
    problem = _problem(num_steps, num_neurons)
    layer, x, signal = problem
    spikes, _ = layer(x)
    past = torch.cat([torch.zeros_like(spikes[:1]), spikes[:-1]]).detach()
    presynaptic, psi = torch.cat([x, past], -1), _psi(problem, past)
    kappa = KAPPA if filtered else 0.0

    def explicit() -> Tensor:
        return _explicit(layer, presynaptic, psi, signal, kappa)

    def factorised() -> Tensor:
        total = _filter_back(signal, kappa) if filtered else signal
        found = torch.autograd.grad(spikes, (layer.w_in, layer.w_rec), total, retain_graph=True)
        return torch.cat(found, 1)

    kind = "with the readout's filter" if filtered else "without filter"
    title = f"ALIF gradient alone, explicit traces / factorised, {kind}, T100 B32 N{num_neurons}"
    return Workload(title, explicit, factorised)


def _psi(problem: _Problem, past: Tensor) -> Tensor:
    """Pseudo-derivatives of all steps, (T, batch, neuron)."""
    layer, found = problem.layer, []
    neuron = layer.neuron
    w_in, w_rec = (w.detach() for w in layer.weights())
    current = problem.x @ w_in.T + past @ w_rec.T
    state, params = neuron.initial_state(current[0]), neuron.params()
    for current_t in current:
        _, state = neuron.step(current_t, state)
        distance = state.v - params.v_th - params.beta * state.a
        found.append(neuron.psi.derivative(distance, params.v_th))  # type: ignore[operator, union-attr]
    return torch.stack(found)


def _explicit(
    layer: Recurrent, presynaptic: Tensor, psi: Tensor, signal: Tensor, kappa: float
) -> Tensor:
    """Eligibility traces of Bellec et al. for ALIF, in as few passes over memory as plain PyTorch allows.

    With the reset detached, eps_v is the same for all neurons, (batch, 1, synapse); the others are per synapse.
    """
    alpha, rho, beta, _ = (p.item() for p in layer.neuron.params())
    batch, synapses, neurons = presynaptic.shape[1], presynaptic.shape[2], psi.shape[2]
    eps_v = presynaptic.new_zeros(batch, 1, synapses)
    eps_a, e = (presynaptic.new_zeros(batch, neurons, synapses) for _ in range(2))
    mean = torch.zeros_like(e) if kappa else e
    grad = presynaptic.new_zeros(neurons, 1, synapses)
    for s, psi_t, signal_t in zip(presynaptic, psi, signal, strict=True):
        eps_v.mul_(alpha).add_(s.unsqueeze(1))
        eps_a.mul_(rho).add_(e)
        torch.sub(eps_v, eps_a, alpha=beta, out=e).mul_(psi_t.unsqueeze(-1))
        if kappa:
            mean.mul_(kappa).add_(e)
        grad.baddbmm_(signal_t.T.unsqueeze(1), mean.transpose(0, 1))
    return torch.cat([grad[:, 0, :INPUTS], grad[:, 0, INPUTS:].fill_diagonal_(0.0)], 1)


def _filter_back(signal: Tensor, kappa: float) -> Tensor:
    out = signal.clone()
    for t in range(len(out) - 2, -1, -1):
        out[t].add_(out[t + 1], alpha=kappa)
    return out


def _whole(num_steps: int) -> Workload:
    """Forward and backward: eager BPTT, and the layer under e-prop."""
    layer, x, signal = _problem(num_steps, 256)
    weights = [layer.w_in, layer.w_rec]

    def finish(spikes: Tensor) -> Tensor:
        w_in, w_rec = torch.autograd.grad(spikes, weights, signal)
        return torch.cat([w_in, w_rec], 1)

    def eager(through_time: bool) -> Tensor:
        w_in, w_rec = layer.weights()
        current = torch.nn.functional.linear(x, w_in)
        neuron = layer.neuron
        spikes, _ = dynamics.scan(
            neuron.dynamics.step,
            neuron.params(),
            neuron.initial_state(current[0]),
            current,
            w_rec=w_rec,
            through_time=through_time,
            **neuron.step_options(),
        )
        return finish(spikes)

    return Workload(
        "recurrent ALIF, eager BPTT / layer under e-prop, forward and backward, T200 B32 N256",
        partial(eager, True),
        lambda: finish(layer(x)[0]),
        oracle=partial(eager, False),
    )


COMPARISONS = [
    *(
        Comparison(partial(_gradient_part, num_neurons=n, filtered=filtered), 100)
        for n in (100, 800)
        for filtered in (False, True)
    ),
    Comparison(_whole, 200),
]
