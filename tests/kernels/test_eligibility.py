"""Traces carried over a segment by the C kernels, next to the sums that define them."""

from __future__ import annotations

import itertools

import pytest
import torch
from torch import Tensor

from snn_neuromod.kernels.backends.c import jobs, library
from snn_neuromod.kernels.backends.eager import jobs as eager
from snn_neuromod.kernels.jobs import Advance, Gather

AVAILABLE, STATUS = library.load()
pytestmark = pytest.mark.skipif(AVAILABLE is None, reason=f"C kernels: {STATUS}")


def problem(
    count: int, steps: int, batch: int, inputs: int, num: int, dtype: torch.dtype = torch.float64
) -> tuple[list[Tensor], dict[tuple[int, int], Tensor], dict[int, Tensor], Tensor]:
    """Traces, factors, deltas and sources; every third factor is zero, and so is the first delta of several."""
    traces = [torch.randn(batch, inputs, num, dtype=dtype) for _ in range(count)]
    pairs = [p for k, p in enumerate(itertools.product(range(count), repeat=2)) if k % 3 != 1]
    factors = {pair: torch.randn(batch, num, dtype=dtype) for pair in pairs}
    deltas = {y: torch.randn(steps, batch, num, dtype=dtype) for y in range(count > 1, count)}
    sources = torch.randn(steps, batch, inputs, dtype=dtype)
    return traces, factors, deltas, sources * (torch.rand_like(sources) < 0.2)


def advance(
    traces: list[Tensor],
    factors: dict[tuple[int, int], Tensor],
    deltas: dict[int, Tensor],
    sources: Tensor,
) -> None:
    jobs.advance(Advance(traces, factors, deltas, [(sources, None)]))


def expected(
    traces: list[Tensor],
    factors: dict[tuple[int, int], Tensor],
    deltas: dict[int, Tensor],
    sources: Tensor,
) -> list[Tensor]:
    out = [torch.zeros_like(trace) for trace in traces]
    for (y, x), factor in factors.items():
        out[y] += factor[:, None] * traces[x]
    for y, delta in deltas.items():
        out[y] += torch.einsum("tbi,tbj->bij", sources, delta)
    return out


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize(("batch", "inputs", "num"), [(1, 1, 1), (3, 63, 17), (2, 130, 1000)])
@pytest.mark.parametrize("steps", [1, 240])
def test_equal_to_the_sums(count: int, steps: int, batch: int, inputs: int, num: int) -> None:
    traces, *by = problem(count, steps, batch, inputs, num)
    wanted = expected(traces, *by)
    plain = [trace.clone() for trace in traces]
    advance(traces, *by)
    eager.advance(Advance(plain, *by[:2], [(by[2], None)]))
    for trace, same, value in zip(traces, plain, wanted, strict=True):
        torch.testing.assert_close(trace, value, rtol=1e-12, atol=1e-11)
        torch.testing.assert_close(same, value, rtol=1e-12, atol=1e-11)
    grads = [torch.randn(batch, num, dtype=torch.float64) for _ in traces]
    total = sum(torch.einsum("bj,bij->ij", g, e) for g, e in zip(grads, traces, strict=True))
    for found in (backend.gather(Gather(traces, grads)) for backend in (jobs, eager)):
        torch.testing.assert_close(found, total, rtol=1e-12, atol=1e-11)
        assert found.any()


@pytest.mark.parametrize("own", [0, 1, 3])
@pytest.mark.parametrize("num", [2, 17, 65])
def test_traces_of_all_neurons_alike(own: int, num: int) -> None:
    """The last variables have one trace for all neurons; taken on and gathered in one call, as by the sums."""
    traces, factors, deltas, sources = problem(4, 9, 3, 21, num)
    factors = {(y, x): f for (y, x), f in factors.items() if y < own or x >= own}
    alike = {y: d[..., :1].expand_as(d) if y >= own else d for y, d in deltas.items()}
    same = {p: f[:, :1].expand_as(f) if p[0] >= own else f for p, f in factors.items()}
    traces = [e[..., :1].clone() if y >= own else e for y, e in enumerate(traces)]
    wanted = expected([e.expand(-1, -1, num) for e in traces], same, alike, sources)
    grads = [None, *(torch.randn(3, num, dtype=torch.float64) for _ in traces[1:])]
    pairs = zip(grads[1:], wanted[1:], strict=True)
    total = sum(torch.einsum("bj,bij->ij", g, e) for g, e in pairs)
    for backend in (jobs, eager):
        own_traces = [e.clone() for e in traces]
        after = Advance(own_traces, same, alike, [(sources, None)])
        found = backend.gather(Gather(own_traces, grads, after))
        torch.testing.assert_close(found, total, rtol=1e-12, atol=1e-11)
        for e, value in zip(own_traces, wanted, strict=True):
            torch.testing.assert_close(e.expand_as(value), value, rtol=1e-12, atol=1e-11)


def test_float32_is_as_precise_as_the_sums() -> None:
    traces, factors, deltas, sources = problem(3, 50, 4, 100, 90, torch.float32)
    exact = expected(
        [trace.double() for trace in traces],
        {k: v.double() for k, v in factors.items()},
        {k: v.double() for k, v in deltas.items()},
        sources.double(),
    )
    usual = expected(traces, factors, deltas, sources)
    advance(traces, factors, deltas, sources)
    for trace, value, true in zip(traces, usual, exact, strict=True):
        assert (trace - true).abs().max() <= 3 * (value - true).abs().max()


def test_threads_and_strides_change_nothing() -> None:
    before, found = torch.get_num_threads(), []
    try:
        for threads in (1, 2, 7):
            torch.manual_seed(0)
            torch.set_num_threads(threads)
            traces, factors, deltas, sources = problem(3, 20, 5, 70, 40)
            sources = sources.transpose(0, 1).contiguous().transpose(0, 1)
            advance(traces, factors, deltas, sources)
            grads = [torch.randn(40, 5, dtype=torch.float64).T for _ in traces]
            found.append([*traces, jobs.gather(Gather(traces, grads))])
    finally:
        torch.set_num_threads(before)
    for values in found[1:]:
        assert all(torch.equal(a, b) for a, b in zip(values, found[0], strict=True))


def test_what_is_served() -> None:
    def job(count: int, steps: int, dtype: torch.dtype = torch.float32) -> Advance:
        return Advance(
            *problem(count, steps, 1, 2, 3, dtype)[:3], [(torch.zeros(steps, 1, 2), None)]
        )

    assert jobs.traces_unable(job(4, 300)) is None
    assert jobs.traces_unable(job(1, 1, torch.float64)) is None
    masked = job(1, 3)._replace(sources=[(torch.zeros(3, 1, 2), torch.ones(3, 2))])
    for other, why in (
        (job(5, 10), "1 to 4 variables"),
        (job(0, 10), "1 to 4 variables"),
        (job(3, 10, torch.bfloat16), "float32 and float64"),
        (masked, "one delay"),
    ):
        assert why in str(jobs.traces_unable(other))


def test_nothing_is_left_unwritten_and_no_sample_is_no_error() -> None:
    torch.use_deterministic_algorithms(True)  # which fills what torch.empty gives
    try:
        assert torch.empty(3).isnan().all()
        for batch in (0, 2):
            traces, factors, deltas, sources = problem(2, 5, batch, 9, 7)
            advance(traces, factors, deltas, sources)
            grads = [torch.ones(batch, 7, dtype=torch.float64)] * 2
            found = jobs.gather(Gather(traces, grads))
            assert all(value.isfinite().all() for value in [*traces, found])
            assert found.any() == bool(batch)
    finally:
        torch.use_deterministic_algorithms(False)
