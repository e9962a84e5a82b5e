"""The figures are made, from the command line and one by one, and show what they say."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from snn_neuromod.figures import (
    FIGURES,
    Options,
    bursting,
    eprop_traces,
    fi_curves,
    modulation_maps,
    pre_post_windows,
    style,
)
from snn_neuromod.figures.__main__ import main
from snn_neuromod.layers.izhikevich_presets import Preset
from tests.figures.test_neuron_figures import PORTRAITS

pytest.importorskip("matplotlib")
WRITTEN = ("eprop_traces", "modulation_maps")
ELSEWHERE = ("bifurcation_diagram", *PORTRAITS)
DRAWN = [name for name in FIGURES if name not in (*WRITTEN, *ELSEWHERE)]
SPEECH = Path(__file__).parents[2] / ".." / "shared" / "data" / "ru_speech_small"


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(eprop_traces, "UPDATES", 2)
    monkeypatch.setattr(eprop_traces, "SENTENCE", 40)
    monkeypatch.setattr(eprop_traces, "NEURONS", 20)
    for module, name, value in (
        (fi_curves, "SPACING", 0.2),
        (fi_curves, "STEPS", 200),
        (modulation_maps, "CURRENTS", 21),
        (modulation_maps, "VALUES", 15),
        (bursting, "PIXELS", 3),
        (bursting, "MAP_STEPS", 2000),
        (bursting, "MAP_DISCARD", 500),
        (bursting, "BOUNDS_AT", [0.7]),
        (pre_post_windows, "LONGEST", 8),
        (pre_post_windows, "POST", 20),
        (pre_post_windows, "STEPS", 50),
        (style, "DPI", 40),
    ):
        monkeypatch.setattr(module, name, value)
    whole = Preset.current
    monkeypatch.setattr(Preset, "current", lambda preset: whole(preset)[:60])


@pytest.mark.parametrize("name", WRITTEN)
def test_the_command_writes_a_figure(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    main([name, "--out", str(tmp_path / "figures")])
    paths = [Path(line) for line in capsys.readouterr().out.split()]
    assert [path.name for path in paths] == [f"{name}.png", f"{name}.svg"]
    assert paths[0].read_bytes().startswith(b"\x89PNG")
    assert "<svg" in paths[1].read_text(encoding="utf-8")


@pytest.mark.parametrize("name", DRAWN)
def test_every_figure_can_be_drawn(name: str) -> None:
    FIGURES[name](Options()).savefig(io.BytesIO(), dpi=20)


def test_a_folder_without_speech(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("soundfile")
    nowhere = tmp_path / "nowhere"
    with pytest.raises(SystemExit) as stop:
        main(["eprop_traces", "--out", str(tmp_path), "--data", str(nowhere)])
    assert stop.value.code == 2
    assert str(nowhere) in capsys.readouterr().err


def test_unknown_names(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["frobnicate", "--out", str(tmp_path)])
    assert "names must be among eprop_traces" in capsys.readouterr().err


def test_traces_belong_together() -> None:
    before = torch.get_rng_state()
    found = eprop_traces.compute(seed=1)
    assert torch.equal(torch.get_rng_state(), before)
    assert found.time.shape == found.v.shape == found.learning_signal.shape == (600,)
    assert found.e.shape == (600, 3)
    assert 0 < found.spikes.mean() < 0.4
    assert ((found.v > found.threshold) >= found.spikes.astype(bool)).all()
    # the filtered trace and the adaptation's are leaky sums of the trace
    kappa, rho = np.exp(-1 / 20), np.exp(-1 / 200)
    np.testing.assert_allclose(
        found.filtered[1:], kappa * found.filtered[:-1] + found.e[1:], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(
        found.eps_a[1:], rho * found.eps_a[:-1] + found.e[:-1], rtol=1e-4, atol=1e-5
    )
    assert np.abs(found.e).max() > 0
    assert np.abs(found.learning_signal).max() > 0
    again: Any = eprop_traces.compute(seed=1)
    np.testing.assert_array_equal(again.e, found.e)
    figure = eprop_traces.draw(found)
    assert all(ax.get_ylabel() for ax in figure.axes)
    assert figure.axes[-1].get_xlabel() == "time (ms)"


@pytest.mark.skipif(not SPEECH.exists(), reason="the speech corpus is not there")
def test_a_real_sentence(tmp_path: Path) -> None:
    pytest.importorskip("kaldi_native_fbank")
    for split in ("train", "test"):  # features of the whole corpus take seconds
        (tmp_path / split).mkdir()
        for path in sorted((SPEECH / split).glob("*.wav"))[:8]:
            for file in path.parent.glob(f"{path.stem}.*"):
                (tmp_path / split / file.name).symlink_to(file.resolve())
    found = eprop_traces.compute(tmp_path)
    assert found.inputs.shape == (40 * eprop_traces.REPEATS, 39)
    assert found.segments[0][0] == 0
    assert found.segments[-1][1] == 400
    assert found.time[-1] == 398
    assert found.segments[0][2] == "pau"
