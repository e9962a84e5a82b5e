"""What a checkpoint holds of optimisers, compared with those of the run that goes on from it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from torch import Tensor
from torch.optim import Optimizer

from snn_neuromod.errors import RunError

__all__ = ["refuse_other_states"]

_BY_PARAMETER = (
    "acc_delta", "ax", "exp_avg", "exp_avg_sq", "exp_inf", "grad_avg", "max_exp_avg_sq", "momentum_buffer", "prev",
    "square_avg", "step_size", "sum",
)  # fmt: skip
"""What optimisers of PyTorch keep with one value for each of a parameter's; others have shapes of their own."""


def refuse_other_states(
    saved: Any, optimizers: Sequence[Optimizer], named: Iterable[tuple[str, Tensor]]
) -> None:
    """Refuse states of optimisers that are not those of the parameters, as after a change of what is learned.

    Args:
        saved: What the checkpoint holds of each optimiser.
        optimizers: The run's.
        named: Parameters with their names.

    Raises:
        RunError: If a state is of another number or shape of parameters, or is none.
    """
    states = saved if isinstance(saved, list) else []
    if not (len(states) == len(optimizers) and all(map(_is_state, states))):
        raise RunError(
            f"resume: the checkpoint must hold the state of {len(optimizers)} optimiser(s), got something else; "
            "start a new run with its weights"
        )
    before = [[len(group["params"]) for group in state["param_groups"]] for state in states]
    now = [[len(group["params"]) for group in optimizer.param_groups] for optimizer in optimizers]
    if before != now:
        raise RunError(
            f"resume: the optimiser must have the numbers of parameters {before} of the run that is resumed, got "
            f"{now}; learn the same, with the same lr_factors, or start a new run"
        )
    names = {id(parameter): name for name, parameter in named}
    for state, optimizer in zip(states, optimizers, strict=True):
        for parameter, kept, value in _by_parameter(state, optimizer):
            if value.shape != parameter.shape:
                raise RunError(
                    f"resume: {type(optimizer).__name__}'s {kept} of {names.get(id(parameter), 'a parameter')} must "
                    f"have the shape {tuple(parameter.shape)} of its parameter, got {tuple(value.shape)}: the "
                    "checkpoint's optimiser is that of another network; start a new run with its weights"
                )


def _is_state(state: Any) -> bool:
    groups = state.get("param_groups") if isinstance(state, dict) else None
    return (
        isinstance(groups, list)
        and isinstance(state.get("state"), dict)
        and all(isinstance(kept, dict) for kept in state["state"].values())
        and all(isinstance(group, dict) and isinstance(group.get("params"), list) for group in groups)
    )  # fmt: skip


def _by_parameter(
    state: dict[str, Any], optimizer: Optimizer
) -> Iterator[tuple[Tensor, str, Tensor]]:
    """What is kept with one value for each of a parameter's: the parameter, its name, and it."""
    keys = [key for group in state["param_groups"] for key in group["params"]]
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    for key, parameter in zip(keys, parameters, strict=True):
        for name, value in state["state"].get(key, {}).items():
            if name in _BY_PARAMETER and isinstance(value, Tensor):
                yield parameter, name, value
