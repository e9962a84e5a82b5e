"""The "eager" backend: plain PyTorch, on every device, printed from a neuron's step.

    sequence.py    what is kept, both passes     known.py     a step with what is known of its parameters
    reverse.py     a reverse pass as a step      blocks.py    a step in parts
    unprinted.py   a step that is not printed    passes.py    these in turn, a stretch of steps at once
    jobs.py        the smaller calls

A step that cannot be printed runs in the loop of "reference".
"""

from typing import Any

from snn_neuromod.kernels.backends import reference
from snn_neuromod.kernels.backends.eager import jobs, sequence, unprinted
from snn_neuromod.kernels.backends.served import Served, always
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.jobs import Advance, Gather, Product, RateCode, WeightGradient

__all__ = ["SERVES"]

_PRINTED = Served(
    always, sequence.forward, sequence.backward, kept=sequence.kept, reads=sequence.reads
)
_UNPRINTED = Served(
    always, unprinted.forward, unprinted.backward, kept=unprinted.kept, reads=lambda call: True
)


def _prepare(call: Call) -> Any:
    """What runs a sequence. Where no graph is traced autograd sees the loop of a step that cannot be printed."""
    if sequence.unable(call) is None:
        return _PRINTED
    return reference.SERVED if call.plain else _UNPRINTED


SERVES = {
    Call: Served(always, prepare=_prepare),
    Product: Served(always, jobs.product),
    WeightGradient: Served(always, jobs.weight_gradient),
    RateCode: Served(always, jobs.rate_code),
    Advance: Served(always, jobs.advance),
    Gather: Served(always, jobs.gather),
}
