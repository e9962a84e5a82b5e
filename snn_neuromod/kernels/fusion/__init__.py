"""Kernels printed from a neuron's step: `trace` reads it into one expression graph, printers write code from the graph.

    trace.py     a step and its reverse pass, run once     graph.py       nodes, each made once
    read.py      what was recorded, as nodes               fold.py        what need not be computed
    aten.py      PyTorch's operations in those of a graph  operations.py  these, in PyTorch, C and Triton
    algebra.py   rewriting that changes rounding alone     switches.py    options as numbers of one kernel
    plan.py      what C computes, keeps and finds again    pytorch/       functions of tensors
    work.py      rows of a tile, expressions in C          triton/        kernels for CUDA devices
    loops.py     loops over a tile                         jit.py         C compiled when it is first needed
    c.py         C between `call.h` and `driver.h`         once.py        what is made when it is first needed
    kernel.py    a compiled kernel of a step

What `printed/` holds is C of the package's own neurons; `python -m snn_neuromod.kernels.fusion.printed` writes it.
"""
