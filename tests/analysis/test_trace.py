"""Traces: the same run as the reference loop, the delays of the tables, currents and parameters that change."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from snn_neuromod import analysis, layers
from snn_neuromod.dynamics import alif, bsrc, izhikevich, msrc, scan, src


@pytest.mark.parametrize("module", [src, msrc, bsrc, alif, izhikevich])
def test_it_is_the_scan(module: Any) -> None:
    found = analysis.neuron(module)
    current = 6 * torch.rand(80, 1, 3, dtype=torch.float64)
    spikes, state = scan(found.step, found.params, found.initial_state(current[0]), current)
    trace = analysis.voltage_trace(module, current[:, 0].numpy())
    assert spikes.abs().sum() > 0
    np.testing.assert_array_equal(trace.output, spikes[:, 0].numpy())
    for name in state._fields:
        np.testing.assert_array_equal(trace.states[name][-1], getattr(state, name)[0].numpy())


@pytest.mark.parametrize(("current", "step"), [(3.4, 172), (3.5, 42), (3.6, 24)])
def test_first_spike_of_type_2_star(current: float, step: int) -> None:
    trace = analysis.voltage_trace(msrc, current, num_steps=200, h_s0=0.5)
    assert trace.time[trace.spikes][0] == step
    assert trace.membrane[step] > 0.5 >= trace.membrane[step - 1]
    assert trace.membrane[step + 1] > 0.5  # still up, but counted once
    assert not trace.spikes[step + 1]


def test_a_row_of_neurons_is_each_of_them() -> None:
    several = analysis.voltage_trace(msrc, [[2.0, 3.6, 5.0]], num_steps=90, h_s0=[1.5, 0.5, 1.5])
    assert several.membrane.shape == (90, 3)
    for k, (i, h_s0) in enumerate([(2.0, 1.5), (3.6, 0.5), (5.0, 1.5)]):
        one = analysis.voltage_trace(msrc, i, num_steps=90, h_s0=h_s0)
        assert one.membrane.shape == (90,)
        np.testing.assert_array_equal(several.membrane[:, k], one.membrane)
        np.testing.assert_array_equal(several.spikes[:, k], one.spikes)


def test_modulation_that_changes_at_run_time() -> None:
    """At I = 3 type 2* is silent and type 1 fires; what was silent fires from the change on."""
    h_s0 = np.repeat([0.5, 0.9], 200)
    trace = analysis.voltage_trace(msrc, 3.0, schedule={"h_s0": h_s0})
    assert not trace.spikes[:200].any()
    assert trace.spikes[200:].sum() > 3
    before = analysis.voltage_trace(msrc, 3.0, num_steps=200, h_s0=0.5)
    np.testing.assert_array_equal(trace.membrane[:200], before.membrane)


def test_start_and_hysteresis() -> None:
    """At I = 2.5 and h_s0 = 0.5 both silence and firing go on, whichever there was."""
    rest = analysis.voltage_trace(msrc, 2.5, num_steps=400, h_s0=0.5)
    current = np.repeat([3.6, 2.5], 400)
    both = analysis.voltage_trace(msrc, current, h_s0=0.5)
    assert not rest.spikes.any()
    assert both.spikes[600:].sum() > 10
    last = {name: values[-1] for name, values in both.states.items()}
    on = analysis.voltage_trace(msrc, 2.5, num_steps=100, start=last, h_s0=0.5)
    assert on.spikes.sum() > 5


def test_a_layer_with_its_synapse() -> None:
    layer = layers.MSRC(2, modulation=0.9, alpha=0.5)
    current = torch.full((50, 1, 2), 2.0)
    with torch.no_grad():
        spikes, _ = layer(current)
    trace = analysis.voltage_trace(layer, 2.0, num_steps=50)
    np.testing.assert_allclose(trace.output, spikes[:, 0, 0].numpy(), atol=1e-4)
    assert trace.spikes.any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"current": 1.0}, "say num_steps"),
        ({"current": 1.0, "num_steps": 0}, "num_steps must give one number of steps"),
        ({"current": [1.0, 2.0], "num_steps": 3}, r"got \[2, 3\]"),
        ({"current": [1.0, np.nan]}, "current must be finite"),
        (
            {"current": 1.0, "num_steps": 3, "start": {"w": 0.0}},
            "start must name .* i, h, h_s, got w",
        ),
        ({"current": 1.0, "schedule": {"w": [1.0]}}, "schedule must name"),
        ({"current": 1.0, "num_steps": 3, "h_s0": [[1.0]]}, r"must be numbers or \(N,\)"),
    ],
)
def test_errors(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        analysis.voltage_trace(msrc, **arguments)


def test_drawing() -> None:
    matplotlib = pytest.importorskip("matplotlib.figure")
    trace = analysis.voltage_trace(msrc, 3.6, num_steps=60, h_s0=0.5)
    ax = matplotlib.Figure().subplots()
    analysis.plot_voltage_trace(trace, ax, variables=("h_s",))
    np.testing.assert_array_equal(ax.lines[0].get_ydata(), trace.membrane)
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), trace.states["h_s"])
    assert ax.get_xlabel() == "time (steps)"
