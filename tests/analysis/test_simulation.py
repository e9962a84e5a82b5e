"""The loop under all sweeps: batches, the synapse in front, progress, interruption."""

from __future__ import annotations

import builtins
import math
from typing import Any

import numpy as np
import pytest
import torch

from snn_neuromod import analysis, dynamics
from snn_neuromod.analysis import neuron, with_synapse
from snn_neuromod.analysis.simulation import batch, run


def test_a_run_counts_what_a_plain_loop_counts() -> None:
    found = neuron(dynamics.msrc, h_s0=[[0.5], [0.9]])
    neurons = batch(found, np.array([2.0, 3.5, 3.6]))
    counted = run(neurons.neuron, neurons.state, neurons.current, 300, discard=100, record=True)
    current = torch.tensor([2.0, 3.5, 3.6], dtype=torch.float64).expand(2, 3)
    state, trace = found.initial_state(current), []
    for _ in range(400):
        _, state = dynamics.msrc.step(found.params, state, current)
        trace.append(state.h > 0.5)
    spiking = torch.stack([torch.zeros(2, 3, dtype=torch.bool), *trace])
    fired = spiking[1:] & ~spiking[:-1]
    assert torch.equal(counted.spikes.reshape(2, 3), fired[100:].sum(0).double())
    assert counted.raster is not None
    assert torch.equal(counted.raster.reshape(300, 2, 3), fired[100:])
    first = torch.where(fired.any(0), fired.int().argmax(0), 400)
    assert torch.equal(counted.first.reshape(2, 3), first.int())
    assert torch.equal(counted.state.h.reshape(2, 3), state.h)
    assert (first < 400).sum() == 4


def test_parts_are_the_batch() -> None:
    neurons = batch(neuron(dynamics.izhikevich, b=[[0.2], [0.25]]), np.arange(5.0))
    assert neurons.shape == (2, 5)
    parts = list(neurons.parts(4))
    assert [(where.start, where.stop) for where, _ in parts] == [(0, 4), (4, 8), (8, 10)]
    for field in ("current", "state"):
        whole, pieces = getattr(neurons, field), [getattr(piece, field) for _, piece in parts]
        if field == "state":
            whole, pieces = whole.u, [piece.u for piece in pieces]
        assert torch.equal(torch.cat(pieces), whole)
    b = torch.cat([piece.neuron.params.b for _, piece in parts])
    assert b.tolist() == [0.2] * 5 + [0.25] * 5
    assert torch.equal(neurons.state.u, -65 * b)


def test_the_synapse_of_the_src_family_is_its_own() -> None:
    assert with_synapse(neuron(dynamics.msrc), 0.5).params.alpha == 0.5
    direct, filtered = (
        analysis.fi_curve(dynamics.msrc, scale * np.array([2.0, 3.0, 4.0]), synapse=synapse)
        for scale, synapse in ((1.0, None), (0.5, 0.5))
    )
    np.testing.assert_array_equal(filtered.up, direct.up)
    assert (direct.up[1:] > 0).all()


def test_a_synapse_in_front_of_any_other_neuron() -> None:
    """The response to one unit of charge, by hand; and that of a constant current in the long run."""
    found = with_synapse(neuron(dynamics.alif, alpha=0.9), 0.5)
    state = found.initial_state(torch.zeros(1, dtype=torch.float64))
    assert state._fields[-1] == "synapse"
    v = []
    for t in range(3):
        _, state = found.step(found.params, state, torch.full((1,), 0.1 * (t == 0)).double())
        v.append(state.v.item())
    assert v == pytest.approx([0.1, 0.9 * 0.1 + 0.05, 0.9 * (0.9 * 0.1 + 0.05) + 0.025])
    currents = np.array([0.2, 0.4, 0.6])
    direct = analysis.fi_curve(dynamics.alif, currents)
    filtered = analysis.fi_curve(dynamics.alif, currents / 2, synapse=0.5)
    np.testing.assert_allclose(filtered.up, direct.up, atol=1e-3)
    assert (direct.up > 0).all()


@pytest.mark.parametrize("alpha", [1.0, -0.1, math.nan])
def test_a_synapse_decays(alpha: float) -> None:
    with pytest.raises(ValueError, match=r"alpha must lie in \[0, 1\)"):
        with_synapse(neuron(dynamics.alif), alpha)


def test_progress_with_and_without_tqdm(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def sweep() -> str:
        analysis.heatmap(
            dynamics.msrc, [2.0, 3.0], parameter="h_s0", values=[0.5, 1.0], measure="rate",
            num_steps=60, discard=40, progress=True,
        )  # fmt: skip
        printed = capsys.readouterr()
        assert printed.out == ""
        return printed.err

    real = builtins.__import__

    def without_tqdm(name: str, *args: Any, **kwargs: Any) -> Any:
        if name == "tqdm":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without_tqdm)
    lines = sweep().splitlines()
    assert lines[-1] == "heatmap 2 x 2: 100 %"
    assert len(lines) == 2
    monkeypatch.undo()
    pytest.importorskip("tqdm")
    shown = sweep()
    assert "heatmap 2 x 2: 100%" in shown
    assert "100/100" in shown


def stopping(after: int) -> Any:
    """An mSRC that is interrupted by the user at some step."""
    calls = 0
    found = neuron(dynamics.msrc)

    def step(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return dynamics.msrc.step(*args)

    return found._replace(step=step)


def test_ctrl_c_keeps_what_was_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    steps = {"num_steps": 60, "discard": 40}
    with pytest.warns(UserWarning, match="fi_curve: interrupted after 2 of 4 parts"):
        curve = analysis.fi_curve(stopping(399), [2.0, 3.0, 4.0, 5.0], **steps)
    assert np.isnan(curve.up).tolist() == [False, False, True, True]
    assert np.isnan(curve.down).tolist() == [True, True, False, False]
    monkeypatch.setattr(analysis.heatmap.__globals__["heatmap"], "__doc__", None)
    monkeypatch.setitem(analysis.heatmap.__globals__, "CHUNK", 2)
    with pytest.warns(UserWarning, match="heatmap: interrupted after 1 of 2 parts"):
        found = analysis.heatmap(
            stopping(150), [2.0, 3.0], parameter="h_s0", values=[0.5, 1.0], measure="rate", **steps
        )
    assert np.isnan(found.data).tolist() == [[False, False], [True, True]]
    with pytest.raises(KeyboardInterrupt):
        analysis.spiking_delay(stopping(3), [2.0])
    monkeypatch.setattr("snn_neuromod.analysis.simulation.Batch.parts.__defaults__", (1,))
    with pytest.warns(UserWarning, match="spiking_delay: interrupted after 1 of 2 parts"):
        delay = analysis.spiking_delay(stopping(25), [5.0, 5.0], num_steps=20)
    assert np.isnan(delay).tolist() == [False, True]


def test_a_state_that_is_not_finite_is_no_silence() -> None:
    found = neuron(dynamics.izhikevich)

    def step(params: Any, state: Any, current: torch.Tensor) -> Any:
        return state.z, state._replace(v=state.v * current)

    curve = analysis.fi_curve(found._replace(step=step), [10.0])
    assert np.isnan(curve.up[0])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: analysis.fi_curve(dynamics.msrc, [2.0, 1.0]), "currents must be one axis of incr"),
        (lambda: analysis.fi_curve(dynamics.msrc, []), "currents must be finite numbers"),
        (lambda: analysis.fi_curve(dynamics.msrc, [0.0, math.nan]), "currents must be finite"),
        (lambda: analysis.fi_curve(dynamics.msrc, [1.0], num_steps=0), "num_steps must be an int"),
        (lambda: analysis.fi_curve(dynamics.msrc, [1.0], discard=-1), "discard must be an integer"),
        (lambda: analysis.fi_curve(dynamics.msrc, [1.0], hs0=1.0), "among alpha, .* got hs0"),
        (
            lambda: analysis.fi_curve(dynamics.msrc, [1.0], h_s0=[1, 2], r=[1, 2, 3]),
            "parameters must broadcast",
        ),
        (lambda: analysis.spiking_delay(dynamics.msrc, [1.0], num_steps=1.5), "num_steps must be"),
        (
            lambda: analysis.spiking_delay(dynamics.msrc, [1.0, 2.0], h_s0=[1, 2, 3]),
            r"must broadcast against the currents' shape \(\(2,\),\), got h_s0 \(3,\)",
        ),
        (lambda: analysis.bursts(dynamics.bsrc, [0.0], contrast=1.0), "contrast must be > 1"),
        (lambda: analysis.classify(dynamics.msrc, [1.0], jump=1.0), "jump must lie in"),
    ],
)  # fmt: skip
def test_errors(call: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        call()
