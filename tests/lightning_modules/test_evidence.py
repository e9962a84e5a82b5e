"""Accumulation of evidence: what the sequences hold, and that a run learns from the steps that count alone."""

from __future__ import annotations

import importlib.util

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)


from lightning_modules.cli_arguments import prepare
from lightning_modules.data import EvidenceAccumulation
from lightning_modules.losses import CrossEntropy
from snn_neuromod.data.cue_sequences import CueSequences
from snn_neuromod.data.spiking_images import NO_LABEL

SHORT = {"cue_steps": 8, "spacing": 4, "delay_steps": 20, "recall_steps": 6, "group": 5}


def test_the_class_is_the_side_with_more_cues():
    data = CueSequences(200, p=1.0, **SHORT)
    classes = []
    for index in range(200):
        spikes, labels = data[1, index]
        assert spikes.shape == (data.total_steps, 20) == (7 * 12 + 26, 20)
        assert spikes.dtype == torch.uint8
        left, right, asks, _ = spikes.unflatten(-1, (4, 5)).unbind(1)
        for group in (left, right, asks):
            assert (group == group[:, :1]).all()  # p = 1: all or none
        assert not (left & right).any()
        assert (
            (left | right)[: 7 * 12, 0].unflatten(0, (7, 12)) == torch.tensor([0] * 4 + [1] * 8)
        ).all()
        assert asks[:, 0].tolist() == [0] * (data.total_steps - 6) + [1] * 6
        assert not (left | right)[7 * 12 :].any()
        side = int(right[:, 0].sum() > left[:, 0].sum())
        assert labels.tolist() == [NO_LABEL] * (data.total_steps - 6) + [side] * 6
        classes.append(side)
    assert 70 < sum(classes) < 130


def test_rates_and_shares_are_the_published_ones():
    data = CueSequences(60)
    spikes = torch.stack([data[index][0] for index in range(60)]).float()
    assert spikes.shape == (60, 2250, 40)
    during = spikes[:, :1050, :20].sum() / (60 * 700 * 10)
    assert during == pytest.approx(0.04, rel=0.05)
    assert spikes[:, -150:, 20:30].mean() == pytest.approx(0.04, rel=0.1)
    assert spikes[:, :, 30:].mean() == pytest.approx(0.01, rel=0.1)
    assert not spikes[:, :-150, 20:30].any()


def test_epochs_differ_and_repeat():
    data = CueSequences(3, seed=4, **SHORT)
    assert torch.equal(data[1, 2][0], CueSequences(3, seed=4, **SHORT)[1, 2][0])
    assert not torch.equal(data[1, 2][0], data[2, 2][0])
    module = EvidenceAccumulation(batch_size=2, num_train=4, num_test=4, **SHORT)
    train, val, test = (module._datasets[split][0][0] for split in ("train", "val", "test"))
    assert not torch.equal(train, val)
    assert not torch.equal(val, test)
    spikes, labels = next(iter(module.train_dataloader()))
    assert spikes.shape == (module.total_steps, 2, module.num_inputs)
    assert labels.shape == (module.total_steps, 2)


@pytest.mark.parametrize(
    ("argument", "value"),
    [("number", 0), ("num_cues", 4), ("cue_steps", 0), ("spacing", -1), ("delay_steps", -1), ("recall_steps", 0),
     ("group", 0), ("p", 0.0), ("p", float("nan")), ("bias", 0.4), ("bias", 1.1)],
)  # fmt: skip
def test_wrong_arguments(argument, value):
    with pytest.raises(ValueError, match=f"CueSequences: {argument} must"):
        CueSequences(**{"number": 1, argument: value})


def test_scores_are_of_the_steps_that_count():
    outputs = torch.randn(9, 2, 3)
    labels = torch.full((9, 2), NO_LABEL)
    labels[4:6, 0], labels[7:, 1] = 1, 2
    mean = CrossEntropy(decision="mean").scores(outputs, labels)
    assert torch.allclose(mean, torch.stack([outputs[4:6, 0].mean(0), outputs[7:, 1].mean(0)]))
    best = CrossEntropy(decision="max").scores(outputs, labels)
    assert torch.equal(best, torch.stack([outputs[4:6, 0].amax(0), outputs[7:, 1].amax(0)]))
    whole = CrossEntropy(decision="mean").scores(outputs, torch.tensor([1, 2]))
    assert torch.equal(whole, outputs.mean(0))


def test_the_control_lacks_nothing_but_adaptation():
    configs = [prepare(["fit", "-c", name]).config for name in ("evidence/alif", "evidence/lif")]
    neurons = [c["model"]["init_args"]["network"]["init_args"]["neuron"] for c in configs]
    assert [neuron["init_args"].pop("beta") for neuron in neurons][1] == 0.0
    assert configs[0] == configs[1]
    (stop,) = configs[0]["trainer"]["callbacks"]
    assert stop["init_args"]["patience"] >= configs[0]["trainer"]["max_epochs"]


@pytest.mark.slow
def test_a_configuration_runs(tmp_path, capsys):
    from lightning_modules.cli import main

    options = [
        f"--data.{name}={value}"
        for name, value in (
            ("num_train", 8),
            ("num_test", 4),
            ("batch_size", 4),
            ("delay_steps", 50),
        )
    ]
    main(
        [
            "fit",
            "-c",
            "evidence/alif",
            *options,
            "--trainer.max_epochs=1",
            "--trainer.default_root_dir",
            str(tmp_path),
        ]
    )
    assert "held-out accuracy" in capsys.readouterr().out
