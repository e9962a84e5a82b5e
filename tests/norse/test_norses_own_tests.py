"""The tests that Norse ships for its LIF, LSNN and Izhikevich neurons, run on ours put in their place."""

from __future__ import annotations

import functools
import inspect
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

pytest.importorskip("norse")

from snn_neuromod import norse as ours  # isort: skip
import norse.torch.functional as norse_functional
from norse.torch.module.test import test_izhikevich, test_lif, test_lift, test_lsnn


def stand_in(cls: Any, keywords: dict[str, Any]) -> Any:
    """A class that takes Norse's parameters and states and hands ours on.

    Its states also go by the names by which Norse's tests look at theirs: v, i, z. A neuron without a synapse has its
    current in the membrane of the first step, if there is no reset.
    """
    sizes = (2, 4) if "Recurrent" in cls.__name__ else ()
    own = type(cls(*sizes).initial_state(torch.zeros(3, 5, 2)))
    view = namedtuple("View", [*own._fields, *sorted({"v", "i", "z"} - set(own._fields))])

    class StandIn(cls):
        def __init__(self, *sizes: Any, p: Any = None, **options: Any) -> None:
            sizes = tuple(size for size in sizes if isinstance(size, int))
            super().__init__(*sizes, **keywords, **options)

        def forward(self, input_tensor: Tensor, state: Any = None) -> tuple[Tensor, Any]:
            if isinstance(state, view):
                state = own(*state[: len(own._fields)])
            elif state is not None:  # written down by hand with Norse's names
                rest = self.initial_state(input_tensor)
                state = rest._replace(z=state.z, **({"v": state.v} if "v" in own._fields else {}))
            spikes, state = super().forward(input_tensor, state)
            v = state.h if "h" in own._fields else state.v
            names = {"v": v, "i": v, "z": v} | state._asdict()
            return spikes, view(**names)

    return StandIn


FUNCTIONS: list[Callable[[], None]] = [
    function
    for name, function in inspect.getmembers(test_lif, inspect.isfunction)
    if name.startswith("test_")
]
NEURONS: dict[str, dict[str, Any]] = {
    "ALIF": {"reset": "none"},
    "STDPALIF": {},
    "SRC": {"start": -0.4},
    "MSRC": {},
    "BSRC": {},
}
CASES = [
    (name, function)
    for name in NEURONS
    for function in FUNCTIONS
    if name in ("ALIF", "BSRC") or "compile" not in function.__name__
]
"""Graphs of all are compiled in tests/test_shared_contract.py."""


def test_norse_ships_them() -> None:
    assert len(FUNCTIONS) >= 18


@pytest.mark.filterwarnings(
    "ignore:.*should not be instantiated:DeprecationWarning"
)  # PyTorch's own
@pytest.mark.parametrize(("name", "function"), CASES, ids=lambda v: getattr(v, "__name__", v))
def test_lif_tests_on_ours(
    name: str, function: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for suffix in ("", "Cell", "Recurrent", "RecurrentCell"):
        theirs = stand_in(getattr(ours, name + suffix), NEURONS[name])
        assert hasattr(test_lif, "LIF" + suffix)
        monkeypatch.setattr(test_lif, "LIF" + suffix, theirs)
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))
    function()


@pytest.mark.parametrize(
    "function",
    [
        test_lift.test_lift_sequential,
        test_lift.test_lift_stateful,
        test_lift.test_lift_sequential_stateful,
    ],
    ids=lambda f: f.__name__,
)
@pytest.mark.parametrize("name", NEURONS)
def test_lift_tests_on_ours(
    name: str, function: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    cell = getattr(ours, name + "Cell")
    monkeypatch.setattr(test_lift, "LIF", getattr(ours, name))
    monkeypatch.setattr(test_lift, "LIFCell", cell)
    monkeypatch.setattr(
        test_lift, "LIFFeedForwardState", type(cell().initial_state(torch.zeros(2, 2)))
    )
    function()


def shipped(module: Any, *left_out: str) -> list[Callable[..., None]]:
    found = inspect.getmembers(module, inspect.isfunction)
    return [f for name, f in found if name.startswith("test_") and name not in left_out]


IZHIKEVICH = shipped(
    test_izhikevich,
    "test_izhikevich_recurrent_cell_no_autapses",  # the spikes of the state reset our membranes
)


@pytest.mark.parametrize("function", IZHIKEVICH, ids=lambda f: f.__name__)
@pytest.mark.parametrize("behaviour", ["tonic_bursting", "class_1_exc", "dap", "accomodation"])
def test_izhikevich_tests_on_ours(
    behaviour: str, function: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With Norse's own behaviours, positions of arguments, and states."""
    for suffix in ("", "Cell", "Recurrent", "RecurrentCell"):
        name = "Izhikevich" + suffix
        assert hasattr(test_izhikevich, name)
        monkeypatch.setattr(test_izhikevich, name, getattr(ours, name))
    function(getattr(norse_functional.izhikevich, behaviour))


LSNN = shipped(
    test_lsnn,
    "test_lsnn_cell",  # looks at the synapse, which ALIF has none of
    "test_lsnn_recurrent_cell_autapses",
    "test_lsnn_recurrent_cell_no_autopses",
)


@pytest.mark.parametrize("function", LSNN, ids=lambda f: f.__name__)
def test_lsnn_tests_on_ours(function: Callable[[], None], monkeypatch: pytest.MonkeyPatch) -> None:
    for suffix in ("", "Cell", "Recurrent", "RecurrentCell"):
        monkeypatch.setattr(test_lsnn, "LSNN" + suffix, getattr(ours, "ALIF" + suffix))
    monkeypatch.setattr(test_lsnn, "LSNNFeedForwardState", ours.ALIFState)
    monkeypatch.setattr(test_lsnn, "LSNNState", ours.ALIFRecurrentState)
    function()
