"""One file for each library that is compared: every function builds one workload and returns what is timed.

`build(problem) -> run`; each call of `run()` is one forward and backward pass and returns an `Outcome`.
"""
