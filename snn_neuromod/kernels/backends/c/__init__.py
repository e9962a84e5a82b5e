"""The "c" backend: loops over time, products with spikes, rate code and traces compiled from `kernels/c`."""

from snn_neuromod.kernels.backends.c import (
    eligibility,
    library,
    printed,
    products,
    rate_code,
)
from snn_neuromod.kernels.backends.served import Served
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.jobs import Advance, Gather, Product, RateCode, WeightGradient

__all__ = ["SERVES", "status"]


SERVES = {
    Call: Served(printed.unable, prepare=printed.prepare),
    Product: Served(products.unable, products.forward),
    WeightGradient: Served(products.gradient_unable, products.weight_gradient),
    RateCode: Served(rate_code.unable, rate_code.forward),
    Advance: Served(eligibility.unable, eligibility.advance),
    Gather: Served(eligibility.unable, eligibility.gather),
}


def status() -> str:
    """Whether the library serves, and how it was built, or why not."""
    return library.load()[1]
