"""The LSTM: of equal size, on padded sequences, delay of the output."""

from __future__ import annotations

import importlib.util

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.framewise.lstm import LstmNetwork
from lightning_modules.framewise.networks import FramewiseNetwork
from lightning_modules.framewise.size import count_parameters, network_size
from snn_neuromod import ALIF


@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize("sizes", [[39, 100], [39, 70, 60], [39, 400], [39, 60, 50, 40]])
def test_an_lstm_has_as_many_parameters(sizes, bidirectional):
    net = FramewiseNetwork(sizes, neuron=ALIF, num_classes=51, bidirectional=bidirectional)
    wanted = count_parameters(net)
    assert wanted == network_size(sizes, 51, bidirectional=bidirectional)
    both = [
        LstmNetwork(39, 51, parameters_of=given, bidirectional=bidirectional)
        for given in (sizes, net)
    ]
    assert both[0].hidden == both[1].hidden
    assert count_parameters(both[0]) == sum(p.numel() for p in both[0].parameters())
    assert abs(count_parameters(both[0]) / wanted - 1) < 0.02


def test_lstm_on_padded_sequences():
    net, features = LstmNetwork(6, 4, hidden=5, bidirectional=True), torch.randn(20, 3, 6)
    together = net(features, torch.tensor([20, 20, 9])).outputs[:9, 2]
    assert torch.allclose(together, net(features[:9, 2:]).outputs[:, 0], atol=1e-6)
    late = LstmNetwork(6, 4, hidden=5, output_delay=2)
    moved = features.clone()
    moved[12] += 5
    difference = (late(moved).outputs - late(features).outputs).abs().amax(dim=(1, 2))
    assert (difference[:10] == 0).all()
    assert (difference[10:13] > 0).all()


WRONG = [
    (lambda: LstmNetwork(6, 4), "exactly one of"),
    (lambda: LstmNetwork(6, 4, hidden=3, parameters_of=[6, 5]), "exactly one of"),
    (lambda: LstmNetwork(6, 4, parameters_of=[6]), "sizes must be"),
    (lambda: LstmNetwork(6, 4, hidden=0), "hidden must be"),
    (lambda: LstmNetwork(6, 4, hidden=3)(torch.randn(9, 6)), "x must have shape"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[m for _, m in WRONG])
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
