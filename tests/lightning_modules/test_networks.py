"""Networks, readouts, losses and spike counts."""

from __future__ import annotations

import importlib.util
from functools import partial

import pytest
import torch

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from lightning_modules.losses import CrossEntropy, FiringRate, spike_counts
from lightning_modules.networks import (
    FeedForward,
    SpikeSum,
    SpikingLinear,
    is_graded,
)
from lightning_modules.precision import read_exactly
from snn_neuromod import (
    ALIF,
    BSRC,
    MSRC,
    SRC,
    STDPALIF,
    Izhikevich,
    LeakyReadout,
    PopulationReadout,
)

NEURONS = [SRC, MSRC, BSRC, ALIF, STDPALIF, partial(Izhikevich, dt=0.5)]


def spikes(steps=40, batch=3, inputs=20, p=0.3):
    return (torch.rand(steps, batch, inputs) < p).to(torch.uint8)


def network(neuron=MSRC, sizes=(20, 15, 10), **options):
    return FeedForward(list(sizes), **({"neuron": neuron, "gain": 3.0} | options))


@pytest.mark.parametrize("neuron", NEURONS)
@pytest.mark.parametrize("recurrent", [False, True])
def test_any_neuron_learns_in_the_same_network(neuron, recurrent):
    large = {"gain": 1.0, "input_gain": 40.0} if isinstance(neuron, partial) else {}
    net = network(neuron, recurrent=recurrent, **large).double()
    outputs, layers = net(spikes())
    assert outputs.shape == (40, 3, 10)
    assert [tuple(s.shape) for s in layers] == [(40, 3, 15), (40, 3, 10)]
    assert all(s.sum() > 0 for s in layers)
    outputs[-1].square().sum().backward()
    for layer in net.layers:
        for weight in layer.parameters(recurse=False):
            assert weight.grad is not None
            assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize(
    "make", [LeakyReadout, partial(LeakyReadout, feedback="random"), PopulationReadout]
)
def test_a_readout_of_low_precision_still_sums_in_float32(make, dtype):
    low = make(20, 10).to(dtype)
    exact = make(20, 10)
    exact.load_state_dict({name: value.float() for name, value in low.state_dict().items()})
    given = spikes().to(dtype).requires_grad_()
    found = read_exactly(low, given)
    expected, _ = exact(given.detach().float())
    assert found.dtype == torch.float32
    assert torch.equal(found, expected)
    found.sum().backward()
    assert given.grad.abs().sum() > 0
    for name, value in low.named_parameters():
        assert value.dtype == dtype
        assert value.grad is not None or "feedback" in name


def test_outputs_are_sums_of_the_last_layers_spikes():
    outputs, layers = network()(spikes())
    assert torch.allclose(outputs, layers[-1].cumsum(dim=0))
    leaky = network(readout=partial(SpikeSum, decay=0.5), output_neuron=SRC)
    outputs, layers = leaky(spikes(steps=100))
    assert layers[-1].sum() > 0
    by_hand = torch.zeros(3, 10)
    for s, y in zip(layers[-1], outputs, strict=True):
        by_hand = 0.5 * by_hand + s
        assert torch.allclose(y, by_hand, atol=1e-6)


@pytest.mark.parametrize("readout", [PopulationReadout, LeakyReadout])
def test_readouts_of_more_neurons_than_classes(readout):
    outputs, _ = network(sizes=(20, 40), readout=readout)(spikes())
    assert outputs.shape == (40, 3, 10)
    assert outputs[-1].std() > 0


def test_the_output_layer_may_have_other_neurons_and_layers_their_own_recurrence():
    net = network(MSRC, output_neuron=ALIF, recurrent=[True, False], learning_rule="eprop")
    assert [type(n) for n in net.neurons] == [MSRC, ALIF]
    assert [hasattr(layer, "w_rec") for layer in net.layers] == [True, False]
    assert net.layers[0].learning_rule == "eprop"
    assert [is_graded(n) for n in net.neurons] == [True, False]


def test_initialisation():
    net = network(sizes=(400, 300, 10), gain=2.0)
    bound = 2.0 * (6 / 700) ** 0.5
    weight = net.layers[0].weight
    assert 0.98 * bound < weight.abs().max() <= bound
    assert abs(weight.std() / (bound / 3**0.5) - 1) < 0.02
    other = network(sizes=(400, 300, 10), init="kaiming_normal", gain=1.0)
    assert abs(other.layers[0].weight.std() / (2 / 400) ** 0.5 - 1) < 0.02
    looped = network(recurrent=True)
    assert looped.layers[0].w_rec.diagonal().abs().sum() == 0


def test_input_gain_multiplies_the_current_but_not_the_bias():
    seen = []

    class Spy(ALIF):
        def forward(self, current, state=None):
            seen.append(current.detach())
            return super().forward(current, state)

    layer = SpikingLinear(Spy(4), 3, bias=True, input_gain=5.0)
    torch.nn.init.normal_(layer.weight)
    torch.nn.init.ones_(layer.bias)
    x = torch.rand(2, 1, 3)
    layer(x)
    assert torch.allclose(seen[0], 5 * x @ layer.weight.T + 1)


def test_dtypes():
    net, x = network().double(), spikes()
    outputs = net(x).outputs
    assert outputs.dtype == torch.float64
    torch.testing.assert_close(outputs, net(x.double()).outputs, rtol=1e-12, atol=1e-12)
    half = network().bfloat16()
    outputs, layers = half(x)
    assert (outputs.dtype, layers[0].dtype) == (torch.float32, torch.bfloat16)


@pytest.mark.parametrize("recurrent", [False, True])
def test_membranes_belong_to_the_spikes(recurrent):
    net, x = network(recurrent=recurrent).double(), spikes()
    _, layers = net(x)
    for membrane, spiked in zip(net.membranes(x), layers, strict=True):
        assert membrane.min() < 0
        assert torch.allclose(membrane.relu(), spiked, atol=1e-6)
    assert network(ALIF).membranes(x)[0].shape == (40, 3, 15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"sizes": [20]}, "sizes must"),
        ({"sizes": [20, 0, 10]}, "sizes must"),
        ({"init": "zeros"}, "init must"),
        ({"gain": float("nan")}, "gain must"),
        ({"input_gain": 0.0}, "input_gain must"),
        ({"recurrent": [True]}, "recurrent must"),
        ({"recurrent": True, "bias": True}, "bias must"),
        ({"sizes": [20, 40]}, "SpikeSum: in_features must equal"),
        ({"readout": partial(SpikeSum, decay=0.0)}, "decay must"),
    ],
)
def test_wrong_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)


def test_wrong_shape():
    with pytest.raises(ValueError, match=r"x must have shape \(T, batch, 20\), got \(40, 3, 19\)"):
        network()(spikes(inputs=19))


def test_scores_by_decision():
    outputs = torch.tensor([[[0.0, 4.0]], [[6.0, 0.0]], [[0.0, 5.0]]])
    assert CrossEntropy("last").scores(outputs).tolist() == [[0.0, 5.0]]
    assert CrossEntropy("mean").scores(outputs).tolist() == [[2.0, 3.0]]
    assert CrossEntropy("max").scores(outputs).tolist() == [[6.0, 5.0]]


def test_cross_entropy():
    outputs, labels = torch.randn(7, 5, 10), torch.arange(5)
    expected = torch.nn.functional.cross_entropy(0.3 * outputs[-1], labels, label_smoothing=0.1)
    assert torch.equal(CrossEntropy(scale=0.3, label_smoothing=0.1)(outputs, labels), expected)
    each = torch.stack([CrossEntropy()(y[None], labels) for y in outputs]).mean()
    assert torch.allclose(CrossEntropy(every_step=True)(outputs, labels), each)
    assert not torch.allclose(CrossEntropy()(outputs, labels), each)


def test_firing_rate_penalty_pulls_towards_the_target():
    layers = [torch.full((4, 2, 3), 0.5), torch.full((4, 2, 1), 0.1)]
    assert torch.allclose(FiringRate(2.0, 0.1)(layers), torch.tensor(2.0 * 0.16 / 2))


@pytest.mark.parametrize(
    "make",
    [
        lambda: CrossEntropy("median"),
        lambda: CrossEntropy(scale=0.0),
        lambda: CrossEntropy(scale=float("nan")),
        lambda: CrossEntropy(label_smoothing=1.0),
        lambda: FiringRate(-1.0),
        lambda: FiringRate(1.0, float("nan")),
    ],
)
def test_wrong_losses(make):
    with pytest.raises(ValueError, match=r"must"):
        make()


def test_spike_counts():
    wave = torch.tensor([0.7, 0.2, 0.6, 0.9, 0.5, 0.51, 0.0])[:, None]
    assert spike_counts(wave, graded=True).tolist() == [3.0]
    binary = torch.tensor([1.0, 1.0, 0.0, 1.0])[:, None, None]
    assert spike_counts(binary, graded=False).tolist() == [[3.0]]
