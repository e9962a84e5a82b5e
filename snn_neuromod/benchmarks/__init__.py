"""Speed of the layers against the reference scan: `python -m snn_neuromod.benchmarks`."""
