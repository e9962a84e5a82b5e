"""A neuron of one's own in Norse's form: cell, recurrent cell, and their time-first modules."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from torch import Tensor
from typing_extensions import TypedDict, Unpack

from snn_neuromod.dynamics.parameter import Range
from snn_neuromod.dynamics.traits import Dynamics, S
from snn_neuromod.kernels.backends import Backend
from snn_neuromod.layers.delays import Delay
from snn_neuromod.layers.recurrent import Mask
from snn_neuromod.learning.rules import LearningRule
from snn_neuromod.norse.base import Cell, Module
from snn_neuromod.norse.recipes import custom
from snn_neuromod.norse.recurrent import RecurrentCell, RecurrentModule
from snn_neuromod.norse.states import CustomRecurrentState


class CellArguments(TypedDict, total=False):
    """Arguments of the cell."""

    num_neurons: int | None
    learn: Collection[str]
    options: Mapping[str, Any]
    ranges: Mapping[str, Range]
    backend: Backend | None


class ModuleArguments(CellArguments, total=False):
    """Arguments of the module."""

    record_states: bool


class RecurrentCellArguments(TypedDict, total=False):
    """Arguments of the recurrent cell."""

    input_weights: Tensor | None
    recurrent_weights: Tensor | None
    autapses: bool
    learning_rule: LearningRule
    mask_in: Mask | None
    mask_rec: Mask | None
    delay: Delay | Callable[[int], Tensor]
    learn: Collection[str]
    options: Mapping[str, Any]
    ranges: Mapping[str, Range]
    backend: Backend | None


class RecurrentArguments(RecurrentCellArguments, total=False):
    """Arguments of the recurrent module."""

    record_states: bool


class CustomCell(Cell[S]):
    """A neuron of your own, one step, given by its equations; see `snn_neuromod.Custom`.

    Args:
        dynamics: The neuron's equations, or the name of a module that can be imported.
        p: Its `Params`, in its own units; None: the defaults. The state is its `State`.
        **arguments: Further arguments of `Cell`, without `dt`; `options` (keyword arguments of `step`), `ranges` and
            `backend` as of `snn_neuromod.Custom`.

    Raises:
        TypeError: If `dynamics` lacks one of its parts, or `p` is of another neuron.
        ValueError: If a parameter is outside its range, or `step` is not elementwise.
    """

    def __init__(
        self, dynamics: str | Dynamics[Any, S], p: object = None, **arguments: Unpack[CellArguments]
    ) -> None:
        self.__dict__["recipe"] = custom(dynamics)
        super().__init__(p, **arguments)  # type: ignore[misc]


class Custom(Module[S]):
    """A neuron of your own over sequences; arguments: `CustomCell`, and `record_states` of `Module`.

    Examples:
        >>> import torch
        >>> spikes, state = Custom("snn_neuromod.dynamics.alif")(torch.rand(50, 8, 3))  # (T, batch, neuron)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    def __init__(
        self,
        dynamics: str | Dynamics[Any, S],
        p: object = None,
        **arguments: Unpack[ModuleArguments],
    ) -> None:
        self.__dict__["recipe"] = custom(dynamics)
        super().__init__(p, **arguments)  # type: ignore[misc]


class CustomRecurrentCell(RecurrentCell[CustomRecurrentState[S]]):
    """A neuron of your own with recurrent weights, one step; arguments: those of `CustomCell` and `RecurrentCell`.

    The state holds the spikes in `z` and the neuron's own in `neuron`.
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        dynamics: str | Dynamics[Any, S],
        p: object = None,
        **arguments: Unpack[RecurrentCellArguments],
    ) -> None:
        self.__dict__["recipe"] = custom(dynamics)
        super().__init__(input_size, hidden_size, p, **arguments)  # type: ignore[misc]


class CustomRecurrent(RecurrentModule[CustomRecurrentState[S]]):
    """A neuron of your own with recurrent weights over sequences; arguments: see `CustomRecurrentCell`.

    Examples:
        >>> import torch
        >>> net = CustomRecurrent(5, 3, "snn_neuromod.dynamics.alif", learning_rule="eprop")
        >>> spikes, state = net(torch.rand(50, 8, 5))  # (T, batch, input)
        >>> spikes.shape
        torch.Size([50, 8, 3])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        dynamics: str | Dynamics[Any, S],
        p: object = None,
        **arguments: Unpack[RecurrentArguments],
    ) -> None:
        self.__dict__["recipe"] = custom(dynamics)
        super().__init__(input_size, hidden_size, p, **arguments)  # type: ignore[misc]
