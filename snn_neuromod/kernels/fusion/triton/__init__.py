"""Triton printed from a traced step: `expressions` for a value, `sequence` and `recurrent` for kernels over time."""
