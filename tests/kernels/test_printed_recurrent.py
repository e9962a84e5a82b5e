"""The time loop in C of printed kernels with weights among the neurons, against the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.kernels.fusion import jit
from tests.kernels.fused import Quadratic
from tests.kernels.test_printed import assert_same, drive, results

pytestmark = pytest.mark.skipif(jit.unable() is not None, reason=f"{jit.unable()}")
INPUTS = 5
RULES = ["bptt", "eprop", "khop", "rflo"]


@pytest.fixture(autouse=True)
def _cache(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(jit.CACHE, str(request.config.cache.mkdir("kernels")))  # type: ignore[union-attr]


def recurrent(num: int, rule: Any = "bptt", delay: Any = 1, dtype: Any = torch.float64) -> Any:
    torch.manual_seed(0)
    layer = nm.Custom(num, Quadratic, learn=["alpha"])
    return nm.Recurrent(layer, INPUTS, learning_rule=rule, delay=delay).to(dtype)


def delays(num: int) -> dict[str, int | Tensor]:
    neurons = torch.arange(num)
    return {
        "longer than the run": 60,
        "by neuron": neurons % 4 + 1,
        "by synapse, some longer than the run": (neurons + 20 * neurons[:, None]) % 43 + 1,
    }


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("delay", delays(9))
def test_every_rule_and_delay(rule: str, delay: str) -> None:
    assert_same(recurrent(9, rule, delays(9)[delay]), drive("quadratic", 40, 5, INPUTS))


@pytest.mark.parametrize("num", [1, 63, 1000])
@pytest.mark.parametrize("batch", [1, 6])
@pytest.mark.parametrize("steps", [1, 16, 33])
def test_sizes(num: int, batch: int, steps: int) -> None:
    net, x = recurrent(num), 3 * drive("quadratic", steps, batch, INPUTS)
    found, right = results(net, x, "c"), results(net, x, "reference")
    for name, value in right.items():
        torch.testing.assert_close(found[name], value, rtol=1e-9, atol=1e-10, msg=name)


@pytest.mark.parametrize("num", [9, 150])
@pytest.mark.parametrize("rule", ["bptt", "eprop"])
def test_threads_and_what_was_in_memory_change_nothing(num: int, rule: str) -> None:
    """Fresh memory is filled with NaN, and tasks are cut in other places."""
    net, x = recurrent(num, rule, torch.arange(num) % 3 + 1, torch.float32), []
    drawn = 3 * drive("quadratic", 40, 13, INPUTS).float()
    before = torch.get_num_threads()
    torch.use_deterministic_algorithms(True)
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found = results(net, drawn, "c")
            x.append({k: v for k, v in found.items() if not k.startswith("w_")})
    finally:
        torch.use_deterministic_algorithms(False)
        torch.set_num_threads(before)
    assert x[0]["spikes"].any()
    for other in x[1:]:
        assert all(torch.equal(other[key], value) for key, value in x[0].items())


def test_rows_with_many_spikes_and_with_few() -> None:
    """Some take the product with all weights, others single events, at every step anew."""
    net, x = recurrent(40), drive("quadratic", 30, 13, INPUTS)
    x = x * torch.linspace(0.5, 30, 13, dtype=x.dtype)[:, None]
    with torch.no_grad():
        net.w_in.abs_()
        rates = net(x)[0].mean(-1)
    assert (rates > 0.6).any()
    assert ((rates > 0) & (rates < 0.3)).any()
    assert_same(net, x)


@pytest.mark.parametrize("rule", ["bptt", "eprop"])
def test_modulation_per_step(rule: Any) -> None:
    torch.manual_seed(0)
    net = nm.Recurrent(nm.MSRC(9), INPUTS, learning_rule=rule).double()
    x, found = drive("msrc", 20, 5, INPUTS), []
    for backend in ("c", "reference"):
        modulation = torch.linspace(0.3, 0.9, 20, dtype=x.dtype)[:, None, None]
        modulation = modulation.expand(20, 5, 9).clone().requires_grad_()
        with nm.kernels.use(backend):  # type: ignore[arg-type]
            spikes, _ = net(x, modulation=modulation)
        found.append([spikes, *torch.autograd.grad(spikes.sum(), [modulation, net.w_rec])])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-10)
    assert found[0][1].any()


@pytest.mark.parametrize("cut", [2, 17])
def test_a_state_passed_on_holds_the_spikes_on_their_way(cut: int) -> None:
    net = recurrent(9, delay=torch.arange(9) % 4 + 1, dtype=torch.float32)
    x = drive("quadratic", 40, 5, INPUTS).float()
    with nm.kernels.use("c"), torch.no_grad():
        whole, last = net(x)
        first, state = net(x[:cut])
        second, end = net(x[cut:], state)
    assert torch.equal(whole, torch.cat([first, second]))
    assert torch.equal(last.neuron.v, end.neuron.v)
