"""Options that are changed later: of a user's own neuron, wrong values, what is built in, and rules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.learning.rules import KHop


def current(layer: Any) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    drive = 30.0 if isinstance(layer, nm.Izhikevich) else 1.0
    return drive * torch.rand(25, 2, 5, generator=generator, dtype=torch.float64)


def by_forward(layer: Any) -> tuple[Tensor, Tensor]:
    x = current(layer).requires_grad_()
    out, _ = layer(x)
    return out.detach(), torch.autograd.grad((out * torch.linspace(0, 1, 5)).sum(), x)[0]


def by_steps(layer: Any) -> tuple[Tensor, Tensor]:
    x, state, emitted = current(layer).requires_grad_(), None, []
    for x_t in x.unbind(0):
        z, state = layer.step(x_t, state)
        emitted.append(z)
    out = torch.stack(emitted)
    return out.detach(), torch.autograd.grad((out * torch.linspace(0, 1, 5)).sum(), x)[0]


def assert_same(layer: Any) -> None:
    for found, expected in zip(by_forward(layer), by_steps(layer), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-11)


def test_options_of_a_custom_neuron() -> None:
    layer = nm.Custom(5, nm.dynamics.alif, options={"refractory": 0}).double()
    before = by_forward(layer)[0]
    layer.options = {"refractory": 4}
    assert_same(layer)
    assert not torch.equal(by_forward(layer)[0], before)


@pytest.mark.parametrize(
    ("layer", "name", "value", "message"),
    [
        (nm.ALIF(3), "refractory", -1, "ALIF: refractory must be a number of steps >= 0, got -1"),
        (nm.ALIF(3), "reset", "hard", "ALIF: reset must be one of"),
        (nm.ALIF(3), "dt", float("nan"), "ALIF: dt must be > 0"),
        (nm.ALIF(3), "backend", "cuda", "ALIF: backend must be one of"),
        (nm.Izhikevich(3), "clip_jacobian", 0.0, "Izhikevich: clip_jacobian must be > 0"),
        (nm.LeakyIntegrator(3, tau=float("inf")), "normalise", True, "tau must be finite"),
        (
            nm.SRC(3, learn=["z_hyp"], detach_recurrence=False),
            "detach_recurrence",
            True,
            "SRC: learn must not name z_hyp",
        ),
        (nm.Recurrent(nm.ALIF(3), 2), "learning_rule", "rtrl", "learning_rule must be one of"),
    ],
)
def test_a_wrong_value_is_refused_and_changes_nothing(
    layer: Any, name: str, value: Any, message: str
) -> None:
    before = getattr(layer, name)
    with pytest.raises(ValueError, match=message):
        setattr(layer, name, value)
    assert getattr(layer, name) == before


@pytest.mark.parametrize(
    ("module", "name"),
    [
        (nm.ALIF(3, delay=2), "num_neurons"),
        (nm.ALIF(3, delay=2), "delay"),
        (nm.Recurrent(nm.ALIF(3), 2), "in_features"),
        (nm.Recurrent(nm.ALIF(3), 2), "delay"),
        (nm.LeakyReadout(3, 2), "feedback"),
        (nm.PopulationReadout(4, 2), "decay"),
    ],
)
def test_what_is_built_in_cannot_be_changed(module: Any, name: str) -> None:
    with pytest.raises(AttributeError):
        setattr(module, name, 7)


def test_a_rule_may_be_set_again() -> None:
    layer = nm.Recurrent(nm.ALIF(12, v_th=0.6), 4).double()
    x = torch.rand(30, 3, 4, dtype=torch.float64)
    factor = torch.linspace(0, 1, 30 * 3 * 12, dtype=torch.float64).view(30, 3, 12)
    found = {}
    for rule in ("bptt", "eprop", "khop", "rflo", KHop(0), KHop(30)):
        layer.learning_rule = rule
        assert f"learning_rule={rule!r}" in repr(layer)
        spikes, _ = layer(x)
        found[rule] = torch.autograd.grad((spikes * factor).sum(), layer.w_rec)[0]
    torch.testing.assert_close(found[KHop(0)], found["eprop"], rtol=1e-10, atol=1e-12)
    torch.testing.assert_close(found[KHop(30)], found["bptt"], rtol=1e-10, atol=1e-12)
    for a, b in (("bptt", "eprop"), ("eprop", "khop"), ("khop", "bptt"), ("eprop", "rflo")):
        assert (found[a] - found[b]).norm() > 1e-3 * found[a].norm(), (a, b)
