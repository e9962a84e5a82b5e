"""The reference scan: the equations of `snn_neuromod.dynamics` in a loop under ordinary autograd.

It is what every variant of the same function is checked against, in float64.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from snn_neuromod import SRC, Psi, dynamics
from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.peers.torch_tools import backward, tensors
from snn_neuromod.benchmarks.problems import Problem

__all__ = ["w1", "w2", "w3", "w4", "w5", "w6"]


def src(problem: Problem) -> Any:
    """The SRC layer, its bias learned."""
    c, n = problem.constants, problem.size.neurons
    layer = SRC(n, b=c["b"], start=c["start"], learn=["b"], detach_recurrence=bool(c["detach"]))
    return layer.to(problem.device, getattr(torch, problem.dtype))


def w1(problem: Problem) -> Run:
    """SRC layer."""
    t, layer = tensors(problem, ["current"]), src(problem)
    state = layer.initial_state(t["current"][0].detach())

    def run() -> Outcome:
        out, _ = dynamics.scan(
            dynamics.src.step, layer.params(), state, t["current"], **layer.step_options()
        )
        return backward(out, t["cotangent"], [layer.b, t["current"]])

    return run


def w1_compiled(problem: Problem, chunk: int = 10) -> Run:
    """SRC layer, `torch.compile` of a chunk of steps."""
    t, layer = tensors(problem, ["current"]), src(problem)
    start, options = layer.initial_state(t["current"][0].detach()), layer.step_options()
    params, b = dynamics.src.Params(), layer.b

    def steps(current: Tensor, i: Tensor, h: Tensor, h_s: Tensor) -> tuple[Tensor, ...]:
        state, out = dynamics.src.State(i, h, h_s), []
        for current_t in current.unbind(0):
            s, state = dynamics.src.step(params._replace(b=b), state, current_t, **options)
            out.append(s)
        return torch.stack(out), *state

    compiled = torch.compile(steps, fullgraph=True)

    def run() -> Outcome:
        state: tuple[Tensor, ...] = start
        parts = []
        for part in t["current"].split(chunk):
            out, *state = compiled(part, *state)  # type: ignore[assignment]
            parts.append(out)
        return backward(torch.cat(parts), t["cotangent"], [b, t["current"]])

    return run


def lif(problem: Problem) -> tuple[Any, dict[str, Any]]:
    """Parameters and options of W2's LIF neuron, which is snnTorch's `Leaky`."""
    c = problem.constants
    params = dynamics.alif.Params(alpha=c["alpha"], rho=0.0, beta=0.0, v_th=c["v_th"])
    psi = Psi("fast_sigmoid", gamma=1.0, width=1 / c["slope"], scale="none")
    return params, {"spike_fn": psi, "detach_reset": True}


def w2(problem: Problem) -> Run:
    """Linear layer and LIF neurons."""
    t = tensors(problem, ["weight"])
    params, options = lif(problem)
    state = dynamics.alif.initial_state(t["cotangent"][0])

    def run() -> Outcome:
        current = functional.linear(t["x"], t["weight"])
        out, _ = dynamics.scan(dynamics.alif.step, params, state, current, **options)
        return backward(out, t["cotangent"], [t["weight"]])

    return run


def alif(problem: Problem) -> dynamics.alif.Params:
    """Parameters of the recurrent ALIF neurons."""
    c = problem.constants
    return dynamics.alif.Params(c["alpha"], c["rho"], c["beta"], c["v_th"])


def recurrent(problem: Problem, t: dict[str, Tensor], *, hops: int | None) -> Tensor:
    """Spikes of the recurrent ALIF network."""
    current = functional.linear(t["x"], t["w_in"])
    out, _ = dynamics.scan(
        dynamics.alif.step,
        alif(problem),
        dynamics.alif.initial_state(current[0].detach()),
        current,
        w_rec=t["w_rec"].fill_diagonal_(0.0) if not t["w_rec"].requires_grad else t["w_rec"],
        hops=hops,
        spike_fn=Psi(gamma=problem.constants["gamma"]),
        detach_reset=hops == 0,
    )
    return out


def without_diagonal(outcome: Outcome) -> Outcome:
    """Gradients of w_in, w_rec and what follows, without the self-connections that are not there."""
    w_in, w_rec, *more = outcome.gradients
    return outcome._replace(gradients=[w_in, w_rec.fill_diagonal_(0.0), *more])


def w3(problem: Problem) -> Run:
    """Recurrent ALIF, backpropagation through time."""
    t = tensors(problem, ["w_in", "w_rec"])

    def run() -> Outcome:
        out = recurrent(problem, t, hops=None)
        return without_diagonal(backward(out, t["cotangent"], [t["w_in"], t["w_rec"]]))

    return run


def w4(problem: Problem) -> Run:
    """Recurrent ALIF with a leaky readout, e-prop as autograd defines it: no gradient through recurrent spikes."""
    learned = ["w_in", "w_rec", "w_out"]
    t = tensors(problem, learned)
    kappa = dynamics.leaky_integrator.Params(problem.constants["kappa"])

    def run() -> Outcome:
        spikes = recurrent(problem, t, hops=0)
        weighted = functional.linear(spikes, t["w_out"])
        y, _ = dynamics.scan(
            dynamics.leaky_integrator.step,
            kappa,
            dynamics.leaky_integrator.initial_state(weighted[0].detach()),
            weighted,
        )
        return without_diagonal(
            backward(y, t["cotangent"], [t[name] for name in learned], spikes.detach())
        )

    return run


w5 = w4
"""The same gradient, the whole sequence at once."""


def w6(problem: Problem) -> Run:
    """Izhikevich layer."""
    t, c = tensors(problem, ["current"]), problem.constants
    params = dynamics.izhikevich.Params(c["a"], c["b"], c["c"], c["d"], c["dt"])
    state = dynamics.izhikevich.initial_state(t["current"][0].detach(), v=c["c"], b=c["b"])

    def run() -> Outcome:
        out, _ = dynamics.scan(dynamics.izhikevich.step, params, state, t["current"])
        return backward(out, t["cotangent"], [t["current"]])

    return run
