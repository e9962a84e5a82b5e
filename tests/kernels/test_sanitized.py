"""AddressSanitizer and UndefinedBehaviorSanitizer watch a small run of every kernel."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings

from snn_neuromod.dynamics import NEURONS
from snn_neuromod.kernels import neurons
from snn_neuromod.kernels.backends.c import printed
from snn_neuromod.kernels.backends.c.library import FOLDER
from snn_neuromod.kernels.fusion import jit
from snn_neuromod.kernels.fusion.c import source
from snn_neuromod.kernels.fusion.trace import trace
from tests.kernels.fused import Neuron, Quadratic, random_neurons

DRIVER = Path(__file__).with_name("sanitized") / "driver.c"
FLAGS = ["-O0", "-g1", "-std=gnu11", "-fno-math-errno", "-DSNN_SOURCE=0u", "-lm"]
WATCHED = [
    "-fsanitize=address,undefined",
    "-fno-sanitize=alignment,null,pointer-overflow",
    "-fno-sanitize-recover=all",
    "--param=asan-instrumentation-with-call-threshold=0",
]
"""Vectors are read from where any number may stand: that is meant, and said in their type. Whoever uses a null pointer,
or one that is no longer within its array, meets AddressSanitizer. Calls instead of code at each access, and without
those two checks: compiled in less than half the time."""


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0", "OMP_WAIT_POLICY": "passive"}
    return subprocess.run(
        [str(x) for x in arguments], env=environment, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def compiler(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The compiler with its sanitizers, and with OpenMP and calls where it has them."""
    folder = tmp_path_factory.mktemp("compiler")
    (folder / "empty.c").write_text("int main(void) { return 0; }\n")
    name = os.environ.get("CC") or shutil.which("gcc") or shutil.which("cc")
    for flags in ([*WATCHED, "-fopenmp"], WATCHED, WATCHED[:-1]):
        found = [*(name or "cc").split(), *flags]
        made = name and run(*found, folder / "empty.c", "-o", folder / "empty").returncode == 0
        if made and run(folder / "empty").returncode == 0:
            return found
    pytest.skip("no C compiler with AddressSanitizer")


def cases(neurons: Sequence[str]) -> str:
    """The printed kernels of some neurons, as `driver.c` takes them."""
    lines = []
    for neuron in neurons:
        known, module = printed.index()[neuron], NEURONS.get(neuron)
        for name, kernel in known["kernels"].items() if module else ():
            counts = [len(module.Params._fields), len(known["numbers"]), len(module.State._fields)]
            numbers = ", ".join(map(str, [*counts, len(kernel["kept"])]))
            lines.append(f"CASE(snn_{name}, snn_{name}_recurrent, {numbers})\n")
    return "".join(lines)


def build(
    compiler: list[str],
    folder: Path,
    program: Path,
    neurons: Sequence[str] = tuple(printed.index()),
) -> None:
    (program.parent / "cases.h").write_text(cases(neurons))
    include = ["-I", folder / "c", "-I", program.parent]
    made = run(*compiler, *include, DRIVER, "-o", program, *FLAGS)
    assert made.returncode == 0, made.stderr


def test_no_kernel_leaves_its_memory(compiler: list[str], tmp_path: Path) -> None:
    build(compiler, FOLDER, tmp_path / "kernels")
    done = run(tmp_path / "kernels")
    assert (done.returncode, done.stdout) == (0, "finished\n"), done.stderr[-4000:]


@pytest.mark.parametrize(
    ("file", "right", "wrong", "where"),
    [
        ("c/nonzero.h", "count += x[i] != 0", "count += x[i + 1] != 0", "events_of"),
        ("fusion/call.h", "memcpy(to, row, wide *", "memcpy(to, row, (wide + 1) *", "_left"),
    ],
)
def test_an_overflow_is_found(
    file: str, right: str, wrong: str, where: str, compiler: list[str], tmp_path: Path
) -> None:
    """One neuron too many, at the end of an array; of the printed kernels the shortest are enough to see it."""
    for folder in ("c", "fusion"):
        shutil.copytree(FOLDER / folder, tmp_path / folder)
    text = (tmp_path / file).read_text()
    assert right in text
    (tmp_path / file).write_text(text.replace(right, wrong))
    (tmp_path / "fusion" / "printed" / "all.h").write_text('#include "leaky_integrator.h"\n')
    build(compiler, tmp_path, tmp_path / "kernels", ["leaky_integrator"])
    done = run(tmp_path / "kernels")
    assert done.returncode != 0
    assert "heap-buffer-overflow" in done.stderr
    assert where in done.stderr


@pytest.mark.skipif(jit.unable() is not None, reason=f"{jit.unable()}")
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(random_neurons())
def test_kernels_of_random_steps(
    compiler: list[str], tmp_path_factory: pytest.TempPathFactory, neuron: Neuron
) -> None:
    folder = tmp_path_factory.mktemp("random")
    states = neuron.state_type
    traced = trace(neuron.step, type(neuron.params), states, neuron.options, dtype=torch.float64)
    made = source(traced, torch.float64)
    counts = [len(neuron.params), 0, len(states._fields), len(made.kept)]
    driver = DRIVER.read_text().partition("/* Printed kernels")[2].replace("run_all_printed();", "")
    main = (
        "static double fired;\nstatic double number(void) { return 0.5; }\n#include <stdio.h>\n"
        "static void *between_double(int64_t count, double low, double high) {\n"
        "    double *const out = malloc(count * sizeof(double));\n"
        "    for (int64_t i = 0; i < count; i++) out[i] = low + (high - low) * number();\n"
        "    return out;\n}\n#define between_float between_double\n/* Printed kernels"
    )
    both = (
        "{name##_float, recurrent##_float, 4, __VA_ARGS__}, {name##_double, recurrent##_double, 8,"
    )
    assert both in driver
    driver = driver.replace(both, "{name, recurrent, 8,").partition("int main")[0]
    numbers = ", ".join(map(str, counts))
    (folder / "cases.h").write_text(f"CASE(snn_kernel, snn_recurrent, {numbers})\n")
    end = "int main(void) { run_all_printed(); return 0; }\n"
    (folder / "all.c").write_text(made.text + main + driver + end)
    built = run(*compiler, "-I", folder, folder / "all.c", "-o", folder / "all", *FLAGS)
    assert built.returncode == 0, built.stderr
    done = run(folder / "all")
    assert done.returncode == 0, done.stderr[-4000:]


RECURRENT = """
static REAL *numbers(int64_t count, double step) {
    REAL *const out = malloc(count * sizeof(REAL));
    for (int64_t i = 0; i < count; i++) out[i] = (REAL)(step * (i % 13));
    return out;
}

static int run(int64_t T, int64_t rows, int64_t num) {
    const int64_t one = rows * num, all = T * one, kept = (T + EVERY - 1) / EVERY * one, third = (num + 2) / 3;
    const int64_t groups[] = {2, 25, 1, num, 25, third};
    int64_t *const sources = malloc((num + third) * sizeof(int64_t)), failed = 0;
    for (int64_t n = 0; n < num; n++) sources[n] = n;
    for (int64_t n = 0; n < third; n++) sources[num + n] = 3 * n;
    for (int64_t whole = 0; whole < 2; whole++) {
        void *data[] = {numbers(whole ? all : one, 0), numbers(all, 0), NULL, NULL, numbers(1, 0.1), numbers(num, 0.1),
                        numbers(one, 0), numbers(kept, 0)};
        const int64_t sizes[] = {T, one, num, 2, whole, 0, 0, 0, 0, 0, 0, 1};
        void *const synapses[] = {numbers(25 * one, 0.1), numbers((num + third) * PADDED(num), 0.01), sources,
                                  numbers(all, 0.1)};
        failed |= RECURRENT(sizes, data, groups, synapses);
        if (!whole) continue;
        void *back[] = {data[0], NULL, numbers(one, 0), numbers(all, 0), data[4], data[5], data[6], data[7],
                        numbers(one, 0.1), numbers(one, 0), numbers(one, 0)};
        const int64_t reverse[] = {T, one, num, 2, 1, 1, 0, 0, 0, 0, 0, 1};
        void *const across[] = {synapses[0], numbers(num * (PADDED(num) + PADDED(third)), 0.01), sources,
                                numbers(all, 0.1)};
        failed |= RECURRENT(reverse, back, groups, across);
        back[2] = numbers(all, 0.1);
        failed |= KERNEL(reverse, back);
    }
    return (int)failed;
}

int main(void) {
    static const int64_t nums[] = {1, 17, 65, 131}, lengths[] = {1, 18, 30};
    for (int n = 0; n < 4; n++)
        for (int t = 0; t < 3; t++)
            if (run(lengths[t], 5 + n, nums[n])) return 1;
    return 0;
}
"""


def recurrent_program(dtype: torch.dtype, change: tuple[str, str] = ("", "")) -> str:
    """A program that runs the printed kernels of a neuron with one state and two parameters, both learned."""
    text = source(neurons.Neuron(Quadratic).traced(dtype), dtype).text
    assert change[0] in text
    return text.replace(*change, 1) + RECURRENT if change[0] else text + RECURRENT


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float", "double"])
def test_no_printed_recurrent_kernel_leaves_its_memory(
    compiler: list[str], tmp_path: Path, dtype: torch.dtype
) -> None:
    (tmp_path / "run.c").write_text(recurrent_program(dtype))
    made = run(*compiler, tmp_path / "run.c", "-o", tmp_path / "run", *FLAGS)
    assert made.returncode == 0, made.stderr
    done = run(tmp_path / "run")
    assert done.returncode == 0, done.stderr[-4000:]


def test_an_overflow_of_a_printed_recurrent_kernel_is_found(
    compiler: list[str], tmp_path: Path
) -> None:
    """Gradients of the spikes of one step where memory for one step is, taken for those of all."""
    change = ("    if (reverse) call.gz_step = 0;\n", "")
    (tmp_path / "run.c").write_text(recurrent_program(torch.float32, change))
    made = run(*compiler, tmp_path / "run.c", "-o", tmp_path / "run", *FLAGS)
    assert made.returncode == 0, made.stderr
    assert "heap-buffer-overflow" in run(tmp_path / "run").stderr
