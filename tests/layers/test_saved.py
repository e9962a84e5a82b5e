"""Copies, pickles, state_dicts and random starts, for all layers."""

from __future__ import annotations

import copy
import io
import pickle

import pytest
import torch
from torch import Tensor

import snn_neuromod as nm
from snn_neuromod.layers import Uniform
from tests.layers.cases import (
    LayerCase,
    every_class,
    every_layer,
)

pytestmark = pytest.mark.usefixtures("device")


@every_layer
def test_copies_and_pickles_are_the_same_layer(case: LayerCase) -> None:
    layer, current = case.make(), case.current()
    buffer = io.BytesIO()
    torch.save(layer, buffer)
    buffer.seek(0)
    expected = layer(current)[0]
    copies = [
        copy.deepcopy(layer),
        pickle.loads(pickle.dumps(layer)),
        torch.load(buffer, weights_only=False),
    ]
    for other in copies:
        assert torch.equal(other(current)[0], expected)
        assert repr(other) == repr(layer)
        assert other.state_dict().keys() == layer.state_dict().keys()


@every_class
def test_state_dict_round_trip(case: LayerCase) -> None:
    """Fixed values, learned values and random starts are saved."""
    torch.manual_seed(1)
    source = case.make(learn=case.learnable[:1])
    with torch.no_grad():
        getattr(source, case.learnable[0]).mul_(0.3)
    target = case.make(learn=case.learnable[:1])
    current = case.current(100)
    assert not torch.equal(source(current)[0], target(current)[0])
    target.load_state_dict(source.state_dict())
    assert torch.equal(source(current)[0], target(current)[0])


@every_class
def test_what_is_printed(case: LayerCase) -> None:
    text = repr(case.make(learn=case.learnable[:1]))
    assert text.startswith(f"{case.layer.__name__}(3, ")
    assert f"learn=('{case.learnable[0]}',)" in text
    for name in case.learnable[1:]:
        assert f"{name}=" in text


@every_class
def test_seeds(case: LayerCase) -> None:
    """Random values come from PyTorch's global generator."""

    def make(seed: int) -> Tensor:
        torch.manual_seed(seed)
        layer = case.make(8, **{case.learnable[0]: Uniform(0.3, 0.6)})
        return layer(case.current().repeat(1, 1, 3)[..., :8])[0]

    assert torch.equal(make(5), make(5))
    assert not torch.equal(make(5), make(6))


@every_class
def test_only_tensors_that_belong_to_it_are_saved(case: LayerCase) -> None:
    layer = case.make(learn=case.learnable[:1])
    extra = {"start"} if isinstance(layer, nm.SRC | nm.MSRC | nm.BSRC) else set()
    assert set(layer.state_dict()) == {*case.learnable, *extra}
