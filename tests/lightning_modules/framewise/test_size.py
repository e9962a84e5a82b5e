"""What counts as a parameter of a framewise network."""

from __future__ import annotations

import importlib.util
from functools import partial

import pytest

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.framewise.networks import FramewiseNetwork
from lightning_modules.framewise.size import count_parameters
from snn_neuromod import ALIF, LeakyReadout, Recurrent
from snn_neuromod.connectivity import Random


def test_what_counts_as_a_parameter():
    def size(neuron=ALIF, feedback="symmetric"):
        readout = partial(LeakyReadout, feedback=feedback)
        return count_parameters(
            FramewiseNetwork([6, 10], neuron=neuron, num_classes=4, readout=readout)
        )

    assert size() == 6 * 10 + 10 * 9 + 4 * 10 + 4
    assert size(feedback="adaptive") == size(feedback="random") == size()
    assert size(partial(ALIF, learn=["beta"])) == size() + 10
    net = Recurrent(ALIF(10), 6)
    net.w_in.requires_grad_(False)
    assert count_parameters(net) == 90
    sparse = FramewiseNetwork(
        [6, 10, 8],
        neuron=ALIF,
        num_classes=4,
        mask_in=Random(density=0.5),
        mask_rec=Random(density=0.2),
    )
    expected = (30 + 18) + (40 + 11)  # of 10 * 9 and 8 * 7, without the diagonal
    assert count_parameters(sparse) == expected + 4 * 18 + 4
