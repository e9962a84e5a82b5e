"""Measurements on the memory task, and the command that makes them and the figure."""

from __future__ import annotations

import importlib.util
import json
from functools import partial

import pytest
import torch

if any(
    importlib.util.find_spec(name) is None
    for name in ("pytorch_lightning", "mlxtend", "matplotlib")
):
    pytest.skip(
        "pytorch_lightning, mlxtend or matplotlib is not installed", allow_module_level=True
    )

from docs.studies.neuromodulation.__main__ import main
from docs.studies.neuromodulation.measure import keeping, sweep
from lightning_modules.cli import main as snn_neuromod
from lightning_modules.context import ContextNetwork
from lightning_modules.networks import NetworkOutput
from snn_neuromod import MSRC, PopulationReadout
from snn_neuromod.data.digit_sequences import DigitSequences


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def digits(num_digits=4):
    """Pixels 3k to 3k + 2 of an image of class k are bright."""
    labels = torch.arange(100) % 10
    images = torch.zeros(100, 10, 3, dtype=torch.uint8)
    images[torch.arange(100), labels] = 255
    return DigitSequences(
        images, labels, num_digits=num_digits, digit_steps=30, hold_after=25, p_max=0.5, seed=0
    )


def test_networks_that_keep_or_follow_by_construction():
    def follows(x):
        shown = x[..., :30].float().unflatten(-1, (10, 3)).sum(-1)
        return NetworkOutput(shown.unflatten(0, (-1, 30)).cumsum(1).flatten(0, 1), [shown.sign()])

    def keeps(x):
        shown = x[..., :30].float().unflatten(-1, (10, 3)).sum(-1)
        return NetworkOutput((shown * (1 - x[..., 30:].float())).cumsum(0), [shown.sign()])

    kept, followed = (keeping(network, digits(), 200) for network in (keeps, follows))
    assert kept["kept"] == [1, 1, 1, 1]
    assert followed["shown"] == [1, 1, 1, 1]
    for found, name in ((kept, "shown"), (followed, "kept")):
        assert found[name][0] == 1
        assert all(0.02 < share < 0.2 for share in found[name][1:])  # classes agree by chance
    assert all(0.25 < count < 0.45 for count in kept["spikes"])  # 30 x 7/8 x 1/8 in one of ten


def test_neurons_with_two_states_keep_what_they_were_shown():
    """Weights by hand: each class excites its own population; nothing is learned but the modulation decides."""
    net = ContextNetwork(
        [31, 20, 50], neuron=partial(MSRC, b=1.0), context=["none", "modulation"], context_weight=-1.25,
        output_neuron=partial(MSRC, modulation=1.4, rho=1.2, b=4.2), readout=partial(PopulationReadout, decay=0.9),
    )  # fmt: skip
    with torch.no_grad():
        net.layers[0].weight.copy_(torch.eye(10).repeat_interleave(3, 1).repeat_interleave(2, 0))
        own = torch.eye(10).repeat_interleave(2, 1).repeat_interleave(5, 0)
        net.layers[1].layer.weight.copy_(3 * own - 0.5)
    found = sweep(net, digits(), 40, [0.15, 0.9, 1.5])
    assert found["modulation"] == [0.15, 0.9, 1.5]
    assert found["kept"][0] > 0.9
    assert found["kept"][1] < 0.75
    assert found["kept"][2] < 0.25
    assert found["spikes"][0] < found["spikes"][1]
    assert found["delay"][1] < 20
    assert float(net.layers[1].context_weight.detach()[0]) == -1.25  # measured on copies
    with pytest.raises(ValueError, match="last layer modulated by the context"):
        sweep(ContextNetwork([31, 10], neuron=MSRC, context=["none"]), digits(), 1, [0.5])


def test_from_training_to_the_figure(tmp_path, capsys):
    snn_neuromod(["fit", "-c", "smoke/neuromodulation", "--trainer.default_root_dir", str(tmp_path),
                  "--pictures.enabled=false"])  # fmt: skip
    run = tmp_path / "smoke/neuromodulation/version_0"
    renamed = tmp_path / "modulation" / "version_0"
    renamed.parent.mkdir()
    run.rename(renamed)
    out = tmp_path / "out"
    arguments = ["--out", str(out), "--digits", "2", "--sequences", "8"]
    main([str(renamed), *arguments])
    (found,) = json.loads((out / "measurements.json").read_text("utf-8")).values()
    assert (found["name"], found["seed"]) == ("modulation", 0)
    assert len(found["keeping"]["kept"]) == 2
    assert len(found["sweep"]["delay"]) == 16
    assert found["example"]["steps"] == 180
    assert "modulation, seed 0: kept" in capsys.readouterr().out
    first = (out / "memory.png").read_bytes()
    (out / "memory.png").unlink()
    main(["--out", str(out)])
    assert (out / "memory.png").read_bytes() == first
    assert (out / "memory.svg").is_file()


@pytest.mark.parametrize("text", ["", "[]", "{", '{"a": {}}', "\xff"])
def test_damaged_measurements_are_named(tmp_path, capsys, text):
    (tmp_path / "measurements.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(SystemExit) as stop:
        main(["--out", str(tmp_path)])
    assert stop.value.code == 2
    assert f"{tmp_path / 'measurements.json'}: must" in capsys.readouterr().err


def test_nothing_to_measure(tmp_path, capsys):
    for arguments, message in (
        ([], "at least one run of neuromodulation/modulation"),
        ([str(tmp_path / "nowhere")], "config.yaml"),
        (["--digits", "1"], "--digits must be at least 2"),
    ):
        with pytest.raises(SystemExit) as stop:
            main([*arguments, "--out", str(tmp_path)])
        assert stop.value.code == 2
        assert message in capsys.readouterr().err
