"""Times of a step in snnTorch's loop."""

from __future__ import annotations

import inspect
import sys

import pytest
import torch

pytest.importorskip("snntorch")

from snn_neuromod import snntorch as ours
from snn_neuromod.benchmarks import loop


def test_the_table(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(loop, "STEPS", 12)
    monkeypatch.setattr(sys, "argv", ["loop", "--repeats", "1", "--neurons", "8", "--batch", "4"])
    loop.main()
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if "|" in line]
    assert [row[0].strip() for row in rows[2:]] == [*loop.NEURONS]
    assert [row[1].strip() for row in rows[2:3]] == ["1.00"]
    assert all(float(ratio) > 0 for row in rows[2:] for ratio in row[1:])


def test_every_neuron_has_a_row_and_fires() -> None:
    for name in ours.__all__:
        kind = getattr(ours, name)
        if (
            inspect.isclass(kind)
            and issubclass(kind, ours.Neuron)
            and name not in ("Neuron", "Custom")
        ):
            assert name in loop.NEURONS or (name[0] == "R" and name[1:] in loop.NEURONS)
    for name, make in loop.NEURONS.items():
        neuron = make(init_hidden=True)
        x = loop._inputs(neuron, 25, 4, 20)
        spikes = torch.stack([neuron(step) for step in x.unbind(0)])
        assert (spikes > getattr(neuron, "spike_level", 0.0)).any(), name
