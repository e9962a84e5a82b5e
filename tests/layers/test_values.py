"""Values of parameters, given and learned, for all layers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

import snn_neuromod as nm
from snn_neuromod.layers import Normal, Uniform
from tests.layers.cases import (
    NEURONS,
    LayerCase,
    assert_live,
    every_class,
    every_parameter,
    without_detached_gates,
)

pytestmark = pytest.mark.usefixtures("device")


@every_parameter
def test_values(case: LayerCase, name: str) -> None:
    """A number, one per neuron as a list or tensor, a shared tensor, a distribution."""
    default = getattr(case.make(), name)
    number = float(default) * 0.95 if default.ndim == 0 else float(default[0])
    scalar = case.make(**{name: number}, learn=())
    assert getattr(scalar, name).shape == ()
    assert scalar.value(name).item() == pytest.approx(number)
    for value in ([number] * NEURONS, torch.full((NEURONS,), number)):
        layer = case.make(**{name: value})
        assert getattr(layer, name).shape == (NEURONS,)
        if scalar_start(layer) is None:
            assert torch.equal(layer(case.current())[0], scalar(case.current())[0])
    torch.manual_seed(3)
    width = 0.02 * abs(number) + 1e-3
    low = max(number - width, 1e-4) if number >= 0 else number - width
    drawn = getattr(case.make(**{name: Uniform(low, number + width)}), name)
    assert len(drawn.unique()) == NEURONS
    assert ((drawn >= low) & (drawn <= number + width)).all()


def scalar_start(layer: Any) -> Tensor | None:
    """The random start of SRC, which differs from layer to layer."""
    return layer.start if isinstance(layer, nm.SRC) else None


@every_parameter
def test_learning_on_request(case: LayerCase, name: str) -> None:
    """A gradient reaches every neuron's own value; nothing else is learned."""
    layer = case.make(learn=[name], **without_detached_gates(case, name))
    assert [n for n, _ in layer.named_parameters()] == [name]
    assert layer.learned == (name,)
    parameter = getattr(layer, name)
    assert parameter.shape == (NEURONS,)
    spikes, _ = layer(case.current())
    assert_live(spikes)
    (grad,) = torch.autograd.grad((torch.randn_like(spikes) * spikes).sum(), parameter)
    assert (grad.abs() > 1e-6).all()
    assert not list(case.make().parameters())
    assert getattr(case.make(learn=name, **without_detached_gates(case, name)), name).requires_grad


@every_parameter
def test_a_shared_value_is_learned_as_one(case: LayerCase, name: str) -> None:
    number = getattr(case.make(), name).flatten()[0].clone()
    options = without_detached_gates(case, name)
    layer = case.make(**{name: number}, learn=[name], **options)
    assert getattr(layer, name).shape == ()
    separate = case.make(learn=[name], **{name: float(number)}, **options)
    if scalar_start(layer) is not None:
        separate.load_state_dict({"start": layer.start}, strict=False)
    weights = torch.randn_like(case.current())
    grads = [
        torch.autograd.grad((weights * one(case.current())[0]).sum(), getattr(one, name))[0]
        for one in (layer, separate)
    ]
    assert grads[0].abs() > 1e-6
    assert_close(grads[0], grads[1].sum(), rtol=1e-4, atol=1e-5)


@every_parameter
def test_learned_values_stay_in_their_range_and_can_come_back(case: LayerCase, name: str) -> None:
    """A step far outside is projected; the gradient then leads back, and is blocked only further outside."""
    layer = case.make(learn=[name], **without_detached_gates(case, name))
    allowed = layer._ranges[name]
    parameter = getattr(layer, name)
    before = parameter.detach().clone()
    for direction in (1.0, -1.0):
        optimiser = torch.optim.SGD([parameter], lr=50.0)
        (direction * layer.value(name)).sum().backward()
        optimiser.step()
        assert not torch.equal(parameter, before)
        kept = layer.value(name).detach().clone()
        if not allowed.phrase:
            assert torch.equal(kept, parameter)
        else:
            assert allowed.holds(kept).all()
            spikes, state = layer(case.current())
            if isinstance(layer, nm.Izhikevich) and name == "a" and direction < 0:
                # A recovery of tens a step explodes: states and spikes both say so.
                assert not any(s.isfinite().any() for s in (*state, spikes[-1]))
            else:
                assert spikes.isfinite().all()
        outside = parameter.detach().clone()
        optimiser.zero_grad()
        (direction * layer.value(name)).sum().backward()  # further the same way: blocked at the end
        optimiser.step()
        if not torch.equal(kept, outside):
            assert torch.equal(parameter, outside)
        for _ in range(3):
            optimiser.zero_grad()
            (-direction * layer.value(name)).sum().backward()
            optimiser.step()
        assert (direction * (parameter - outside) > 0).all()
        with torch.no_grad():
            parameter.copy_(before)
        parameter.grad = None


@every_parameter
def test_nan_and_wrong_shapes_are_rejected(case: LayerCase, name: str) -> None:
    nan, number = float("nan"), getattr(case.make(), name).flatten()[0]
    for value in (nan, [1.0, nan, 1.0]):
        with pytest.raises(
            ValueError, match=rf"^{case.layer.__name__}: {name} must .*, got (nan|1)"
        ):
            case.make(**{name: value})
    for shape in ((NEURONS + 1,), (1,), (NEURONS, 1), (1, NEURONS)):
        with pytest.raises(
            ValueError, match=rf"{name} must be a number or have shape \(3,\), got \("
        ):
            case.make(**{name: number.expand(shape).clone()})


@every_class
def test_values_of_a_layer_without_a_number_of_neurons(case: LayerCase) -> None:
    for value in (Normal(0.5, 0.1), torch.ones(3)):
        with pytest.raises(ValueError, match=f"{case.learnable[0]} must be a number"):
            case.make(None, **{case.learnable[0]: value})
