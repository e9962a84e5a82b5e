"""Deep R: number of synapses, signs, optimiser state, resumption, and what it is good for."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod.connectivity import Random
from snn_neuromod.rewiring import DeepRewiring, rewire

INPUTS, NEURONS = 5, 16


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def make(**options: Any) -> tuple[nm.Recurrent, torch.optim.Adam, DeepRewiring]:
    torch.manual_seed(0)
    net = nm.Recurrent(
        nm.ALIF(NEURONS, v_th=0.6),
        INPUTS,
        learning_rule="eprop",
        mask_in=Random(density=0.4),
        mask_rec=Random(sparsity=0.8),
    )
    optimizer = torch.optim.Adam(net.parameters(), lr=0.05, weight_decay=1e-3)
    return net, optimizer, DeepRewiring(net, optimizer, **options)


def train(net: Any, optimizer: Any, deep: Any, steps: range) -> int:
    """Chase rates that change; returns how many synapses were replaced."""
    moved = 0
    for step in steps:
        x = 1 + torch.randn(20, 3, INPUTS, generator=seeded(step))
        target = torch.rand(NEURONS, generator=seeded(step)) / 2
        optimizer.zero_grad()
        (net(x)[0].mean((0, 1)) - target).square().sum().backward()
        optimizer.step()
        moved += deep.step().moved
    return moved


def test_one_step_of_the_function() -> None:
    """Only weights that have the wrong sign go, as many come, from what was absent and possible, with weight zero."""
    weight = torch.tensor([[0.5, -0.5, 0.0, 0.3], [-0.2, 0.0, 0.0, 0.1]])
    sign = torch.tensor([[1, 1, -1, -1], [-1, 1, 1, 1]])
    mask = weight != 0
    impossible = torch.tensor([[False, True, False, True], [False, False, False, False]])
    changed = rewire(weight, mask, sign, impossible=impossible, generator=seeded())
    assert not weight[0, 1]
    assert not weight[0, 3]
    assert not mask[0, 1]
    assert not mask[0, 3]
    assert weight[0, 0] == 0.5
    assert_close(weight[1], torch.tensor([-0.2, 0.0, 0.0, 0.1]))
    assert int(mask.sum()) == 5
    assert int(changed.sum()) == 4
    assert changed[0, 1]
    assert changed[0, 3]
    before = mask.clone()
    assert not rewire(weight, mask, sign, generator=seeded()).any()
    assert torch.equal(mask, before)


def test_growth_is_uniform() -> None:
    """One of 15 candidates, the one just pruned among them: 3000 draws, five standard deviations."""
    generator, counts = seeded(), torch.zeros(4, 4)
    for _ in range(3000):
        weight, mask = torch.zeros(4, 4), torch.zeros(4, 4, dtype=torch.bool)
        weight[0, 1], mask[0, 1] = -1.0, True
        rewire(weight, mask, torch.ones(4, 4), impossible=torch.eye(4) > 0, generator=generator)
        counts += mask
    assert not counts.diagonal().any()
    p = 1 / 12
    found = counts[~torch.eye(4, dtype=torch.bool)] / 3000
    assert (found - p).abs().max() < 5 * (p * (1 - p) / 3000) ** 0.5


@pytest.mark.parametrize("options", [{}, {"l1": 0.1}, {"temperature": 1e-3}])
def test_count_and_signs_are_kept(options: dict[str, float]) -> None:
    net, optimizer, deep = make(**options)
    masks = {"w_in": net.mask_in, "w_rec": net.mask_rec}
    counts = {name: int(mask.sum()) for name, mask in masks.items()}
    first = {name: mask.clone() for name, mask in masks.items()}
    signs = {name: sign.clone() for name, sign in deep.signs.items()}
    assert set(signs) == {"w_in", "w_rec"}
    assert all((sign.abs() == 1).all() for sign in signs.values())
    moved = 0
    for step in range(30):
        moved += train(net, optimizer, deep, range(step, step + 1))
        for name, mask in masks.items():
            weight = getattr(net, name)
            assert int(mask.sum()) == counts[name]
            assert not weight[~mask].any()
            assert (weight * signs[name] >= 0).all()
            assert torch.equal(signs[name], deep.signs[name])
        assert not net.mask_rec.diagonal().any()
    assert moved > 20
    assert all((mask != first[name]).sum() > 3 for name, mask in masks.items())


def test_what_l1_and_temperature_do() -> None:
    """Formula for weights far from zero; nothing moves where there is no synapse."""
    net, optimizer, _ = make()
    with torch.no_grad():
        net.w_in.add_(3 * net.mask_in)
    before, mask = net.w_in.detach().clone(), net.mask_in.clone()
    DeepRewiring(net, optimizer, l1=2.0).step()
    assert_close(net.w_in, before - 0.05 * 2.0 * mask)


@pytest.mark.parametrize(("lr", "temperature"), [(0.05, 1e-3), (0.05, 4e-3), (0.2, 1e-3)])
def test_the_noise_of_a_step(lr: float, temperature: float) -> None:
    """N(0, 2 lr temperature) where there is a synapse, nothing elsewhere, another draw at every step and weight."""
    torch.manual_seed(0)
    net = nm.Recurrent(nm.ALIF(200), 100, mask_in=Random(density=0.5), mask_rec=Random(density=0.5))
    with torch.no_grad():
        net.w_in.copy_(100.0 * net.mask_in)
        net.w_rec.copy_(100.0 * net.mask_rec)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    deep = DeepRewiring(net, optimizer, temperature=temperature, seed=3)
    found = []
    for _ in range(2):
        for weight, mask in ((net.w_in, net.mask_in), (net.w_rec, net.mask_rec)):
            before = weight.detach().double()
            deep.step()
            step = weight.detach().double() - before
            assert not step[~mask].any()
            noise = step[mask] / math.sqrt(2 * lr * temperature)
            size = len(noise) ** -0.5
            assert abs(noise.mean().item()) < 4 * size
            assert abs(noise.std().item() - 1) < 4 * size
            assert abs((noise**4).mean().item() - 3) < 4 * 96**0.5 * size  # as a normal one has it
            found.append(noise[:4000])
    assert torch.corrcoef(torch.stack(found)).fill_diagonal_(0.0).abs().max() < 0.07


def test_the_optimiser_forgets_what_went_and_what_came() -> None:
    net, optimizer, deep = make()
    train(net, optimizer, deep, range(5))
    while True:
        before = net.mask_rec.clone()
        if train(net, optimizer, deep, range(5, 6)) and not torch.equal(before, net.mask_rec):
            break
    state, changed = optimizer.state[net.w_rec], before != net.mask_rec
    for name in ("exp_avg", "exp_avg_sq"):
        assert not state[name][changed].any()
        assert state[name][before & net.mask_rec].any()
    assert not state["exp_avg"][~net.mask_rec].any()


def test_seeds_and_resumption() -> None:
    """The same seed gives the same run, also when it is taken up from saved states."""
    runs = [make(seed=5, temperature=1e-4) for _ in range(2)]
    for run in runs:
        train(*run, range(20))
    assert torch.equal(runs[0][0].mask_rec, runs[1][0].mask_rec)
    assert torch.equal(runs[0][0].w_rec, runs[1][0].w_rec)

    net, optimizer, deep = make(seed=5, temperature=1e-4)
    train(net, optimizer, deep, range(12))
    saved = copy.deepcopy([part.state_dict() for part in (net, optimizer, deep)])
    resumed = make(seed=99, temperature=1e-4)
    for part, state in zip(resumed, saved, strict=True):
        part.load_state_dict(state)
    train(*resumed, range(12, 20))
    for name, value in runs[0][0].state_dict().items():
        assert torch.equal(value, resumed[0].state_dict()[name]), name

    other = make(seed=6, temperature=1e-4)
    train(*other, range(20))
    assert not torch.equal(other[0].mask_rec, runs[0][0].mask_rec)


def final_loss(seed: int, *, rewired: bool) -> float:
    """Which of 3 inputs among 60 is active, with 60 of 1200 input synapses; mean loss at the end of training."""
    torch.manual_seed(seed)
    net = nm.Recurrent(
        nm.ALIF(20, v_th=0.6),
        60,
        learning_rule="eprop",
        mask_in=Random(density=0.05, seed=seed),
        mask_rec=Random(density=0.2, seed=seed),
    )
    readout = nm.LeakyReadout(20, 3, tau_out=10.0)
    optimizer = torch.optim.Adam([*net.parameters(), *readout.parameters()], lr=0.01)
    deep, generator, losses = DeepRewiring(net, optimizer, l1=0.3), seeded(seed), []
    for _ in range(150):
        labels = torch.randint(0, 3, (16,), generator=generator)
        x = (torch.rand(20, 16, 60, generator=generator) < 0.15).float()
        active = 0.05 + 0.6 * torch.nn.functional.one_hot(labels, 3)
        x[:, :, :3] = (torch.rand(20, 16, 3, generator=generator) < active).float()
        y, _ = readout(net(2 * x)[0])
        loss = torch.nn.functional.cross_entropy(y.mean(0), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if rewired:
            deep.step()
        losses.append(loss.item())
        assert net.mask_in is not None
        assert int(net.mask_in.sum()) == 60
    return sum(losses[-20:]) / 20


def test_rewiring_finds_the_inputs_that_matter() -> None:
    frozen, rewired = (
        sum(final_loss(seed, rewired=flag) for seed in range(3)) for flag in (False, True)
    )
    assert rewired < 0.6 * frozen


def test_signs_are_drawn_whatever_the_default_device_is() -> None:
    net = nm.Recurrent(nm.ALIF(20), 5, mask_rec=Random(sparsity=0.8))
    expected = DeepRewiring(net, seed=1).signs["w_rec"]
    with torch.device("meta"):
        assert torch.equal(DeepRewiring(net, seed=1).signs["w_rec"], expected)


def test_errors() -> None:
    net, optimizer, deep = make()
    with pytest.raises(ValueError, match="DeepRewiring: network must have a Recurrent layer with"):
        DeepRewiring(nm.Recurrent(nm.ALIF(3), 2))
    with pytest.raises(ValueError, match="DeepRewiring: l1 must be >= 0, got -1"):
        DeepRewiring(net, optimizer, l1=-1.0)
    with pytest.raises(ValueError, match="DeepRewiring: temperature must be >= 0, got nan"):
        DeepRewiring(net, optimizer, temperature=float("nan"))
    with pytest.raises(ValueError, match="DeepRewiring: l1 must be 0 without an optimizer"):
        DeepRewiring(net, l1=0.1)
    state = deep.state_dict()
    state["signs"] = {"w_in": torch.ones(2, 2)}
    with pytest.raises(ValueError, match="DeepRewiring: the state must be one of the weights"):
        deep.load_state_dict(state)
