"""Every kind of neuron comes in, with its own parameters, and says what its spike is."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.analysis import Neuron, neuron

MODULES = {
    "src": ("h", "h_s", 0.5),
    "msrc": ("h", "h_s", 0.5),
    "bsrc": ("h", "h_s", 0.5),
    "alif": ("v", "a", None),
    "stdp_alif": ("v", "a", None),
    "izhikevich": ("v", "u", None),
    "leaky_integrator": ("y", None, math.inf),
}
LAYERS = {
    "src": nm.SRC,
    "msrc": nm.MSRC,
    "bsrc": nm.BSRC,
    "alif": nm.ALIF,
    "stdp_alif": nm.STDPALIF,
    "izhikevich": nm.Izhikevich,
}


class Quadratic:
    """A neuron of a user's own, one parameter of which has no default."""

    class Params(NamedTuple):
        v_th: Any
        alpha: Any = 0.9

    class State(NamedTuple):
        v: Tensor

    @classmethod
    def initial_state(cls, current: Tensor) -> State:
        return cls.State(torch.zeros_like(current))

    @classmethod
    def step(cls, params: Params, state: State, current: Tensor, *, gain: float = 1.0) -> Any:
        v = params.alpha * state.v + 0.1 * state.v**2 + gain * current
        z = (v > params.v_th).to(v.dtype)
        return z, cls.State(v - v * z)


@pytest.mark.parametrize("name", MODULES)
def test_modules(name: str) -> None:
    module = getattr(nm.dynamics, name)
    found = neuron(module)
    assert (found.membrane, found.slow, found.threshold) == MODULES[name]
    current = torch.zeros(3, 4, dtype=torch.float64)
    rest = found.initial_state(current)
    spikes, state = found.step(found.params, rest, current)
    for tensor in (spikes, *rest, *state):
        assert tensor.shape == (3, 4)
        assert tensor.dtype == torch.float64
    assert type(found.params) is module.Params
    assert found.membrane in rest._fields
    if "h" in rest._fields:
        assert (found.params.alpha, found.params.rho) == (0.0, math.inf)
        assert (rest.h == -1).all()
        assert (rest.h_s == -1).all()
    else:
        assert found.params == module.Params()


@pytest.mark.parametrize("name", LAYERS)
def test_layers_come_with_their_own_parameters(name: str) -> None:
    layer = LAYERS[name](3)
    found = neuron(layer)
    assert (found.membrane, found.slow, found.threshold) == MODULES[name]
    assert found.params == pytest.approx(getattr(nm.dynamics, name).Params(), rel=1e-6)
    drive = torch.linspace(0, 20, 60, dtype=torch.float64)[:, None, None].expand(-1, 2, 3)
    reference, end = layer.double()(drive)
    state = found.initial_state(drive[0])
    spikes = []
    for current in drive:
        z, state = found.step(found.params, state, current)
        spikes.append(z)
    torch.testing.assert_close(torch.stack(spikes)[..., 0], reference[..., 0], rtol=0, atol=1e-6)
    for a, b in zip(state, end, strict=True):
        torch.testing.assert_close(a[..., 0], b[..., 0].double(), rtol=1e-5, atol=1e-6)
    assert reference.any()


def test_a_neuron_of_a_layer_and_its_options() -> None:
    layer = nm.ALIF(2, tau_mem=[10.0, 20.0], refractory=4, reset="zero")
    found = neuron(layer, index=0)
    assert found.params.alpha == pytest.approx(math.exp(-1 / 10), rel=1e-12)
    current = torch.full((1,), 5.0, dtype=torch.float64)
    state, fired = found.initial_state(current), []
    for _ in range(12):
        z, state = found.step(found.params, state, current)
        fired.append(int(z.item()))
    assert fired == [1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]
    assert neuron(nm.SRC(5)).initial_state(torch.zeros(7, 9)).h.unique().numel() == 1
    assert neuron(nm.Izhikevich(1, v_init=-70.0)).initial_state(current).v.item() == -70.0


def test_derivatives_are_those_of_the_equations() -> None:
    """Gradient options of training do not reach the analysis."""
    for layer, field in ((nm.MSRC(1), "h"), (nm.Izhikevich(1, clip_jacobian=1e-3), "v")):
        found = neuron(layer)
        current = torch.zeros(1, dtype=torch.float64)
        rest = found.initial_state(current)
        leaf = getattr(rest, field).clone().requires_grad_()
        _, after = found.step(found.params, rest._replace(**{field: leaf}), current)
        (gradient,) = torch.autograd.grad(getattr(after, field).sum(), leaf)
        assert abs(gradient.item()) > 1e-2 or field == "h"
        assert gradient.item() != 0


def test_replacing_parameters() -> None:
    found = neuron(nm.dynamics.msrc, h_s0=0.5, alpha=0.5)
    assert (found.params.h_s0, found.params.alpha, found.params.rho) == (0.5, 0.5, math.inf)
    again = neuron(found, h_s0=1.5)
    assert (again.params.h_s0, again.params.alpha) == (1.5, 0.5)
    assert found.params.h_s0 == 0.5
    grid = neuron(found, h_s0=np.array([[1], [2]])).params.h_s0
    assert torch.equal(grid, torch.tensor([[1.0], [2.0]], dtype=torch.float64))
    params = nm.dynamics.msrc.Params(h_s0=0.7)
    assert neuron(nm.dynamics.msrc, params=params).params == params
    assert neuron(nm.dynamics.msrc, params=params, r=3.0).params == params._replace(r=3.0)
    assert neuron(nm.MSRC(2), h_s0=1.1).params.h_s0 == 1.1


def test_rest_follows_the_parameter_it_depends_on() -> None:
    current = torch.zeros(2, dtype=torch.float64)
    found = neuron(nm.dynamics.izhikevich, b=0.25)
    assert found.initial_state(current).u.tolist() == [-65 * 0.25] * 2
    again = neuron(found, b=[0.1, 0.2])
    assert again.initial_state(current).u.tolist() == pytest.approx([-6.5, -13.0])


def test_a_neuron_of_ones_own() -> None:
    found = neuron(Quadratic, v_th=1.0, options={"gain": 2.0})
    assert (found.membrane, found.slow, found.threshold) == ("v", None, None)
    current = torch.full((1,), 0.6, dtype=torch.float64)
    spikes, _ = found.step(found.params, found.initial_state(current), current)
    assert spikes.item() == 1
    layer = nm.Custom(2, Quadratic, params={"v_th": 1.5})
    assert neuron(layer).params == pytest.approx(Quadratic.Params(1.5, 0.9), rel=1e-6)
    assert isinstance(neuron(found._replace(threshold=0.5)), Neuron)


def exploded() -> nm.MSRC:
    """A layer with a neuron whose modulation training has driven to NaN."""
    layer = nm.MSRC(2, learn_modulation=True)
    with torch.no_grad():
        layer.modulation[1] = math.nan
    return layer


@pytest.mark.parametrize(
    ("make", "kind", "words"),
    [
        (lambda: neuron(nm.dynamics.msrc, hs0=1.0), ValueError, "among alpha, rho, r, .*got hs0"),
        (lambda: neuron(nm.MSRC(1), modulation=1.0), ValueError, "h_s0, got modulation"),
        (lambda: neuron(Quadratic), ValueError, "value to v_th"),
        (lambda: neuron(torch.nn.Linear(2, 2)), TypeError, "must be a module"),
        (lambda: neuron(nm.dynamics.alif, v_th=math.nan), ValueError, "v_th must not be NaN"),
        (lambda: neuron(exploded()), ValueError, "h_s0 must not be NaN"),
        (lambda: neuron(nm.dynamics.alif, v_th="high"), TypeError, "v_th must be a number"),
        (
            lambda: neuron(nm.dynamics.alif, options={"refractor": 2}),
            ValueError,
            "among spike_fn, reset, refractory, detach_reset, got refractor",
        ),
    ],
)
def test_errors(make: Any, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        make()
