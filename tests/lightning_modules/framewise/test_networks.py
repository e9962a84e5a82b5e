"""Framewise networks: repeats, delay of the output, two directions."""

from __future__ import annotations

import importlib.util
from functools import partial

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.framewise.networks import FramewiseNetwork
from snn_neuromod import ALIF, Izhikevich, Smoothing
from snn_neuromod.connectivity import Random

Net = partial(FramewiseNetwork, neuron=ALIF, num_classes=4)


def x(frames=20, batch=3, features=6):
    return 3 * torch.randn(frames, batch, features)


def test_repeats_are_steps_and_their_mean_is_the_output():
    net, features = Net([6, 10], n_repeat=3), x()
    outputs, (spikes,) = net(features)
    expected, _ = net.stacks[0](features.repeat_interleave(3, dim=0))
    assert spikes.shape == (60, 3, 10)
    assert torch.equal(spikes, expected)
    assert spikes.any()
    read, _ = net.readout(expected)
    by_hand = torch.stack([read[3 * t : 3 * t + 3].mean(dim=0) for t in range(20)])
    assert torch.allclose(outputs, by_hand, atol=1e-6)


def test_a_readout_at_the_rate_of_frames():
    """Spikes averaged over the steps of a frame, then filtered from frame to frame."""
    net = Net([6, 8], n_repeat=4, readout_rate="frame")
    frames = x(7, 2)
    outputs, (spikes,) = net(frames)
    by_frame = spikes.unflatten(0, (7, 4)).mean(1)
    assert by_frame.any()
    torch.testing.assert_close(outputs, net.readout(by_frame)[0])
    net.readout_rate = "step"
    assert (net(frames).outputs - outputs).abs().max() > 1e-3
    with pytest.raises(ValueError, match="FramewiseNetwork: readout_rate must be step or frame"):
        Net([6, 8], readout_rate="second")


def test_output_delay_reads_later():
    torch.manual_seed(1)
    now = Net([6, 10])
    torch.manual_seed(1)
    late = Net([6, 10], output_delay=2)
    features = x()
    a, b = now(features), late(features)
    assert torch.equal(b.outputs[:-2], a.outputs[2:])
    assert b.outputs.shape == a.outputs.shape
    assert torch.equal(a.spikes[0], b.spikes[0])
    moved = features.clone()
    moved[12] += 5  # what frame 12 brings is known at frame 10, not at 9
    difference = (late(moved).outputs - b.outputs).abs().amax(dim=(1, 2))
    assert (difference[:10] == 0).all()
    assert (difference[10:] > 0).any()


def test_layers_and_directions():
    net = Net([6, 10, 7], bidirectional=True)
    outputs, spikes = net(x(), torch.tensor([20, 20, 9]))
    assert net.layer_names == ["1", "2", "1_backward", "2_backward"]
    assert [s.shape[-1] for s in spikes] == [10, 7, 10, 7] == [n.num_neurons for n in net.neurons]
    assert all(s[:9].any() for s in spikes)
    assert outputs.shape == (20, 3, 4)


@pytest.mark.parametrize("n_repeat", [1, 2])
def test_a_padded_sequence_gives_what_it_gives_alone(n_repeat):
    net, features = (
        Net([6, 10], bidirectional=True, n_repeat=n_repeat),
        x(),
    )  # anything in the padding
    together = net(features, torch.tensor([20, 20, 9])).outputs[:9, 2]
    alone = net(features[:9, 2:]).outputs[:, 0]
    assert torch.allclose(together, alone, atol=1e-6)
    wrong = net(features).outputs[:9, 2]  # reads the padding first
    assert not torch.allclose(wrong, alone, atol=1e-3)


def test_smoothing():
    torch.manual_seed(3)
    plain = Net([6, 10])
    torch.manual_seed(3)
    smooth = Net([6, 10], smoothing=Smoothing(window=3, centred=True))
    features, lengths = x(), torch.tensor([20, 20, 9])
    outputs = plain(features).outputs
    found = smooth(features, lengths).outputs
    assert torch.allclose(found[5, 2], outputs[4:7, 2].mean(dim=0), atol=1e-6)
    assert torch.allclose(found[8, 2], outputs[7:9, 2].mean(dim=0), atol=1e-6)  # not the padding
    assert torch.allclose(found[8, 1], outputs[7:10, 1].mean(dim=0), atol=1e-6)


def test_gains():
    torch.manual_seed(2)
    plain = Net([6, 10])
    torch.manual_seed(2)
    scaled = Net([6, 10], gain=30.0, recurrent_gain=5.0)
    a, b = plain.stacks[0].layers[0], scaled.stacks[0].layers[0]
    assert torch.equal(b.w_in, 30 * a.w_in)
    assert torch.equal(b.w_rec, 5 * a.w_rec)
    fires = FramewiseNetwork([6, 10], neuron=Izhikevich, num_classes=4, gain=30.0)
    assert fires(x()).spikes[0].any()


@pytest.mark.parametrize(
    ("rule", "credit", "expected"),
    [("eprop", None, "broadcast"), ("bptt", None, "spatial"), ("eprop", "spatial", "spatial")],
)
def test_credit(rule, credit, expected):
    net = Net([6, 10, 7], learning_rule=rule, credit=credit)
    assert net.stacks[0].credit == expected
    net.zero_grad()
    # A readout that is blind to the lower layer teaches it through the upper one alone.
    with torch.no_grad():
        net.readout.w_out[:, :10] = 0
    net(x()).outputs.square().sum().backward()
    lower = net.stacks[0].layers[0].w_in.grad.abs().sum()
    assert (lower > 0) == (expected == "spatial")
    assert net.stacks[0].layers[1].w_in.grad.abs().sum() > 0


def test_wiring_and_delays():
    net = Net([6, 10, 8], mask_rec=Random(density=0.2), delay=3, bidirectional=True)
    assert len(net.layers) == 4
    for layer in net.layers:
        assert layer.delay == 3
        assert layer.w_rec.count_nonzero() == layer.mask_rec.sum() < 20
    assert not torch.equal(net.layers[0].mask_rec, net.layers[2].mask_rec)
    single = Net([6, 3], delay=[1, 2, 3]).layers[0]
    assert single.delay.tolist() == [1, 2, 3]


WRONG = [
    (lambda: Net([6]), "sizes must be"),
    (lambda: Net([6, 0]), "sizes must be"),
    (lambda: Net([6, 5], num_classes=0), "num_classes must be an integer >= 1"),
    (lambda: Net([6, 5], n_repeat=0), "n_repeat must be"),
    (lambda: Net([6, 5], gain=float("nan")), "gain must be > 0"),
    (lambda: Net([6, 5], recurrent_gain=0.0), "recurrent_gain must be > 0"),
    (lambda: Net([6, 5], output_delay=-1), "output_delay must be >= 0"),
    (lambda: Net([6, 5], output_delay=1, bidirectional=True), "output_delay must be 0 with"),
    (lambda: Net([6, 5])(torch.randn(9, 2, 7)), "x must have shape"),
    (lambda: Net([6, 5])(torch.randn(0, 2, 6)), "at least one frame"),
]


@pytest.mark.parametrize(("make", "message"), WRONG, ids=[m for _, m in WRONG])
def test_wrong_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
