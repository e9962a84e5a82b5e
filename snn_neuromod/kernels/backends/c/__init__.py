"""The "c" backend: loops over time, products with spikes, rate code and traces compiled from `kernels/c`."""

from snn_neuromod.kernels.backends.c import jobs, library, printed
from snn_neuromod.kernels.backends.served import Served
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.jobs import Advance, Gather, Product, RateCode, WeightGradient

__all__ = ["SERVES", "status"]


SERVES = {
    Call: Served(printed.unable, prepare=printed.prepare),
    Product: Served(jobs.product_unable, jobs.product),
    WeightGradient: Served(jobs.gradient_unable, jobs.weight_gradient),
    RateCode: Served(jobs.code_unable, jobs.rate_code),
    Advance: Served(jobs.traces_unable, jobs.advance),
    Gather: Served(jobs.traces_unable, jobs.gather),
}


def status() -> str:
    """Whether the library serves, and how it was built, or why not."""
    return library.load()[1]
