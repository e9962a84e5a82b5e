"""Triton printed from a traced step.

    expressions.py  a value              sequence.py   neurons on their own, over time
    writer.py       a kernel's frame     recurrent.py  with weights among them, over time
    steps.py        a step each way      wide.py       likewise, a step at a time
    gates.py        where the gradient of a spike has no effect

What is fixed when a kernel is printed is a `writer.Plan`.
"""
