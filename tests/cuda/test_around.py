"""What is around the kernels of layers, on the device: readouts, online e-prop, encoders, against the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod.kernels.backends.triton import launch, rate_code
from snn_neuromod.kernels.jobs import RateCode
from snn_neuromod.learning.eprop import OnlineEprop, rule
from tests.cuda.test_recurrent import DELAYS

INPUTS, NEURONS, OUT = 4, 6, 3
READOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "time constants": {"tau_out": [5.0, 20.0, 5.0], "feedback": "random"},
    "running sum": {"tau_out": float("inf"), "bias": False},
    "normalised": {"normalise": True, "bias_inside": False, "feedback": "adaptive"},
}


def gradients(ends: list[Tensor], inputs: list[Tensor]) -> list[Tensor]:
    """Of a loss that weighs every number otherwise; on the CPU."""
    weighed = [(e * torch.linspace(0.1, 1, e.numel()).view_as(e).to(e)).sum() for e in ends]
    found = torch.autograd.grad(torch.stack(weighed).sum(), inputs)
    return [t.detach().cpu() for t in (*ends, *found)]


@pytest.mark.parametrize("options", READOUTS.values(), ids=READOUTS)
def test_leaky_readout(options: dict[str, Any], device: torch.device) -> None:
    torch.manual_seed(0)
    readout = nm.LeakyReadout(NEURONS, OUT, **options).double()
    spikes, found = (torch.rand(21, 3, NEURONS) < 0.3).double(), []
    for where, backend in (("cpu", "reference"), (device, "triton")):
        x = spikes.to(where).requires_grad_()
        learned = [p for p in readout.to(where).parameters() if p.requires_grad]
        with nm.kernels.use(backend):  # type: ignore[arg-type]
            first, state = readout(x[:8])
            y, last = readout(x[8:], state)
        found.append(gradients([first, y, last.y], [x, *learned]))
    for a, b in zip(*found, strict=True):
        assert_close(a, b, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(("delay", "options", "length"), [
    (delay, options, length)
    for delay, options, length in zip(DELAYS, READOUTS.values(), (1, 5, 12, 5), strict=True)
])  # fmt: skip
def test_online_eprop(
    delay: str, options: dict[str, Any], length: int, device: torch.device
) -> None:
    """Segments on the device add up to the gradient of the whole sequence by the reference on the CPU."""
    torch.manual_seed(3)
    neuron = nm.ALIF(NEURONS, v_th=0.6, refractory=1, learn=["beta"])
    layer = nm.Recurrent(neuron, INPUTS, delay=DELAYS[delay], learning_rule="eprop").double()
    readout = nm.LeakyReadout(NEURONS, OUT, **options).double()
    x = torch.rand(12, 2, INPUTS, dtype=torch.float64)

    def loss(y: Tensor, spikes: Tensor) -> Tensor:
        return (y - 1).square().sum() + spikes.sum()

    with nm.kernels.use("reference"):
        assert layer(x)[0].any()
        expected = rule.gradients(layer, readout, x, loss)
    run = OnlineEprop(layer.to(device), readout.to(device))
    with nm.kernels.use("triton"):
        for part in x.to(device).split(length):
            loss(*run.segment(part)).backward()
    for name, p in rule.learned(layer, readout).items():
        assert expected[name].any(), name
        assert_close(p.grad.cpu(), expected[name], rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("options", [
    {}, {"mapping": "linear", "threshold": 0.0}, {"jitter": 2.0, "seeds": [3, 1, 2], "tau": 9.0},
    {"mapping": "linear", "jitter": 1.0, "seeds": [5, 5, 6], "blank_steps": 3},
])  # fmt: skip
def test_latency_code(options: dict[str, Any], device: torch.device) -> None:
    """The spikes of the CPU, and at the step that the formula gives where nothing is drawn."""
    x = torch.rand(3, 200, generator=torch.Generator().manual_seed(0))
    expected = nm.encoders.latency(x, 25, **options)
    found = nm.encoders.latency(x.to(device), 25, **options).cpu()
    assert torch.equal(found, expected)
    assert found.sum(0).max() == 1
    if options.get("mapping") == "linear" and not options.get("jitter"):
        step = (25 * (1 - x)).floor().long().clamp(max=24)
        assert torch.equal(found.argmax(0)[x > 0], step[x > 0])


def test_rate_code(device: torch.device) -> None:
    x = torch.rand(3, 50)
    options: dict[str, Any] = {"seeds": [1, 2, 3], "blank_steps": 4, "dtype": torch.uint8}
    with nm.kernels.use("eager"):
        expected = nm.encoders.rate(x, 40, **options)
    with nm.kernels.use("triton"):
        found = nm.encoders.rate(x.to(device), 40, **options)
    assert expected.any()
    assert torch.equal(found.cpu(), expected)


def test_rate_code_of_many_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the first axis of a grid may have more than 65535 programs."""
    grids = list[Any]()
    monkeypatch.setattr(launch, "start", lambda _, grid, *__, **___: grids.append(grid))
    with nm.kernels.use("triton"):
        job = RateCode(torch.zeros(70_000, 3, dtype=torch.int32), torch.zeros(70_000, 2), 9, 0)
        rate_code.forward(job)
    assert grids == [(70_000, 1, 2)]
