"""Networks warn where readout and neurons disagree on the time step; configurations do not."""

from __future__ import annotations

import importlib.util
import warnings

import pytest

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

import snn_neuromod as nm
from lightning_modules.framewise import FramewiseNetwork
from lightning_modules.networks import FeedForward
from snn_neuromod.learning.eprop.online import OnlineEprop

NETWORKS = {
    "FeedForward": lambda **o: FeedForward([3, 4], num_classes=2, recurrent=True, **o),
    "FramewiseNetwork": lambda **o: FramewiseNetwork([3, 4], num_classes=2, **o),
    "OnlineEprop": lambda neuron, readout: OnlineEprop(nm.Recurrent(neuron(4), 3), readout(4, 2)),
}


def izhikevich(n):
    return nm.Izhikevich(n, dt=0.5)


@pytest.mark.parametrize("name", NETWORKS)
def test_other_time_steps_are_said(name):
    with pytest.warns(UserWarning, match=rf"{name}: the readout counts steps of 1 ms .* 0.5 ms"):
        NETWORKS[name](neuron=izhikevich, readout=nm.LeakyReadout)


@pytest.mark.parametrize("name", NETWORKS)
def test_silence_where_they_agree_or_there_is_nothing_to_compare(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        NETWORKS[name](neuron=izhikevich, readout=lambda n, k: nm.LeakyReadout(n, k, dt=0.5))
        NETWORKS[name](neuron=nm.ALIF, readout=nm.LeakyReadout)
        NETWORKS[name](neuron=nm.MSRC, readout=nm.LeakyReadout)
        if name != "OnlineEprop":  # reads with a LeakyReadout alone
            NETWORKS[name](neuron=izhikevich, readout=nm.PopulationReadout)


def test_times_in_ms_in_a_configuration(tmp_path, capsys):
    from lightning_modules.cli import main

    network = "--model.init_args.network.init_args"
    ms = "{time: 5.0}"
    root = ["--trainer.default_root_dir", str(tmp_path), "--trainer.max_epochs=1"]
    main(["fit", "-c", "smoke/alif_eprop", f"{network}.neuron.init_args.refractory={ms}",
          f"{network}.neuron.init_args.delay={ms}", "--pictures.enabled=false", *root])  # fmt: skip
    assert "held-out accuracy" in capsys.readouterr().out
    (config,) = tmp_path.rglob("config.yaml")
    assert config.read_text().count("time: 5.0") == 2
