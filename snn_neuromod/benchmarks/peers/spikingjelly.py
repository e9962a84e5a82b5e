"""SpikingJelly 2: multi-step modules; `FlexSN` takes any step function, and is a Triton kernel on CUDA only."""

from __future__ import annotations

from typing import Any, cast

import torch
from spikingjelly.activation_based import functional as sj
from spikingjelly.activation_based import layer as layers
from spikingjelly.activation_based import neuron, surrogate
from torch import Tensor
from torch.nn import functional

from snn_neuromod.benchmarks.outcome import Outcome, Run
from snn_neuromod.benchmarks.peers import reference, training
from snn_neuromod.benchmarks.peers.torch_tools import backward, tensors
from snn_neuromod.benchmarks.problems import INPUTS, Problem
from snn_neuromod.dynamics import src

__all__ = ["w1", "w2", "w3", "w6", "w7"]


def w1(problem: Problem) -> Run:
    """`FlexSN` with the SRC's step as its core."""
    t, layer = tensors(problem, ["current"]), reference.src(problem)
    params, options = src.Params(), layer.step_options()
    start = layer.initial_state(t["current"][0].detach())

    def core(current: Tensor, i: Tensor, h: Tensor, h_s: Tensor, b: Tensor) -> tuple[Tensor, ...]:
        out, state = src.step(params._replace(b=b), src.State(i, h, h_s), current, **options)
        return out, *state

    shared = layer.b.expand_as(start.h)  # of a static input's elements each has its own value
    neurons: Any = neuron.FlexSN(core, 3, static_inputs=(shared,)).to(problem.device)

    def run() -> Outcome:
        neurons.states = tuple(start)
        return backward(neurons(t["current"]), t["cotangent"], [layer.b, t["current"]])

    return run


def _lif(problem: Problem, step_mode: str, v_threshold: float) -> Any:
    return neuron.LIFNode(
        tau=1 / (1 - problem.constants["alpha"]),
        decay_input=False,
        v_threshold=v_threshold,
        v_reset=None,
        surrogate_function=surrogate.PiecewiseQuadratic(alpha=0.3),
        detach_reset=True,
        step_mode=step_mode,
    ).to(problem.device)


def w2(problem: Problem) -> Run:
    """A product for all steps and `LIFNode`; reset by subtraction within the step."""
    t = tensors(problem, ["weight"])
    node = _lif(problem, "m", problem.constants["v_th"])

    def run() -> Outcome:
        sj.reset_net(node)
        out = node(functional.linear(t["x"], t["weight"]))
        return backward(out, t["cotangent"], [t["weight"]])

    return run


def w3(problem: Problem) -> Run:
    """A product for all steps and `LinearRecurrentContainer` of `LIFNode`: one product per step with [x, z]."""
    t = tensors(problem)
    n = problem.size.neurons
    inside = torch.nn.Sequential(_lif(problem, "s", 1.6 * problem.constants["v_th"]))
    box = layers.LinearRecurrentContainer(inside, INPUTS, n, bias=False, step_mode="m")
    box.rc = torch.nn.Linear(INPUTS + n, n, bias=False)
    box.rc.weight = torch.nn.Parameter(torch.cat([t["w_in"], t["w_rec"]], 1))
    box.to(problem.device)

    def run() -> Outcome:
        sj.reset_net(box)
        return backward(box(t["x"]), t["cotangent"], [box.rc.weight])

    return run


def w6(problem: Problem) -> Run:
    """`IzhikevichNode`: normalised units."""
    t = tensors(problem, ["current"])
    node = neuron.IzhikevichNode(
        tau=20.0,
        v_c=0.5,
        a0=1.0,
        v_threshold=1.0,
        v_reset=0.0,
        v_rest=0.0,
        tau_w=50.0,
        a=0.02,
        b=0.1,
        surrogate_function=surrogate.ATan(),
        step_mode="m",
    ).to(problem.device)

    def run() -> Outcome:
        sj.reset_net(node)
        return backward(node(t["current"] * 0.3), t["cotangent"], [t["current"]])

    return run


def w7(problem: Problem) -> Run:
    """The network with `FlexSN`, whose learned parameters come in as sequences."""
    net = training.network(problem)
    cells = [_cell(layer, modulated=not net.source) for layer in net.neurons]

    def forward(net: training.Network, x: Tensor) -> tuple[Tensor, Tensor]:
        record = []
        for linear, layer, cell in zip(net.linear, net.neurons, cells, strict=True):
            current, values = linear(x), cast("Any", layer).params()
            learned = [values.b] if net.source else [values.b, values.h_s0]
            cell.states = tuple(cast("Any", layer).initial_state(current[0]))
            x = cell(current, *(value.expand_as(current) for value in learned))
            record.append(x)
        return net.scores(x), record[0]

    return training.train(problem, forward)


def _cell(layer: Any, *, modulated: bool) -> Any:
    step, kind, options = layer.dynamics.step, layer.dynamics.State, layer.step_options()
    fixed = layer.dynamics.Params(z_hyp=layer.z_hyp.item())

    def core(current: Tensor, b: Tensor, i: Tensor, h: Tensor, h_s: Tensor) -> tuple[Tensor, ...]:
        out, after = step(fixed._replace(b=b), kind(i, h, h_s), current, **options)
        return out, *after

    def core_modulated(
        current: Tensor, b: Tensor, h_s0: Tensor, i: Tensor, h: Tensor, h_s: Tensor
    ) -> tuple[Tensor, ...]:
        params = fixed._replace(b=b, h_s0=h_s0)
        out, after = step(params, kind(i, h, h_s), current, **options)
        return out, *after

    return neuron.FlexSN(core_modulated if modulated else core, num_states=3, step_mode="m")
