"""Layers of different neurons, alone and inside other modules: a result for each, or an error; never the first."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import snn_neuromod as nm
from snn_neuromod import snntorch as nms
from snn_neuromod.analysis import (
    fi_curve,
    hysteresis,
    neuron,
    phase_portrait,
    spiking_delay,
    voltage_trace,
)

MODULATION = [0.5, 0.9, 1.5]
CURRENTS = np.linspace(0, 4, 9)
STEPS = {"num_steps": 120, "discard": 40}


def layer() -> nm.MSRC:
    return nm.MSRC(3, modulation=torch.tensor(MODULATION))


def test_curves_of_each_neuron() -> None:
    found = fi_curve(layer(), CURRENTS, **STEPS)
    expected = fi_curve(nm.MSRC(1), CURRENTS, h_s0=MODULATION, **STEPS)
    np.testing.assert_allclose(found.up, expected.up)
    assert found.up.shape == (3, 9)
    assert found.up.any()
    assert hysteresis(layer(), CURRENTS, num_steps=60).onset_up.shape == (3,)
    assert spiking_delay(layer(), 2.0).shape == (3,)


def test_starts_that_differ() -> None:
    """Izhikevich's rest depends on b."""
    b = torch.tensor([0.2, 0.26])
    found = fi_curve(nm.Izhikevich(2, b=b), np.linspace(0, 10, 5), **STEPS)
    for k, value in enumerate(b.tolist()):
        one = fi_curve(nm.Izhikevich(1, b=value), np.linspace(0, 10, 5), **STEPS)
        np.testing.assert_allclose(found.up[k], one.up)


def test_one_neuron_by_its_number() -> None:
    assert neuron(layer(), index=2).params.h_s0 == 1.5
    assert phase_portrait(neuron(layer(), index=1), 1.0).x.size
    with pytest.raises(ValueError, match=r"h_s0 must be one number, got 3; .*index=k"):
        phase_portrait(layer(), 1.0)
    with pytest.raises(IndexError, match=r"index must lie in 0 ... 2, got 3"):
        neuron(layer(), index=3)


def test_equal_neurons_are_one() -> None:
    assert neuron(nm.MSRC(5, modulation=0.5)).params.h_s0 == 0.5


@pytest.mark.parametrize(
    "around",
    [
        lambda: nm.Recurrent(layer(), 4),
        lambda: nms.MSRC(num_neurons=3, modulation=torch.tensor(MODULATION)),
    ],
)
def test_inside_another_module(around: Any) -> None:
    torch.testing.assert_close(
        neuron(around()).params.h_s0,
        torch.tensor(MODULATION, dtype=torch.float64),
        rtol=1e-6,
        atol=0,
    )


@pytest.mark.parametrize(
    ("form", "layer"),
    [
        (nms.ALIF(0.9), {"alpha": 0.9}),
        (
            nms.ALIF(torch.tensor([0.8, 0.9]), adapt_strength=0.0),
            {"alpha": [0.8, 0.9], "beta": 0.0},
        ),
        (nms.RALIF(0.9, linear_features=3), {"alpha": 0.9}),
        (nms.STDPALIF(0.9, refractory=5), {"alpha": 0.9}),
    ],
)
def test_the_alif_family_of_snntorchs_form(form: Any, layer: dict[str, Any]) -> None:
    """The curve is that of the equations, and what the form itself fires under a constant current."""
    options = {"refractory": 5} if isinstance(form, nms.STDPALIF) else {"reset": "subtract"}
    same = neuron(form.dynamics, options=options, **layer)
    currents = np.array([0.0, 0.15, 0.3])
    found = fi_curve(form, currents, num_steps=100)
    np.testing.assert_allclose(found.up, fi_curve(same, currents, num_steps=100).up, atol=0.02)
    if found.up.ndim == 1 and not isinstance(form, nms.RALIF):
        nm.reset(form)
        alone = torch.stack([form(torch.tensor([[0.3]]))[0] for _ in range(100)])
        own = voltage_trace(form, 0.3, num_steps=100)
        assert own.spikes.sum() == int((alone > 0).sum()) > 3


def test_a_reset_at_once_is_not_analysed() -> None:
    form = nms.ALIF(0.9, reset_delay=False, adapt_strength=0.0)
    with pytest.raises(ValueError, match="reset_delay must be True for an analysis"):
        neuron(form)


def test_a_norse_cell() -> None:
    norse = pytest.importorskip("snn_neuromod.norse")
    assert neuron(norse.ALIFCell()).membrane == "v"


def test_a_class_is_no_neuron() -> None:
    with pytest.raises(TypeError, match=r"instance of MSRC, got the class; write MSRC\(1\)"):
        phase_portrait(nm.MSRC, 2.0)
