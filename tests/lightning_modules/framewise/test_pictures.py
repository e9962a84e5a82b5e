"""Pictures of framewise classification."""

from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)
pytest.importorskip("matplotlib")

from lightning_modules.framewise.lstm import LstmNetwork
from lightning_modules.framewise.networks import FramewiseNetwork
from lightning_modules.framewise.pictures import draw_confusion, draw_sentence
from snn_neuromod import ALIF


def test_confusion():
    confusion = torch.tensor([[6, 2, 0], [0, 0, 0], [1, 0, 3]])
    figure = draw_confusion(confusion, ["a", "b", "pau"], "Validation")
    axis, bars = figure.axes[:2]
    shown = axis.images[0].get_array()
    assert np.allclose(shown[0], [0.75, 0.25, 0])  # a row is a true class
    assert shown.mask[1].all()
    assert [t.get_text() for t in axis.get_yticklabels()] == ["a", "b", "pau"]
    assert axis.get_title(loc="left") == "Validation: 25.0% of 12 frames wrong"
    assert [bar.get_width() for bar in bars.patches] == pytest.approx([8 / 12, 0, 4 / 12])


@pytest.mark.parametrize("n_repeat", [1, 3])
def test_sentence(n_repeat):
    network = FramewiseNetwork([6, 10, 8], neuron=ALIF, num_classes=3, n_repeat=n_repeat)
    features, labels = 3 * torch.randn(30, 1, 6), torch.tensor([0] * 10 + [2] * 15 + [-100] * 5)
    figure = draw_sentence(network, features, labels, ["a", "b", "pau"])
    assert len(figure.axes) == 4
    points = figure.axes[1].collections[0].get_offsets()
    spikes = network(features).spikes[0][:, 0].nonzero()
    assert np.allclose(points[:, 0], spikes[:, 0] / n_repeat)
    assert len(points) > 0
    last = figure.axes[-1]
    assert [t.get_text() for t in last.get_yticklabels()] == ["pau", "a"]
    assert [line.get_xdata().tolist() for line in last.lines] == [[10, 25], [0, 10]]


def test_sentence_without_spikes():
    network = LstmNetwork(6, 3, hidden=4)
    figure = draw_sentence(network, torch.randn(9, 1, 6), torch.zeros(9).long(), ["a", "b", "c"])
    assert len(figure.axes) == 2
