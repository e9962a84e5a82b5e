"""Figures of single neurons show the facts that they speak of."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest

from snn_neuromod.dynamics import msrc
from snn_neuromod.figures import (
    FIGURES,
    Options,
    bifurcation_diagram,
    eprop_neurons,
    portraits,
    style,
)
from snn_neuromod.figures import modulation_at_run_time as at_run_time
from snn_neuromod.figures import src_against_msrc as against
from snn_neuromod.layers import ALIF, STDPALIF, Izhikevich

pytest.importorskip("matplotlib")


def titles(figure: Any) -> list[str]:
    return [ax.get_title().replace("\n", " ") for ax in figure.axes if ax.get_title()]


PORTRAITS = {
    "src_portraits": ["I = 0: silent", "I = 0.85: 1 spike, then silent", "I = 3: fires, first after 1 step"],
    "type_2_portraits": ["silent", "fires", "fires"],
    "type_1_portraits": ["silent", "silent", "fires"],
    "type_2_star_portraits": ["silent", "silent", "I = 3.6: fires", "I = 2.5: fires"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "said"), PORTRAITS.items())
def test_portraits_at_the_currents_of_the_summary(name: str, said: list[str]) -> None:
    figure = FIGURES[name](Options())
    found = titles(figure)
    assert len(found) == len(said)
    assert all(part in title for part, title in zip(said, found, strict=True))
    colour = {"type_2_": "type 2", "type_1_": "type 1", "type_2_star_": "type 2*"}.get(
        name.removesuffix("portraits")
    )
    *planes, trace = figure.axes
    assert trace.lines[0].get_color() == (style.TYPES[colour] if colour else style.SKY)
    assert all(ax.get_xlabel() for ax in figure.axes)
    assert "(steps)" in trace.get_xlabel()
    assert [ax.get_title(loc="left") for ax in figure.axes] == list("abcde"[: len(figure.axes)])
    assert planes[0].get_ylabel() == "slow variable $h_{s}$"
    figure.savefig(io.BytesIO(), dpi=20)


def test_hysteresis_is_one_run_and_the_run_from_rest() -> None:
    found = portraits.run(msrc, portraits.CURRENTS[0.5], h_s0=0.5)
    steps = portraits.STEPS
    assert found.trace.current.tolist() == np.repeat([0.0, 3.0, 3.6, 2.5], steps).tolist()
    assert found.trace.spikes.reshape(4, steps).any(1).tolist() == [False, False, True, True]
    for k, portrait in enumerate(found.portraits):  # each shows its part of the run
        part = slice(k * steps, (k + 1) * steps)
        np.testing.assert_allclose(portrait.trajectory.membrane, found.trace.membrane[part])
    assert found.from_rest is not None
    assert not found.from_rest.spikes.any()
    assert found.portraits[-1].trajectory.spikes[steps // 2 :].sum() >= 5
    assert found.portraits[-1].fixed_points.kinds == ("stable node", "saddle", "unstable node")


def test_types_have_colours_of_their_own() -> None:
    assert len(set(style.TYPES.values())) == len(style.TYPES) == 6
    assert set(style.MODULATIONS.values()) == {"type 1", "type 2", "type 2*"}


def test_feedback_of_the_two_cells() -> None:
    found = against.compute()
    np.testing.assert_allclose(found.straight, -7 * found.h_s - 6)
    np.testing.assert_allclose(found.parabolas[0.5], -7 * (found.h_s + 0.5) ** 2)
    assert all(portrait.trajectory.spikes[100:].any() for portrait in found.portraits)
    assert all(ax.get_xlabel() for ax in against.draw(found).axes)


def test_bifurcation_diagram_agrees_with_the_sweeps(monkeypatch: pytest.MonkeyPatch) -> None:
    """Firing begins at rest's end in types 2 and 1; in type 2* it is there from 2.26 on, below 3.39."""
    found = bifurcation_diagram.compute()
    assert [{p.kind for p in found.diagrams[h].points} for h in (1.5, 0.9, 0.5)] == [
        {"Neimark-Sacker"},
        {"Neimark-Sacker"},
        {"saddle-node"},
    ]
    for h_s0, onset, down in ((1.5, 4.92, 4.92), (0.9, 2.16, 2.16), (0.5, 3.40, 2.26)):
        firing = found.firing[h_s0]
        step = firing.currents[1] - firing.currents[0]
        assert abs(firing.currents[firing.from_rest].min() - onset) < step + 0.02
        assert abs(firing.currents[np.isfinite(firing.high)].min() - down) < step + 0.02
    assert np.nanmin(found.firing[0.5].high) > 0.5
    monkeypatch.setattr(bifurcation_diagram, "compute", lambda: found)
    FIGURES["bifurcation_diagram"](Options()).savefig(io.BytesIO(), dpi=20)


@pytest.mark.parametrize("neuron", [ALIF(1, beta=0.184), STDPALIF(1, beta=0.184, refractory=4)])
def test_alif_neurons_adapt(neuron: Any) -> None:
    found = eprop_neurons.compute(neuron, 0.12)
    fired = np.flatnonzero(found.spikes)
    assert len(fired) > 5
    assert np.all(np.diff(np.diff(fired)) >= 0)
    assert found.threshold[fired[-1]] > found.threshold[0] + 0.5
    assert (found.psi[fired + 1] < 0).all() == isinstance(neuron, STDPALIF)


def test_izhikevich_before_and_after_it_was_fixed() -> None:
    before = eprop_neurons.compute(Izhikevich(1, detach_reset=True), 10.0)
    after = eprop_neurons.compute(Izhikevich(1, detach_reset=True, clip_jacobian=1.0), 10.0)
    np.testing.assert_array_equal(before.v, after.v)
    assert before.spikes.sum() > 5
    assert np.abs(before.eps).max() > 1e4
    assert 1 < np.abs(after.eps).max() < 10
    # e = psi eps_v, the papers' form
    np.testing.assert_allclose(after.e, after.psi * after.eps, atol=1e-12)
    drawn = eprop_neurons.izhikevich_neuron(Options()).axes[-1].lines[0].get_ydata()
    assert not drawn.any()


def test_modulation_at_run_time() -> None:
    """Type 2* goes on with what was before: it comes after silence, and again after firing."""
    trace = at_run_time.compute()
    fires = trace.spikes.reshape(5, -1)[:, at_run_time.EACH // 2 :].any(1)
    assert fires.tolist() == [False, False, True, True, False]
    assert at_run_time.SEQUENCE[1] == at_run_time.SEQUENCE[3] == 0.5
    words = [text.get_text().split()[-1] for text in at_run_time.draw(trace).axes[0].texts]
    assert words == ["silent", "silent", "fires", "fires", "silent"]
