"""Equal, faster forms of the dynamics.

A layer hands `operator.run` a sequence; that builds a `call.Call`, and for the first of those that look alike checks
it, lets `backends.choose` find the first backend that can serve it and prepare what does; then it runs it and makes the
result differentiable. What `backends` there are stands in one table, for sequences and for the smaller `jobs` alike:
products with spikes (`products`), rate code (`rate_code`), eligibility traces. A neuron reaches them by a string that
operators can take (`neurons`), a learning rule as the `Paths` that its adjoint keeps, recurrent weights by groups of
equal delay (`synapses`).

    operator.py    one sequence, differentiable           call.py      what is handed to a backend, and that it fits
    gradients.py   its gradients under a rule             jobs.py      the same for the smaller calls
    registered.py  the same for traced graphs             backends/    reference, eager, c, triton
    products.py, rate_code.py   the smaller calls         fusion/      kernels printed from a step
    neurons.py     the neurons, by name or by their step  c/           sources of the compiled library
    synapses.py    recurrent weights by delay             transforms.py   is torch.func at work?
"""

from snn_neuromod.kernels.backends import Backend, info, use
from snn_neuromod.kernels.products import spike_linear

__all__ = ["Backend", "info", "spike_linear", "use"]
