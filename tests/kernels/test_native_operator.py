"""The operator around the C kernels: asked for by name, autograd, compilation."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod.kernels import neurons, operator
from snn_neuromod.kernels.call import Paths
from tests.kernels.native import (
    ALIF,
    NEURONS,
    PATHS,
    SPIKING,
    all_gradients,
    assert_equal_to_eager,
    every_neuron,
    live_case,
    served,
)
from tests.kernels.reference import make_case

pytestmark = served


def test_asked_for_by_name_and_unable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SNN_NEUROMOD_JIT", "0")  # or a kernel is printed
    case = make_case("alif", ALIF, dtype=torch.bfloat16)
    with pytest.raises(RuntimeError, match=r"'c' was asked for by name.*float32 or float64"):
        case.operator()
    with nm.kernels.use("auto"):
        assert case.operator()[0].isfinite().all()


@pytest.mark.parametrize(
    ("neuron", "change"),
    [("src", {"recurrent": True}), ("alif", {"beta": torch.rand(20, 3, 4)}), ("izhikevich", {})],
    ids=["recurrent", "per step", "gradient of dt"],
)
def test_served_without_a_compiler(
    neuron: str, change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SNN_NEUROMOD_JIT", "0")
    assert_equal_to_eager(make_case(neuron, NEURONS[neuron], **change), 1e-7)


@every_neuron
def test_the_backward_pass_follows_its_forward_pass(neuron: str) -> None:
    case = live_case(neuron)
    expected = all_gradients(case, "c")[1]["current"]
    for first, then in (("c", "eager"), ("eager", "c")):
        with nm.kernels.use(first):
            spikes, state = case.operator()
        generator = torch.Generator().manual_seed(7)
        loss = sum(
            (x * torch.randn(x.shape, generator=generator, dtype=x.dtype)).sum()
            for x in (spikes, *state)
        )
        with nm.kernels.use(then):
            (found,) = torch.autograd.grad(loss, case.current)
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(
    ("neuron", "path"),
    [
        *dict(zip(SPIKING, PATHS, strict=True)).items(),
        ("leaky_integrator", "feedforward"),
        ("bsrc", "feedforward"),
        ("izhikevich", "recurrent"),
    ],
)
def test_opcheck(neuron: str, path: str) -> None:
    case = live_case(neuron, path, shape=(18, 2, 4))
    encoded = neurons.encode(neuron, **case.options)
    weights = [] if case.w_rec is None else [case.spikes[None].detach(), case.w_rec]
    weights = [w.detach().requires_grad_() for w in weights]
    needed = [p.requires_grad for p in case.params]
    rule = Paths(PATHS[path][1]).encode()
    args = (encoded, case.current, case.params, case.state, weights, [1], [], rule)
    torch.library.opcheck(torch.ops.snn_neuromod.sequence.default, (*args, True, needed, "c"))


def test_compiles_into_one_graph_for_each_backend() -> None:
    case = live_case("alif", "recurrent", options={**ALIF, "refractory": 2})
    encoded = neurons.encode("alif", **case.options)

    def loss(current: torch.Tensor) -> torch.Tensor:
        spikes, _ = operator.run(
            encoded, 2 * current, case.params, case.state, w_rec=case.w_rec, spikes=case.spikes
        )
        return (spikes * current).sum()

    expected = torch.autograd.grad(loss(case.current), case.current)
    compiled = torch.compile(loss, fullgraph=True, backend="aot_eager")
    for backend in ("c", "eager", "c"):
        with nm.kernels.use(backend):
            found = torch.autograd.grad(compiled(case.current), case.current)
        torch.testing.assert_close(found, expected)
