"""The window of a pair of spikes: its signs, and its values where they are known in closed form."""

from __future__ import annotations

import numpy as np
import pytest

import snn_neuromod as nm
from snn_neuromod.figures import pre_post_windows
from snn_neuromod.figures.pre_post_windows import Window, neurons, window

ALPHA, GAMMA, DRIVE = np.exp(-1 / 20), 0.3, 1.2
AT_SPIKE = GAMMA * (1 - (DRIVE - 1))


def test_alif_strengthens_what_comes_before_its_spike() -> None:
    """The trace is psi at the spike times the presynaptic spike as the membrane remembers it; after it psi is zero."""
    found = window(nm.ALIF(1, refractory=5, detach_reset=True), DRIVE)
    expected = np.where(found.delay >= 0, AT_SPIKE * ALPHA ** np.maximum(found.delay, 0), 0)
    np.testing.assert_allclose(found.change, expected, atol=1e-6)
    assert not found.alone.any()


@pytest.mark.parametrize("refractory", [2, 5, 20])
def test_stdp_alif_weakens_what_comes_while_it_is_refractory(refractory: int) -> None:
    neuron = nm.STDPALIF(1, beta=0.0, refractory=refractory, detach_reset=True)
    found = window(neuron, DRIVE)
    late = (found.delay < 0) & (found.delay >= -refractory)
    heard = (
        refractory + 1 + np.maximum(found.delay, -refractory - 1)
    )  # refractory steps that it is there
    expected = -GAMMA * (1 - ALPHA**heard) / (1 - ALPHA)
    np.testing.assert_allclose(found.change[late], expected[late], atol=1e-5)
    assert (found.change[found.delay >= 0] > 0).all()
    assert not found.change[found.delay < -refractory].any()


def test_no_other_neuron_has_both_signs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, steps in (("LONGEST", 24), ("POST", 40), ("STEPS", 100)):
        monkeypatch.setattr(pre_post_windows, name, steps)
    found: dict[str, list[Window]] = {
        panel.title: [window(neuron, panel.drive) for neuron in panel.curves.values()]
        for panel in neurons()
    }
    assert len(found) == 6
    for title, curves in found.items():
        for curve in curves:
            assert curve.change.max() > 0.05, f"{title} is silent"
            assert (curve.change.min() < -0.1) == (title == "STDP-ALIF"), title
