"""Inputs of half precision: states and parameters are float32, and no pass over memory converts."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.kernels.backends.triton import launch
from tests.cuda.test_neurons import USERS, learning
from tests.cuda.test_recurrent import DELAYS, RULES, Passing, network
from tests.layers.cases import DEFAULTS, LayerCase

HALF = [torch.float16, torch.bfloat16]
CASES = [case for case in DEFAULTS if case.layer in (nm.MSRC, nm.ALIF)] + [USERS]


def run(layer: Any, current: Tensor) -> list[Tensor]:
    """Spikes, last state, and gradients of the input and of the parameters."""
    current = current.detach().requires_grad_()
    with nm.kernels.use("triton"):
        spikes, state = layer(current)
    results = [spikes, *state]
    generator = torch.Generator().manual_seed(2)
    above = [torch.randint(-4, 5, r.shape, generator=generator).to(r) / 4 for r in results]
    inputs = [current, *layer.parameters()]
    return [*results, *torch.autograd.grad(results, inputs, above)]


@pytest.mark.parametrize("dtype", HALF, ids=str)
@pytest.mark.parametrize("case", CASES, ids=str)
def test_is_float32_but_for_what_is_read_and_written(
    case: LayerCase, dtype: torch.dtype, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    layer, current = learning(case).to(device), case.current(23).to(device, dtype)
    expected, seen, original = run(layer, current.float()), list[Any](), launch.start

    def start(kernel: Any, grid: Any, *arguments: Any, **flags: Any) -> None:
        seen.append((arguments[0].dtype, arguments[1].dtype))
        original(kernel, grid, *arguments, **flags)

    monkeypatch.setattr(launch, "start", start)
    found = run(layer, current)
    assert seen == 2 * [(dtype, dtype)]  # input with spikes, input with their gradients
    assert expected[0].any()
    for a, b in zip(found, expected, strict=True):
        halved = a.dtype == dtype
        assert halved or a.dtype == torch.float32
        torch.testing.assert_close(a.float(), b, rtol=torch.finfo(a.dtype).eps, atol=1e-6)


PAIRS = [
    (neuron, delay, RULES[(i + j) % len(RULES)], HALF[(i + j) % 2])
    for i, neuron in enumerate(("ALIF", "STDPALIF", "MSRC"))
    for j, delay in enumerate(("one", "neuron", "synapse"))
]


def recurrent(
    net: Any, current: Tensor, backend: str, monkeypatch: pytest.MonkeyPatch
) -> tuple[list[Tensor], list[Any]]:
    """Spikes, last state and gradients, from a weighted input; and the types that kernels were given first."""
    current, seen, original = current.detach().requires_grad_(), list[Any](), launch.start
    weights = net.w_rec.detach().requires_grad_()
    first = net._at_rest(current[0].float() if current.dtype in HALF else current[0])

    def start(kernel: Any, grid: Any, *arguments: Any, **flags: Any) -> None:
        seen.append((arguments[0].dtype, arguments[1].dtype))
        original(kernel, grid, *arguments, **flags)

    with monkeypatch.context() as patch, nm.kernels.use(backend):  # type: ignore[arg-type]
        patch.setattr(launch, "start", start)
        spikes, state = net.run(current, first, weights, rule=net.rule)
        ends = [spikes, state.neuron[0]]
        generator = torch.Generator().manual_seed(2)
        above = [torch.randint(-4, 5, r.shape, generator=generator).to(r) / 4 for r in ends]
        inputs = [current, weights, *net.neuron.parameters()]
        grads = torch.autograd.grad(ends, inputs, above)
    return [spikes, *state.neuron, *grads], seen


@pytest.mark.parametrize(("neuron", "delay", "rule", "dtype"), PAIRS, ids=str)
def test_recurrent_kernels_read_and_write_it(
    neuron: str,
    delay: str,
    rule: str,
    dtype: torch.dtype,
    device: torch.device,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Against the reference in float64, from the same input."""
    net, x = network(neuron, DELAYS[delay], rule)
    current = (x @ net.w_in.detach().T).to(dtype)
    expected, _ = recurrent(net, current.double(), "reference", monkeypatch)
    found, seen = recurrent(net.float().to(device), current.to(device), "triton", monkeypatch)
    assert set(seen) <= {(dtype, dtype), (torch.float32, dtype), (torch.float32, torch.float32)}
    assert seen[0] == (dtype, dtype)
    assert expected[0].any()
    assert found[0].dtype == found[len(net.neuron.dynamics.State._fields) + 1].dtype == dtype
    if neuron != "MSRC":
        assert torch.equal(found[0].cpu().double(), expected[0])
    for a, b in zip(found, expected, strict=True):
        bound = 2 * torch.finfo(dtype).eps * b.abs().max() + 1e-6
        assert (a.cpu().double() - b).abs().max() <= bound


@pytest.mark.parametrize("watched", [False, True], ids=["called", "by operators"])
@pytest.mark.parametrize("where", ["nowhere", "outside", "inside"])
def test_neither_autocast_nor_a_graph_converts_it(
    where: str, watched: bool, device: torch.device, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weighted inputs of half precision give what they give without, sent back inside or outside of autocast."""
    net, x = network("ALIF", DELAYS["neuron"], "bptt")
    net, x, dtype = net.float().to(device), x[:9].float().to(device), torch.bfloat16
    seen, original, found = list[Any](), launch.start, list[list[Tensor]]()

    def start(kernel: Any, grid: Any, *arguments: Any, **flags: Any) -> None:
        seen.append((arguments[0].dtype, arguments[1].dtype))
        original(kernel, grid, *arguments, **flags)

    monkeypatch.setattr(launch, "start", start)
    with torch.autocast(device.type, dtype):
        current = torch.nn.functional.linear(x, net.w_in.detach())
    first = net._at_rest(current[0].float())
    for autocast, mode in (
        (where != "nowhere", Passing() if watched else nullcontext()),
        (False, nullcontext()),
    ):
        leaf, weights = current.clone().requires_grad_(), net.w_rec.detach().requires_grad_()
        with nm.kernels.use("triton"), torch.autocast(device.type, dtype, enabled=autocast), mode:
            spikes, _ = net.run(leaf, first, weights, rule=net.rule)
            with torch.autocast(device.type, dtype, enabled=autocast and where == "inside"):
                found.append([spikes, *torch.autograd.grad(spikes.sum(), [leaf, weights])])
    assert seen[0] == (dtype, dtype)
    assert set(seen) <= {(dtype, dtype), (torch.float32, dtype)}
    assert found[0][0].any()
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))
