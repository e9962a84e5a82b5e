r"""Learning rules: which part of the exact gradient of a recurrent layer is followed.

With $\Lambda[t]$ the gradient of the loss with respect to the spikes of a layer from outside it, the reverse sweep of
its neurons gives $p[t]$, the gradient of their input current, and $\partial L / \partial W = \sum_t p[t]\, s[t]^\top$
for whatever arrives, $s = [x[t], z[t-1]]$. The rules differ in what the sweep is given, in what it
follows, and in what the layer below gets:

| rule | signal of the sweep | of a neuron's past | to the layer below |
|---|---|---|---|
| BPTT | $\Lambda[t] + W_\text{rec}^\top p[t+1]$ | all | $W_\text{in}^\top p[t]$ |
| e-prop (Bellec et al. 2020) | $\Lambda[t]$ | all | $W_\text{in}^\top p[t]$ |
| k hops (Liu et al. 2021) | $\Lambda[t] + W_\text{rec}^\top p_{k-1}[t+1]$ | all | $W_\text{in}^\top p[t]$ |
| RFLO (Murray 2019) | $\Lambda[t]$ | its membrane's | $W_\text{in}^\top p[t]$ |
| OSTL (Bohnstingl et al. 2020) | $\Lambda[t]$ | all | $W_\text{in}^\top \psi[t] \Lambda[t]$ |
| OTTT (Xiao et al. 2022) | $\Lambda[t]$ | its membrane's | $W_\text{in}^\top \psi[t] \Lambda[t]$ |

with $\psi$ the derivative of a neuron's spike by its input of the same step. k = 0 is e-prop, k >= T is BPTT over T
steps. What is followed of a neuron's past filters the presynaptic spikes: with the membrane's alone, whose reset
"subtract" is another state's, p in $\sum_t p[t]\, s[t]^\top$ stands for OTTT's trace
$\hat s[t] = \alpha\, \hat s[t-1] + s[t]$ in $\sum_t \psi[t] \Lambda[t]\, \hat s[t]^\top$, turned round in time.
A rule is an object; what it says is all that the layers and kernels know of it. A new one is a class here.

References:
    Bellec et al., Nat. Commun. 11:3625 (2020). Murray, eLife 8:e43299 (2019). Liu et al., PNAS 118(51) (2021).
    Bohnstingl et al., arXiv 2007.12723 (2020). Xiao et al., arXiv 2210.04195 (2022).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, TypeAlias

import torch
from torch import Tensor

from snn_neuromod._setting import Setting
from snn_neuromod.errors import ConfigError
from snn_neuromod.kernels.call import Paths

__all__ = [
    "BPTT", "OSTL", "OTTT", "RFLO", "EProp", "KHop", "LearningRule", "Name", "Rule", "resolve", "using",
]  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """A learning rule.

    Attributes:
        hops: How often a gradient passes through recurrent weights; None: without limit.
        follows: Of a neuron's own past, "all" states, or the "membrane" alone: those that its module in
            `snn_neuromod.dynamics` names `MEMBRANE`.
        credit: What passes to the layer below: the "adjoint" of the input as the weights get it, or what reaches it at
            the same "instant", through no past of the neurons.
    """

    hops: ClassVar[int | None] = None
    follows: ClassVar[Literal["all", "membrane"]] = "all"
    credit: ClassVar[Literal["adjoint", "instant"]] = "adjoint"

    def paths(self, dynamics: Any) -> Paths:
        """What the adjoint of a neuron keeps under this rule.

        Args:
            dynamics: The neuron's equations, with `State`, and `MEMBRANE` where the rule follows that alone.

        Raises:
            ValueError: If the equations do not name their membrane and the rule needs it.
        """
        if self.follows == "all":
            return Paths(self.hops)
        fields, membrane = dynamics.State._fields, getattr(dynamics, "MEMBRANE", None)
        if membrane is None or not set(membrane) <= set(fields):
            raise ConfigError(
                f"{type(self).__name__}: the neuron's equations must name the states of its membrane among "
                f"{', '.join(fields)}, as in MEMBRANE = ({fields[0]!r},), got {membrane!r}"
            )
        return Paths(self.hops, tuple(fields.index(name) for name in membrane))

    @property
    def serves_steps(self) -> bool:
        """Whether it can serve where a layer is called step by step, and no later step is known."""
        return self.hops in (None, 0) and self.credit == "adjoint"

    def weigh(
        self, x: Tensor, weight: Tensor, product: Callable[[Tensor, Tensor], Tensor]
    ) -> tuple[Tensor, Tensor | None]:
        """Weighted input of a layer, and what carries the gradient to the layer below where that is another.

        Args:
            x: Input, (T, batch, ..., input).
            weight: (neuron, input).
            product: Their product.

        Returns:
            The arguments `current` and `below` of `Layer.forward_recurrent`.
        """
        if self.credit == "adjoint" or not (torch.is_grad_enabled() and x.requires_grad):
            return product(x, weight), None
        return product(x.detach(), weight), product(x, weight.detach())


@dataclass(frozen=True)
class BPTT(Rule):
    """Backpropagation through time: the exact gradient."""


@dataclass(frozen=True)
class EProp(Rule):
    """e-prop in its exact factorised form: the gradient does not pass through the recurrent spikes."""

    hops: ClassVar[int | None] = 0


@dataclass(frozen=True)
class KHop(Rule):
    """e-prop whose learning signal comes k times through the recurrent weights; each costs one more reverse sweep.

    Args:
        k: Hops, >= 0.

    Raises:
        ValueError: If `k` is no integer >= 0.

    Examples:
        >>> import snn_neuromod as nm
        >>> layer = nm.Recurrent(nm.ALIF(20), in_features=5, learning_rule=KHop(2))
    """

    k: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.k, bool) or not isinstance(self.k, int) or not self.k >= 0:
            raise ConfigError(f"KHop: k must be an integer >= 0, got {self.k!r}")

    @property
    def hops(self) -> int:  # type: ignore[override]
        return self.k


@dataclass(frozen=True)
class RFLO(Rule):
    """Random feedback local online learning: e-prop without the paths of adaptation and reset."""

    hops: ClassVar[int | None] = 0
    follows: ClassVar[Literal["all", "membrane"]] = "membrane"


@dataclass(frozen=True)
class OSTL(EProp):
    """Online spatio-temporal learning: e-prop whose error comes down through the layers at each instant."""

    credit: ClassVar[Literal["adjoint", "instant"]] = "instant"


@dataclass(frozen=True)
class OTTT(RFLO):
    """Online training through time: the membrane's trace of each input, and credit of the same instant.

    It is the paper's for the reset "subtract"; "zero" also empties the trace.
    """

    credit: ClassVar[Literal["adjoint", "instant"]] = "instant"


Name: TypeAlias = Literal["bptt", "eprop", "khop", "rflo", "ostl", "ottt"]
LearningRule: TypeAlias = Name | Rule
"""A rule, or its name; "khop" is one hop."""

_BY_NAME: dict[str, Rule] = {
    "bptt": BPTT(),
    "eprop": EProp(),
    "khop": KHop(),
    "rflo": RFLO(),
    "ostl": OSTL(),
    "ottt": OTTT(),
}


def resolve(who: str, rule: LearningRule) -> Rule:
    """The rule of this name, or the rule itself.

    Args:
        who: Class whose argument it is.
        rule: Name or rule.

    Raises:
        ValueError: If there is no rule of that name.
    """
    if isinstance(rule, Rule):
        return rule
    if not isinstance(rule, str) or rule not in _BY_NAME:
        raise ConfigError(
            f"{who}: learning_rule must be one of {', '.join(_BY_NAME)}, or a rule such as KHop(2), got {rule!r}"
        )
    return _BY_NAME[rule]


_OVERRIDE: Setting[Rule | None] = Setting("learning_rule", None)


@contextmanager
def using(rule: Rule) -> Iterator[None]:
    """Let all recurrent layers run under one rule, whatever their own, in this thread or task alone."""
    with _OVERRIDE.using(rule):
        yield


def in_force(own: Rule) -> Rule:
    """The rule that `using` set, else the layer's own."""
    return _OVERRIDE.get() or own
