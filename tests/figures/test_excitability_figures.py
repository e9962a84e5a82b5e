"""What the figures on excitability and bursts say is what their numbers are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from snn_neuromod.figures import bursting, fi_curves, modulation_maps, style

pytest.importorskip("matplotlib")


def texts(figure: Any) -> str:
    return " ".join(text.get_text() for ax in figure.axes for text in [ax.title, *ax.texts])


def test_fi_curves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fi_curves, "SPACING", 0.1)
    monkeypatch.setattr(fi_curves, "STEPS", 300)
    found = fi_curves.compute()
    assert list(style.MODULATIONS) == [1.5, 0.9, 0.5]
    assert found.onset_up == pytest.approx([4.92, 2.16, 3.40], abs=0.1)
    assert found.range == pytest.approx([0, 0, 1.14], abs=0.1)
    figure = fi_curves.draw(found)
    assert figure.axes[0].get_ylabel() == "firing rate (spikes per step)"
    assert f"onset {found.onset_up[0]:.2f}" in texts(figure)
    assert figure.axes[2].get_title().startswith("type 2*")
    for ax, kind in zip(figure.axes, style.MODULATIONS.values(), strict=True):
        assert ax.lines[0].get_color() == style.TYPES[kind]


@pytest.mark.parametrize("synapse", [None, 0.5])
def test_modulation_maps(monkeypatch: pytest.MonkeyPatch, synapse: float | None) -> None:
    monkeypatch.setattr(modulation_maps, "CURRENTS", 41)
    monkeypatch.setattr(modulation_maps, "VALUES", 8)
    maps = modulation_maps.compute(synapse)
    values, direct = maps["rate"].values, maps["rate"].currents / (1 - (synapse or 0))
    assert direct[-1] == 8
    rates = maps["rate"].data
    onsets = np.array([direct[row > 0][0] for row in rates])
    assert onsets[values.searchsorted(0.5)] == pytest.approx(3.4, abs=0.21)
    assert onsets[np.abs(values - 0.9).argmin()] == onsets.min()
    kept = (maps["hysteresis"].data > 0).any(1)
    assert kept[values < 0.8].all()
    assert not kept[values > 0.9].any()
    figure = modulation_maps.draw(maps, "title")
    shown = figure.axes[1].collections[0].get_array()
    np.testing.assert_array_equal(shown.filled(np.nan), maps["delay"].data + 1)


def test_the_burst() -> None:
    figure = bursting.bursting(None)  # type: ignore[arg-type]
    membrane, slow, gaps = figure.axes
    assert "20 spikes every 78" in membrane.get_title()
    assert len(membrane.lines[0].get_ydata()) == bursting.TRACE_STEPS
    assert slow.lines[0].get_ydata().max() < -0.79
    intervals = gaps.lines[0].get_ydata()
    assert (intervals > 250).sum() == 3
    assert (intervals < 40).sum() == len(intervals) - 3


def test_the_map_of_bursts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bursting, "PIXELS", 5)
    monkeypatch.setattr(bursting, "MAP_STEPS", 4000)
    monkeypatch.setattr(bursting, "BOUNDS_AT", np.array([0.6]))
    maps = bursting.compute_maps()
    assert maps.kind.shape == (5, 5, 5)
    assert (maps.kind[0] == "tonic").all()
    assert set(maps.kind[bursting.OFFSETS.index(0.55)].ravel()) == set(bursting.KINDS)
    lower, upper = maps.bounds[:, 0]
    at = np.abs(maps.h_s0 - 0.55).argmin()  # the nearest modulation of the coarse grid
    assert maps.h_s0[at] == pytest.approx(0.55)
    assert (maps.without_input[maps.h_u0 > upper + 0.02, at] == "silent").all()
    assert (maps.without_input[maps.h_u0 < lower - 0.06, at] == "tonic").all()
    figure = bursting.draw_maps(maps)
    assert "0 % bursting" in figure.axes[0].get_title()
