"""Recurrent kernels printed in Triton: rules, delays and neurons against the reference in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import snn_neuromod as nm
from snn_neuromod.kernels.backends.triton import registers, sequence, synaptic, wide
from snn_neuromod.kernels.fusion.trace import trace
from snn_neuromod.kernels.fusion.triton.gates import gates
from tests.cuda.test_neurons import TOLERANCE, error, quadratic

NEURONS: dict[str, tuple[Any, float]] = {
    "ALIF": (lambda n, **k: nm.ALIF(n, learn=["tau_mem", "v_th"], **k), 1.0),
    "ALIF refractory": (lambda n, **k: nm.ALIF(n, refractory=2, reset="zero", **k), 1.5),
    "STDPALIF": (lambda n, **k: nm.STDPALIF(n, **k), 1.5),
    "Izhikevich": (lambda n, **k: nm.Izhikevich(n, dt=0.5, **k), 60.0),
    "MSRC": (lambda n, **k: nm.MSRC(n, alpha=0.5, learn=["r", "modulation"], **k), 5.0),
    "quadratic": (quadratic, 1.5),
}
DELAYS = {
    "one": 1,
    "three": 3,
    "neuron": torch.arange(6) % 3 + 1,
    "synapse": (torch.arange(36).view(6, 6) * 7) % 4 + 1,
}


def run(net: Any, x: Tensor, backend: str, first: int = 4) -> list[Tensor]:
    """Spikes and gradients of so many steps and then of the others."""
    x = x.detach().requires_grad_()
    net.zero_grad()
    parts, state = list[Tensor](), None
    with nm.kernels.use(backend):  # type: ignore[arg-type]
        for part in (x[:first], x[first:]):
            if len(part):
                spikes, state = net(part, state)
                parts.append(spikes)
    generator = torch.Generator().manual_seed(2)
    spikes = torch.cat(parts)
    loss = (spikes * torch.rand(spikes.shape, generator=generator, dtype=torch.float64).to(x)).sum()
    loss = loss + sum(s.sum() for s in state.neuron)
    grads = torch.autograd.grad(loss, [x, *net.parameters()], allow_unused=True)
    return [spikes.detach().cpu(), *(g.cpu() for g in grads if g is not None)]


def network(neuron: str, delay: Any, rule: str) -> tuple[Any, Tensor]:
    make, scale = NEURONS[neuron]
    torch.manual_seed(3)
    net = nm.Recurrent(make(6), 4, delay=delay, learning_rule=rule).double()  # type: ignore[arg-type]
    with torch.no_grad():
        net.w_rec.mul_(3 if neuron != "Izhikevich" else 60)
    return net, scale * torch.rand(19, 2, 4, dtype=torch.float64)


RULES = ["bptt", "eprop", "khop", "rflo"]
PAIRS = [
    (neuron, delay, RULES[(i + j) % len(RULES)])
    for i, neuron in enumerate(NEURONS)
    for j, delay in enumerate(DELAYS)
]
"""Every neuron with every delay, so that every rule is met with each of both."""


@pytest.mark.parametrize(("neuron", "delay", "rule"), PAIRS)
def test_equals_the_reference(neuron: str, delay: str, rule: str, device: torch.device) -> None:
    net, x = network(neuron, DELAYS[delay], rule)
    expected = run(net, x, "reference")
    assert expected[0].any(), "silent neurons: the test would be vacuous"
    found = run(net.to(device), x.to(device), "triton")
    assert max(error(found, expected)) < TOLERANCE


@pytest.mark.parametrize("rule", ["khop", "eprop"])
@pytest.mark.parametrize("delay", ["one", "three", "synapse"])
def test_blocks_of_steps_and_of_senders(
    delay: str, rule: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Programs that hold fewer steps than the longest delay, or a part of the senders, and of these some at a time."""
    for name, value in (("_STEPS", 2), ("_WIDE", 4), ("_ROWS", 4), ("_LANES", 4), ("_MOST", 1)):
        monkeypatch.setattr(synaptic, name, value)
    test_equals_the_reference("ALIF", delay, rule, device)


@pytest.mark.parametrize("neuron", ["ALIF", "MSRC"])
@pytest.mark.parametrize("delay", ["one", "synapse"])
def test_few_rows_at_once_and_nothing_ahead(
    neuron: str, delay: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where registers hold no more."""
    monkeypatch.setattr(registers, "_ROWS", {"forward": 2, "backward": 2})
    monkeypatch.setattr(registers, "_LEAST", 1 << 20)
    test_equals_the_reference(neuron, delay, "bptt", device)


WIDE = [
    ("ALIF", "one", "bptt"),
    ("ALIF", "synapse", "bptt"),
    ("MSRC", "neuron", "bptt"),
    ("quadratic", "three", "eprop"),
]


@pytest.mark.parametrize(("neuron", "delay", "rule"), WIDE)
def test_more_neurons_than_one_program_holds(
    neuron: str, delay: str, rule: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each step is a kernel there, whose programs hold a part of the neurons."""
    monkeypatch.setattr(sequence, "MOST_NEURONS", 5)
    for name in ("_BLOCK", "_GROUP", "_ROWS", "_LANES"):
        monkeypatch.setattr(wide, name, 4)
    test_equals_the_reference(neuron, delay, rule, device)


def test_many_neurons(gpu: torch.device) -> None:
    """More than `MOST_NEURONS`, for which the interpreter takes minutes."""
    num = sequence.MOST_NEURONS + 1
    torch.manual_seed(0)
    net = nm.Recurrent(nm.ALIF(num, learn=["tau_mem"]), 2).double().to(gpu)
    x = 4 * torch.rand(9, 2, 2, dtype=torch.float64, device=gpu)
    expected = run(net, x, "eager")
    assert expected[0].any()
    assert max(error(run(net, x, "triton"), expected)) < TOLERANCE


def test_modulation_per_step_among_many(
    device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parameters per step, and gradients of first states, where each step is a kernel."""
    monkeypatch.setattr(sequence, "MOST_NEURONS", 5)
    torch.manual_seed(3)
    net = nm.Recurrent(nm.MSRC(6, alpha=0.5), 4).double()
    x, grads = 5 * torch.rand(7, 2, 4, dtype=torch.float64), []
    values = torch.rand(7, 2, 6, dtype=torch.float64)
    for where, backend in (("cpu", "reference"), (device, "triton")):
        modulation = values.to(where).requires_grad_()
        first = net.to(where).initial_state(x.to(where)[0])
        first = first._replace(
            neuron=type(first.neuron)(
                *(torch.full_like(s, 0.3).requires_grad_() for s in first.neuron)
            )
        )
        with nm.kernels.use(backend):  # type: ignore[arg-type]
            spikes = net(x.to(where), first, modulation=modulation)[0]
        inputs = [modulation, *first.neuron]
        found = torch.autograd.grad(spikes.square().sum(), inputs, allow_unused=True)
        grads.append([torch.zeros(1) if g is None else g.cpu() for g in found])
    assert grads[0][0].any()
    assert max(error(grads[1], grads[0])) < TOLERANCE


@pytest.mark.parametrize("rule", ["bptt", "eprop"])
@pytest.mark.parametrize("num", [1, 63])
def test_any_size(num: int, rule: str, device: torch.device) -> None:
    equals_the_reference(num, rule, device)


@pytest.mark.parametrize("rule", ["bptt", "eprop"])
@pytest.mark.parametrize("num", [300, 1500])
def test_more_than_a_block(num: int, rule: str, gpu: torch.device) -> None:
    """For which the interpreter takes long."""
    equals_the_reference(num, rule, gpu)


def equals_the_reference(num: int, rule: str, device: torch.device) -> None:
    net = nm.Recurrent(nm.ALIF(num), 4, learning_rule=rule).double()  # type: ignore[arg-type]
    x = 2 * torch.rand(9, 3, 4, dtype=torch.float64)
    expected = run(net, x, "reference")
    assert max(error(run(net.to(device), x.to(device), "triton"), expected)) < TOLERANCE


def test_single_precision(device: torch.device) -> None:
    net, x = network("ALIF", 1, "bptt")
    expected, eager = run(net, x, "reference"), run(net.float(), x.float(), "eager")
    found = run(net.to(device), x.float().to(device), "triton")
    assert torch.equal(found[0], eager[0])
    for mine, theirs in zip(error(found, expected), error(eager, expected), strict=True):
        assert mine <= 3 * theirs + 1e-6


FAR = {"none": [], "part": [0, 3, 4], "all": list(range(6))}
"""Neurons that stay so far below their threshold that their pseudo-derivative is zero."""


@pytest.mark.parametrize("delay", ["one", "synapse"])
@pytest.mark.parametrize("which", FAR)
def test_weights_of_spikes_that_no_gradient_reaches_are_not_read(
    which: str, delay: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are not numbers in the kernels, zero in the reference."""
    far, kept, original = FAR[which], list[Any](), sequence.kept
    torch.manual_seed(3)
    neuron = nm.ALIF(6, psi=nm.Psi(width=1.0 if far else 50.0), learn=["tau_mem"])
    net = nm.Recurrent(neuron, 4, delay=DELAYS[delay]).double()
    with torch.no_grad():
        net.w_in[far], net.w_rec[far] = -5.0, -1.0
        net.w_rec[:, far] = 0.0
    x = torch.rand(19, 2, 4, dtype=torch.float64)
    expected = run(net, x, "reference", 0)
    assert expected[0].any() == (which != "all")
    with torch.no_grad():
        net.w_rec[:, far] = torch.nan
    monkeypatch.setattr(sequence, "kept", lambda call: kept.append(original(call)) or kept[-1])
    found = run(net.to(device), x.to(device), "triton", 0)
    assert max(error(found, expected)) < TOLERANCE
    alive = torch.cat([tracks["alive"] for tracks in kept]).bool().cpu()
    near = [n for n in range(6) if n not in far]
    assert not alive[..., far].any()
    assert alive[..., near].all() if which == "none" else alive[..., near].any(0).all() or not near


@pytest.mark.parametrize("delay", ["one", "synapse"])
def test_nor_are_they_among_many_neurons(
    delay: str, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sequence, "MOST_NEURONS", 5)
    test_weights_of_spikes_that_no_gradient_reaches_are_not_read("part", delay, device, monkeypatch)


@pytest.mark.parametrize(("shape", "vanishes"), [
    ("triangular", True), ("boxcar", True), ("exponential", False), ("arctan", False),
])  # fmt: skip
def test_only_pseudo_derivatives_that_vanish_are_looked_at(shape: Any, vanishes: bool) -> None:
    for neuron in (nm.dynamics.alif, nm.dynamics.stdp_alif):
        options = {"spike_fn": nm.Psi(shape)}
        step = trace(neuron.step, neuron.Params, neuron.State, options)
        assert bool(gates(step)) == vanishes
    for graded in (nm.dynamics.msrc, nm.dynamics.leaky_integrator):
        assert not gates(trace(graded.step, graded.Params, graded.State))


class Passing(TorchDispatchMode):
    """Looks on."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("rule", ["inf", "0"])
def test_matrices_of_all_neurons_for_several_delays(rule: str, device: torch.device) -> None:
    """The operator takes them; layers send the neurons that have a synapse of each delay."""
    torch.manual_seed(0)
    layer, found = nm.ALIF(6, v_th=0.6).double().to(device), list[list[Tensor]]()
    x, past = torch.rand(12, 2, 6), torch.zeros(3, 2, 6)
    weights = [0.4 * torch.rand(6, 6) for _ in range(2)]
    leaves = [t.double().to(device).requires_grad_() for t in (x, past, *weights)]
    state, params = layer.initial_state(leaves[0][0].detach()), [*layer.params(torch.float64)]
    for backend in ("reference", "triton"):
        spikes, *_ = torch.ops.snn_neuromod.sequence(
            layer._know(), leaves[0], params, [*state], leaves[1:], [1, 3], [], rule, True,
            [False] * len(params), backend,
        )  # fmt: skip
        loss = (spikes * torch.linspace(0, 1, spikes.numel()).view_as(spikes).to(spikes)).sum()
        found.append([g.cpu() for g in (spikes.detach(), *torch.autograd.grad(loss, leaves))])
    assert found[0][0].any()
    assert max(error(found[1], found[0])) < TOLERANCE


@pytest.mark.parametrize(("delay", "rule"), [("synapse", "khop"), ("neuron", "bptt")])
def test_by_the_operators(delay: str, rule: str, device: torch.device) -> None:
    """As where a graph is traced; no two of their results may lie in the same memory."""
    net, x = network("ALIF", DELAYS[delay], rule)
    net, x = net.to(device), x.to(device)
    expected = run(net, x, "triton")
    with Passing():
        found = run(net, x, "triton")
    assert max(error(found, expected)) < TOLERANCE
