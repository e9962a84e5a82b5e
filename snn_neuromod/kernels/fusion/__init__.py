"""Kernels printed from a neuron's step: `trace` reads it into one expression graph, printers write C from the graph."""
