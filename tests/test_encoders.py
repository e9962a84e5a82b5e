"""Rate and latency codes."""

import math
import time
from functools import partial

import pytest
import torch

from snn_neuromod import encoders
from snn_neuromod.kernels import noise

DIGIT = torch.linspace(0, 1, 784).reshape(28, 28)
MISUSES = [
    ({"x": torch.tensor([1.5])}, "x must lie in"),
    ({"x": torch.tensor([-0.1])}, "x must lie in"),
    ({"x": torch.tensor([math.nan])}, "x must lie in"),
    ({"x": torch.tensor([255], dtype=torch.uint8)}, ".*divide bytes by 255"),
    ({"num_steps": 0}, "num_steps must be at least 1"),
    ({"blank_steps": -1}, "blank_steps must be >= 0"),
    ({"seeds": [1, 2]}, "seeds must hold one integer per sample"),
    ({"seeds": [1], "generator": torch.Generator()}, "seeds must not be given together"),
]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def test_rate_has_the_probability_of_each_pixel():
    x = torch.linspace(0, 1, 11)
    spikes = encoders.rate(x, 40_000, p_max=0.25, generator=seeded())
    p = 0.25 * x
    standard_error = (p * (1 - p) / 40_000).sqrt()
    assert ((spikes.mean(dim=0) - p).abs() <= 4 * standard_error).all()
    assert spikes[:, 0].sum() == 0
    assert set(spikes.unique().tolist()) == {0.0, 1.0}


def test_rate_steps_and_pixels_are_independent():
    spikes = encoders.rate(torch.ones(8), 20_000, p_max=0.5, generator=seeded())
    centred = spikes - 0.5
    lag_one = (centred[1:] * centred[:-1]).mean(dim=0) / 0.25
    between = (centred.T @ centred / len(centred) / 0.25).fill_diagonal_(0)
    assert lag_one.abs().max() < 4 / math.sqrt(20_000)
    assert between.abs().max() < 4.5 / math.sqrt(20_000)


@pytest.mark.parametrize("p_max", [0.0, 1.0])
def test_rate_certain_pixels(p_max):
    spikes = encoders.rate(torch.ones(50), 1000, p_max=p_max, generator=seeded())
    assert (spikes == p_max).all()


def test_rate_blank_prefix_comes_first_and_leaves_the_code_unchanged():
    plain = encoders.rate(DIGIT, 30, generator=seeded())
    blank = encoders.rate(DIGIT, 30, blank_steps=20, generator=seeded())
    assert blank.shape == (50, 28, 28)
    assert blank[:20].sum() == 0
    assert plain.sum() > 0
    assert torch.equal(blank[20:], plain)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool, torch.float64])
def test_dtype_of_the_result(dtype):
    for encode in (encoders.rate, encoders.latency):
        spikes = encode(DIGIT, 9, generator=seeded(), dtype=dtype)
        assert spikes.dtype == dtype
        assert torch.equal(spikes.float(), encode(DIGIT, 9, generator=seeded()))


def test_default_dtype_is_that_of_x():
    for encode in (encoders.rate, encoders.latency):
        assert encode(DIGIT.double(), 5).dtype == torch.float64
        assert encode(DIGIT.half(), 5).dtype == torch.float16


def test_rate_seeds_code_each_sample_as_if_alone():
    x = torch.stack([DIGIT, 1 - DIGIT, torch.zeros(28, 28), DIGIT**2])
    together = encoders.rate(x, 12, seeds=[5, 6, 7, 5])
    for b, seed in enumerate([5, 6, 7, 5]):
        assert torch.equal(together[:, b], encoders.rate(x[b][None], 12, seeds=[seed])[:, 0])
    assert together.sum() > 0
    assert torch.equal(together[:, [3, 0]], encoders.rate(x[[3, 0]], 12, seeds=[5, 5]))


def test_rate_follows_its_generator_and_the_global_seed():
    def run(generator=None):
        return encoders.rate(DIGIT, 20, generator=generator)

    assert torch.equal(run(seeded(1)), run(seeded(1)))
    assert not torch.equal(run(seeded(1)), run(seeded(2)))
    torch.manual_seed(3)
    first = run()
    torch.manual_seed(3)
    assert torch.equal(first, run())


def test_latency_linear_closed_form():
    x = torch.tensor([1.0, 0.9, 0.5, 0.3, 0.25, 0.2, 0.0], dtype=torch.float64)
    spikes = encoders.latency(x, 100, mapping="linear", threshold=0.2)
    # 100 (1 - x) / 0.8
    assert spikes.argmax(dim=0).tolist() == [0, 12, 62, 87, 93, 0, 0]
    assert spikes.sum(dim=0).tolist() == [1, 1, 1, 1, 1, 0, 0]


def test_latency_log_is_the_threshold_crossing_of_a_charging_integrator():
    x = torch.linspace(0, 1, 301, dtype=torch.float64)
    tau, theta, num_steps = 20.0, 0.2, 100
    spikes = encoders.latency(x, num_steps, tau=tau, threshold=theta)
    # Last step whose start the potential has not yet passed: simulated, not inverted.
    start = torch.arange(num_steps + 1, dtype=torch.float64)[:, None]
    charged = x * (1 - torch.exp(-start / tau)) >= theta
    expected = (charged[1:] & ~charged[:-1]).double()
    assert torch.equal(spikes, expected)
    assert 0 < spikes.sum() < len(x) * (1 - theta)  # pixels just above theta come too late


def test_latency_default_tau_is_a_fifth_of_the_window():
    assert torch.equal(encoders.latency(DIGIT, 60), encoders.latency(DIGIT, 60, tau=12.0))
    assert not torch.equal(encoders.latency(DIGIT, 60), encoders.latency(DIGIT, 60, tau=11.0))


@pytest.mark.parametrize("mapping", ["log", "linear"])
def test_latency_brighter_is_earlier_and_once(mapping):
    x = torch.linspace(0.21, 1, 200)
    spikes = encoders.latency(x, 500, mapping=mapping, tau=50.0)
    assert (spikes.sum(dim=0) == 1).all()
    step = spikes.argmax(dim=0)
    assert (step.diff() <= 0).all()
    assert step[0] > step[-1]


def test_latency_blank_prefix():
    plain = encoders.latency(DIGIT, 30)
    blank = encoders.latency(DIGIT, 30, blank_steps=7)
    assert blank[:7].sum() == 0
    assert plain.sum() > 0
    assert torch.equal(blank[7:], plain)


def test_latency_jitter_has_its_standard_deviation_and_stays_inside():
    x = torch.full((20_000,), 0.5)
    kwargs = {"mapping": "linear", "threshold": 0.0}
    step = encoders.latency(x, 200, jitter=4.0, generator=seeded(), **kwargs).argmax(dim=0)
    # floor shifts the mean by half a step
    assert abs(step.double().mean() + 0.5 - 100) < 4 * 4 / math.sqrt(20_000) + 0.01
    assert abs(step.double().std() - math.sqrt(16 + 1 / 12)) < 0.1
    for value in (1.0, 0.01):
        edge = torch.full((1000,), value)
        spikes = encoders.latency(edge, 20, jitter=5.0, generator=seeded(), **kwargs)
        assert (spikes.sum(dim=0) == 1).all()


def test_latency_uses_its_generator_only_for_jitter():
    quiet, used = seeded(1), seeded(1)
    assert torch.equal(encoders.latency(DIGIT, 50, generator=quiet), encoders.latency(DIGIT, 50))
    assert torch.equal(quiet.get_state(), seeded(1).get_state())
    noisy = encoders.latency(DIGIT, 50, jitter=2.0, generator=used)
    assert torch.equal(noisy, encoders.latency(DIGIT, 50, jitter=2.0, generator=seeded(1)))
    assert not torch.equal(noisy, encoders.latency(DIGIT, 50, jitter=2.0, generator=seeded(2)))


def test_latency_seeds_code_each_sample_as_if_alone():
    x = torch.stack([DIGIT, 1 - DIGIT, DIGIT**2])
    together = encoders.latency(x, 40, jitter=3.0, seeds=[8, 9, 8])
    for b, seed in enumerate([8, 9, 8]):
        alone = encoders.latency(x[b][None], 40, jitter=3.0, seeds=[seed])
        assert torch.equal(together[:, b], alone[:, 0])
    again = encoders.latency(x[[0, 0]], 40, jitter=3.0, seeds=[8, 9])
    assert not torch.equal(again[:, 0], again[:, 1])


@pytest.mark.parametrize("encode", [encoders.rate, partial(encoders.latency, jitter=3.0)])
def test_seeds_may_be_a_tensor(encode):
    x, seeds = DIGIT.expand(3, 28, 28), [5, 2**40 + 1, -3]
    spikes = encode(x, 20, seeds=seeds)
    assert torch.equal(encode(x, 20, seeds=torch.tensor(seeds)), spikes)
    assert not torch.equal(encode(x, 20, seeds=torch.tensor([5, 1, -3])), spikes)
    for wrong in (torch.tensor([1.0, 2.0, 3.0]), torch.tensor(1), torch.ones(3, 1).long()):
        with pytest.raises(ValueError, match="seeds must hold one integer per sample"):
            encode(x, 20, seeds=wrong)


def test_what_a_graph_would_repeat_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", lambda: True)
    with pytest.raises(RuntimeError, match="on the device while a CUDA graph is captured"):
        noise.sent(torch.tensor([1]), torch.device("cuda"))


@pytest.mark.parametrize("encode", [encoders.rate, encoders.latency])
@pytest.mark.parametrize(("changed", "message"), MISUSES)
def test_misuse(encode, changed, message):
    arguments = {"x": torch.tensor([0.5]), "num_steps": 5} | changed
    with pytest.raises(ValueError, match=f"{encode.__name__}: {message}"):
        encode(**arguments)


@pytest.mark.parametrize("p_max", [-0.1, 1.1, math.nan])
def test_rate_p_max_is_a_probability(p_max):
    with pytest.raises(ValueError, match="p_max must be a probability"):
        encoders.rate(DIGIT, 5, p_max=p_max)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mapping": "exp"},
        {"threshold": 0.0},
        {"threshold": 1.0},
        {"threshold": math.nan},
        {"tau": 0.0},
        {"tau": math.nan},
        {"jitter": -1.0},
        {"jitter": math.nan},
    ],
)
def test_latency_options_out_of_range(wrong):
    with pytest.raises(ValueError, match=f"latency: {next(iter(wrong))} must"):
        encoders.latency(DIGIT, 5, **wrong)


@pytest.mark.parametrize("encode", [encoders.rate, encoders.latency])
def test_empty_input(encode):
    assert encode(torch.zeros(0, 4), 5, blank_steps=2).shape == (7, 0, 4)
    assert encode(torch.zeros(0, 4), 5, seeds=[]).shape == (5, 0, 4)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("encode", [encoders.rate, encoders.latency])
def test_on_the_device_of_x(encode):
    x = DIGIT.cuda().expand(3, 28, 28)
    spikes = encode(x, 400, generator=torch.Generator("cuda").manual_seed(0))
    assert spikes.device == x.device
    assert spikes.sum() > 0
    seeded_spikes = encode(x, 400, seeds=[1, 2, 1])
    assert torch.equal(seeded_spikes[:, 0], seeded_spikes[:, 2])
    if encode is encoders.rate:
        p = 0.25 * DIGIT
        standard_error = (p * (1 - p) / 1200).sqrt()
        assert ((spikes.mean(dim=(0, 1)).cpu() - p).abs() <= 5 * standard_error).all()
    else:
        assert torch.equal(spikes.cpu(), encode(x.cpu(), 400))


def test_no_pixels_take_no_time_however_many_the_steps() -> None:
    started = time.process_time()
    assert encoders.rate(torch.zeros(0, 1), 2**31 - 1).shape == (2**31 - 1, 0, 1)
    assert encoders.rate(torch.zeros(3, 0), 7, blank_steps=2).shape == (9, 3, 0)
    assert time.process_time() - started < 2
