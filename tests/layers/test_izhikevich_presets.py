"""The twenty behaviours: the source's script, written out, spikes as the layer does."""

from __future__ import annotations

import pytest
import torch

import snn_neuromod as nm
from snn_neuromod.layers.izhikevich_presets import PRESETS

OTHERWISE = {
    "bistability", "depolarizing_after_potential", "accommodation", "inhibition_induced_bursting",
}  # fmt: skip


def source(name: str) -> list[float]:
    """Times of spikes as the script of the source steps: recovery reads the new membrane."""
    p = PRESETS[name].values
    a, b, c, d, dt = (p[key] for key in ("a", "b", "c", "d", "dt"))
    linear, constant = p.get("linear", 5.0), p.get("constant", 140.0)
    v = p["v_init"]
    u = p.get("u_init", b * v)
    times = []
    for k, current in enumerate(PRESETS[name].current().tolist()):
        v = v + dt * (0.04 * v**2 + linear * v + constant - u + current)
        u = u + dt * a * (b * (v + 65) if name == "accommodation" else b * v - u)
        if v > 30:
            v, u = c, u + d
            times.append(k * dt)
    return times


def ours(name: str) -> list[float]:
    layer = nm.Izhikevich.preset(name, 1).double()
    spikes, _ = layer(PRESETS[name].current().double()[:, None, None])
    times = spikes[:, 0, 0].nonzero()[:, 0] * layer.dt
    return [float(t) for t in times]


@pytest.mark.parametrize("name", sorted(set(PRESETS) - OTHERWISE))
def test_behaviours_are_the_sources(name: str) -> None:
    expected, found = source(name), ours(name)
    assert expected
    assert abs(found[0] - expected[0]) < 7
    assert abs(len(found) - len(expected)) <= max(1, 0.6 * len(expected))
    assert (len(found) == 1) == (len(expected) == 1)


def test_four_behaviours_hang_on_the_sources_step() -> None:
    """What their documentation says: there they show, here they do not."""
    assert max(source("bistability")) < 216 < max(ours("bistability"))
    assert (
        len(source("depolarizing_after_potential")) == 1 < len(ours("depolarizing_after_potential"))
    )
    assert min(source("accommodation")) > 300 > min(ours("accommodation"))
    assert len(ours("inhibition_induced_bursting")) > 10 * len(
        source("inhibition_induced_bursting")
    )


def test_values_can_be_changed_and_names_must_be_known() -> None:
    layer = nm.Izhikevich.preset("class_1_excitability", 3, dt=0.1, learn=["d"])
    assert (layer.dt, layer.linear, layer.constant) == (0.1, 4.1, 108.0)
    assert layer.learned == ("d",)
    x = (20 * torch.rand(300, 2, 3)).requires_grad_()
    layer(x)[0].sum().backward()
    assert x.grad is not None
    assert x.grad.any()
    with pytest.raises(
        ValueError, match=r"Izhikevich: name must be one of tonic_spiking, .* got 'chattering'"
    ):
        nm.Izhikevich.preset("chattering", 3)
