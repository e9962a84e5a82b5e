"""An option that is changed acts everywhere or cannot be changed; a backend asked for stays where it was asked."""

from __future__ import annotations

import asyncio
import copy
import pickle
import threading
from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm

T, B, N = 60, 2, 5
OPTIONS: list[tuple[str, dict[str, Any], str, Any, float]] = [
    ("ALIF", {"tau_mem": 5.0, "beta": 0.0}, "refractory", 8, 1.0),
    ("ALIF", {"tau_mem": 5.0}, "psi", nm.Psi("boxcar", gamma=9.0), 1.0),
    ("ALIF", {"tau_mem": 5.0}, "psi", nm.surrogate.smooth, 1.0),
    ("ALIF", {"tau_mem": 5.0}, "detach_reset", True, 1.0),
    ("ALIF", {"tau_mem": 5.0}, "reset", "zero", 1.0),
    ("ALIF", {"tau_mem": 5.0}, "dt", 3.0, 1.0),
    ("STDPALIF", {"tau_mem": 5.0}, "refractory", 7, 1.2),
    ("STDPALIF", {"tau_mem": 5.0}, "psi", nm.Psi(refractory=1.0), 1.2),
    ("STDPALIF", {"tau_mem": 5.0}, "detach_reset", True, 1.2),
    ("Izhikevich", {"dt": 0.5}, "clip_jacobian", 1.0, 60.0),
    ("Izhikevich", {"dt": 0.5}, "detach_reset", True, 60.0),
    ("Izhikevich", {"dt": 0.5}, "psi", nm.Psi("arctan"), 60.0),
    ("Izhikevich", {"dt": 0.5}, "dt", 0.25, 60.0),
    ("SRC", {"alpha": 0.5, "start": -0.4}, "straight_through", False, 5.0),
    ("MSRC", {"alpha": 0.5}, "straight_through", False, 5.0),
    ("MSRC", {"alpha": 0.5}, "detach_recurrence", False, 5.0),
    ("BSRC", {}, "detach_recurrence", False, 2.0),
    ("LeakyIntegrator", {"tau": 5.0}, "normalise", True, 1.0),
    ("LeakyIntegrator", {"tau": 5.0}, "dt", 2.0, 1.0),
]


def current(high: float) -> Tensor:
    return high * torch.rand(T, B, N, dtype=torch.float64)


def by_forward(layer: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    spikes, _ = layer(x)
    return spikes.detach(), torch.autograd.grad(spikes.sum(), x)[0]


def by_steps(layer: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.clone().requires_grad_()
    state, emitted = None, []
    for x_t in x:
        z, state = layer.step(x_t, state)
        emitted.append(z)
    spikes = torch.stack(emitted)
    return spikes.detach(), torch.autograd.grad(spikes.sum(), x)[0]


@pytest.mark.parametrize(
    ("name", "options", "option", "value", "high"),
    OPTIONS,
    ids=lambda v: getattr(v, "__name__", str(v))[:30],
)
def test_a_changed_option_acts_everywhere_or_cannot_be_changed(
    name: str, options: dict[str, Any], option: str, value: Any, high: float
) -> None:
    make, x = getattr(nm, name), current(high)
    layer = make(N, **options).double()
    before, text = by_forward(layer, x), repr(layer)
    try:
        setattr(layer, option, value)
    except AttributeError:
        return
    found = by_forward(layer, x)
    for one, other in zip(found, by_steps(layer, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    built = by_forward(make(N, **{**options, option: value}).double(), x)
    for one, other in zip(found, built, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-12)
    assert not all(torch.equal(a, b) for a, b in zip(before, found, strict=True)), "nothing changed"
    assert repr(layer) != text
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert all(map(torch.equal, by_forward(twin, x), found))


class Held(nm.ALIF):
    """A subclass with a step option of its own."""

    pause = 10

    def step_options(self) -> dict[str, Any]:
        return {**super().step_options(), "refractory": self.pause}


def test_step_options_of_a_subclass_reach_both() -> None:
    x = current(1.0)
    layer = Held(N, tau_mem=5.0, beta=0.0).double()
    found = by_forward(layer, x)
    for one, other in zip(found, by_steps(layer, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    layer.pause = 0
    plain = by_forward(layer, x)
    for one, other in zip(plain, by_steps(layer, x), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)
    assert found[0].sum() < plain[0].sum()


def requested() -> Any:
    return nm.kernels.info()["requested"]


def test_another_thread_is_not_touched() -> None:
    seen, inside, done = [], threading.Event(), threading.Event()

    def look() -> None:
        inside.wait(10)
        seen.append(requested())
        done.set()

    thread, usual = threading.Thread(target=look), requested()
    thread.start()
    with nm.kernels.use("reference"):
        inside.set()
        assert done.wait(10)
        assert requested() == "reference"
    thread.join()
    assert seen == [usual]
    assert requested() == usual


def test_overlapping_uses_leave_nothing_behind() -> None:
    usual, entered, left = requested(), threading.Event(), threading.Event()

    def first() -> None:
        with nm.kernels.use("eager"):
            entered.wait(10)
        left.set()

    def second() -> None:
        with nm.kernels.use("reference"):
            entered.set()
            left.wait(10)

    threads = [threading.Thread(target=target) for target in (first, second)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert requested() == usual


def test_tasks_keep_their_own_backend() -> None:
    async def ask(name: Any) -> Any:
        with nm.kernels.use(name):
            await asyncio.sleep(0.01)
            return requested()

    async def both() -> list[Any]:
        return list(await asyncio.gather(ask("eager"), ask("reference")))

    assert asyncio.run(both()) == ["eager", "reference"]


@pytest.mark.parametrize("how", ["shape", "stride", "dtype"])
def test_a_parameter_exchanged_between_the_passes(how: str) -> None:
    """Autograd does not see it, and the kernel must not read what is not there."""
    layer = nm.ALIF(130, beta=nm.Uniform(0.1, 0.2), learn=["v_th"])
    current = torch.rand(7, 2, 130, requires_grad=True)
    other = {
        "shape": torch.ones(1),
        "stride": torch.ones(1).expand(130),
        "dtype": torch.ones(130, dtype=torch.float64),
    }[how]
    spikes, _ = layer(current)
    layer.beta.data = other
    with pytest.raises(RuntimeError, match="in the forward pass, got others"):
        spikes.sum().backward()


def test_sequences_that_look_alike_are_told_from_others() -> None:
    """What one call was checked for must not serve another: each is as of a layer that has seen nothing."""
    layer = nm.ALIF(6, learn=["beta"])
    for make in (
        lambda: torch.rand(20, 2, 6),
        lambda: torch.rand(20, 6, 2).mT,
        lambda: torch.rand(9, 2, 6),
        lambda: torch.rand(20, 2, 6, dtype=torch.float64),
        lambda: torch.rand(20, 2, 6, requires_grad=True),
        lambda: torch.rand(20, 2, 3, 6),
    ):
        current = 3 * make()
        net = layer.double() if current.dtype == torch.float64 else layer.float()
        fresh, (spikes, state) = nm.ALIF(6, refractory=0), net(current)
        with nm.kernels.use("reference"):
            right, after = fresh.to(current.dtype)(current)
        assert spikes.any()
        assert torch.equal(spikes, right)
        torch.testing.assert_close(state, after)
    with pytest.raises(ValueError, match="current must have shape"):
        layer(torch.rand(20, 2, 7))
    layer.beta = torch.nn.Parameter(torch.rand(5))
    with pytest.raises(ValueError, match="beta"):
        layer(torch.rand(20, 2, 6))


def test_negated_views_are_refused() -> None:
    """Their memory holds the other sign; also where one like it was served before."""
    layer, current = nm.ALIF(6), torch.rand(5, 2, 6)
    layer(current)
    with pytest.raises(TypeError, match="must not be negated views"):
        layer(torch._neg_view(current))
    layer.v_th = torch.full((6,), 1j).conj().imag
    with pytest.raises(TypeError, match="must not be negated views"):
        layer(current)
