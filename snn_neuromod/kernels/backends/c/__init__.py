"""The "c" backend: loops over time, products with spikes, rate code and traces compiled from `kernels/c`."""

from typing import Any

from snn_neuromod.kernels.backends.c import (
    eligibility,
    library,
    neurons,
    printed,
    products,
    rate_code,
    sequence,
)
from snn_neuromod.kernels.backends.served import Served
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.jobs import Advance, Gather, Product, RateCode, WeightGradient

__all__ = ["SERVES", "status"]


def _of(call: Call) -> Served:
    """What runs a sequence: kernels printed from the step, or for some recurrent layers such as are written by hand."""
    return _WRITTEN if call.recurrent and neurons.unable(call) is None else _PRINTED


def _prepare(call: Call) -> Any:
    return printed.prepare(call) if _of(call) is _PRINTED else _WRITTEN


_PRINTED = Served(printed.unable, kept=printed.kept, reads=printed.reads)
_WRITTEN = Served(neurons.unable, sequence.forward, sequence.backward, sequence.kept)

SERVES = {
    Call: Served(
        lambda call: _of(call).unable(call),
        kept=lambda call: _of(call).kept(call),  # type: ignore[misc]
        reads=lambda call: _of(call).reads(call),
        prepare=_prepare,
    ),
    Product: Served(products.unable, products.forward),
    WeightGradient: Served(products.gradient_unable, products.weight_gradient),
    RateCode: Served(rate_code.unable, rate_code.forward),
    Advance: Served(eligibility.unable, eligibility.advance),
    Gather: Served(eligibility.unable, eligibility.gather),
}


def status() -> str:
    """Whether the library serves, and how it was built, or why not."""
    return library.load()[1]
