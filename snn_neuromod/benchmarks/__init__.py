"""The benchmark table, this package beside others: `python -m snn_neuromod.benchmarks`."""
