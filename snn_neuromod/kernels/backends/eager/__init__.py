"""The "eager" backend: plain PyTorch, on every device, printed from a neuron's step."""

from snn_neuromod.kernels.backends.eager import (
    eligibility,
    products,
    rate_code,
    sequence,
)
from snn_neuromod.kernels.backends.served import Served, always
from snn_neuromod.kernels.call import Call
from snn_neuromod.kernels.jobs import Advance, Gather, Product, RateCode, WeightGradient

__all__ = ["SERVES"]

SERVES = {
    Call: Served(
        always, sequence.forward, sequence.backward, sequence.new_tracks, sequence.reads_input
    ),
    Product: Served(always, products.forward),
    WeightGradient: Served(always, products.weight_gradient),
    RateCode: Served(always, rate_code.forward),
    Advance: Served(always, eligibility.advance),
    Gather: Served(always, eligibility.gather),
}
