"""Calls that all layers refuse, and in what words."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

import pytest
import torch

from tests.layers.cases import (
    LayerCase,
    every_class,
)

pytestmark = pytest.mark.usefixtures("device")


@every_class
def test_unknown_names(case: LayerCase) -> None:
    who = case.layer.__name__
    with pytest.raises(ValueError, match=f"{who}: learn must name parameters among .*, got tau_x"):
        case.make(learn=[case.learnable[0], "tau_x"])
    with pytest.raises(TypeError, match="tau_x"):
        case.make(tau_x=1.0)


@every_class
def test_wrong_numbers_of_neurons(case: LayerCase) -> None:
    number: Any
    for number in (0, -1, 2.5, True, float("nan")):
        with pytest.raises(ValueError, match=r"num_neurons must be an integer >= 1, got"):
            case.make(number)


@every_class
def test_wrong_shapes(case: LayerCase) -> None:
    pattern = (
        rf"{case.layer.__name__}: current must have shape \(T, batch, 3\) with at least one step"
    )
    for shape in ((3,), (0, 2, 3), (5, 2, 4), (), (5, 3, 2)):
        with pytest.raises(ValueError, match=pattern):
            case.make()(torch.zeros(shape))


@every_class
def test_wrong_shape_of_a_step(case: LayerCase) -> None:
    with pytest.raises(ValueError, match=r"current must have shape \(batch, 3\).*got \(2, 4\)"):
        case.make().step(torch.zeros(2, 4))


@every_class
@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.uint8])
def test_integers_are_no_current(case: LayerCase, dtype: torch.dtype) -> None:
    for call in (case.make(), case.make().step):
        with pytest.raises(TypeError, match=r"must be a floating-point tensor, got .*\.float\(\)"):
            call(torch.zeros(4, 2, 3, dtype=dtype))


@every_class
def test_a_state_that_does_not_fit(case: LayerCase) -> None:
    layer = case.make()
    _, state = layer(case.current())
    one, who = state[0], case.layer.__name__
    for wrong in (one[:1], one.double(), one[..., :1]):
        broken = state._replace(**{state._fields[0]: wrong})
        for call, current in ((layer, case.current()), (layer.step, case.current()[0])):
            with pytest.raises(
                ValueError, match=f"{who}: state {state._fields[0]} must have shape"
            ):
                call(current, broken)
    with pytest.raises(ValueError, match=f"{who}: state must hold {state._fields[0]}.*, got"):
        layer(case.current(), (one,) * 7)
    expected = layer(case.current(), state)[0]
    assert torch.equal(layer(case.current(), tuple(state))[0], expected)
    fields = state._asdict()
    turned = namedtuple("Turned", reversed(fields))(**fields)  # fields say what they are
    assert torch.equal(layer(case.current(), turned)[0], expected)
    others = namedtuple("Others", [f"{name}_other" for name in fields])(*state)
    with pytest.raises(ValueError, match=rf"{who}: state must hold .* got .*_other, as of another"):
        layer(case.current(), others)
