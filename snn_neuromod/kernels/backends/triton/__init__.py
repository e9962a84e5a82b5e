"""The "triton" backend: kernels printed from a neuron's step, for CUDA devices."""

from snn_neuromod.kernels.backends.eager import jobs
from snn_neuromod.kernels.backends.served import Served
from snn_neuromod.kernels.backends.triton import rate_code, sequence
from snn_neuromod.kernels.backends.triton.available import missing, status
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.jobs import Advance, Gather, Product, RateCode, WeightGradient

__all__ = ["SERVES", "status"]

SERVES = {
    Call: Served(
        sequence.unable,
        sequence.forward,
        sequence.backward,
        sequence.kept,
        reads=sequence.reads,
        narrow=True,
        hop=sequence.hop,
        weights=sequence.weights,
    ),
    Product: Served(lambda job: missing(job.x), jobs.product),
    WeightGradient: Served(lambda job: missing(job.x), jobs.weight_gradient),
    RateCode: Served(lambda job: missing(job.limit), rate_code.forward),
    Advance: Served(lambda job: missing(job.traces[0]), jobs.advance),
    Gather: Served(lambda job: missing(job.traces[0]), jobs.gather),
}
"""Products with spikes are products of matrices there: nothing event-driven is faster on such a device."""
