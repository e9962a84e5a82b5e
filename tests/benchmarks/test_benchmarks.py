"""The benchmarks compare what is equal, refuse what is wrong, and keep what was measured; no time is judged."""

import importlib.util
import io
import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from snn_neuromod.benchmarks import __main__ as command
from snn_neuromod.benchmarks import device, driver, measure, picture, problems, table, worker
from snn_neuromod.benchmarks.driver import Options
from snn_neuromod.benchmarks.measure import Bench, WrongResultError
from snn_neuromod.benchmarks.outcome import Outcome, UnableError
from snn_neuromod.benchmarks.problems import Size
from snn_neuromod.benchmarks.results import Results, environment
from snn_neuromod.benchmarks.table import Case, Variant
from snn_neuromod.errors import DataError

HERE = [variant for variant in table.VARIANTS if not variant.optional]
TINY = Case("W3", Size(12, 2, 30))


@pytest.mark.parametrize("variant", HERE, ids=lambda v: f"{v.workload}-{v.name}")
def test_every_variant_of_the_table_is_right_and_alive(variant):
    if reason := measure.missing(variant):
        pytest.skip(reason)
    case = next(case for case in table.CASES if case.workload == variant.workload)
    if variant.overrides:
        case = Case(case.workload, case.size, overrides=variant.overrides)
    try:
        quality = Bench().check(case, variant)
    except UnableError as error:
        pytest.skip(str(error))
    assert quality.rate > 0
    assert variant.same == (quality.cosine is not None)


def test_gradient_of_the_source_is_right_too():
    case = next(case for case in table.CASES if case.kind == "gradient of the source")
    for variant in table.of("W1"):
        if not variant.optional and measure.missing(variant) is None:
            assert Bench().check(case, variant).cosine > 0.999


def test_the_trained_src_is_right_too():
    case = next(case for case in table.CASES if case.kind == "SRC 784-100")
    assert Bench().check(case, table.of("W7")[0]).cosine > 0.999


def _variant(run, monkeypatch, **changed):
    monkeypatch.setattr(measure, "build", lambda variant, problem: run)
    return Variant("changed", "W3", "changed", "", **changed)


def _outcome(gradient, rate=0.1):
    spikes = torch.zeros(10, 1, 10)
    spikes.view(-1)[: int(rate * spikes.numel())] = 1.0
    return Outcome([torch.as_tensor(gradient)], spikes)


@pytest.mark.parametrize(
    ("gradient", "rate", "reason"),
    [
        ([1.0, 0.0], 0.1, r"cosine with the reference is 0\.0000"),
        ([0.0, 2.0], 0.1, r"ratio of norms 2\.000"),
        ([0.0, 1.0], 0.0, r"0\.00000 spikes"),
        ([0.0, 1.0], 0.9, r"0\.90000 spikes"),
        ([0.0, float("nan")], 0.1, "zero or not finite"),
        ([0.0, 0.0], 0.1, "zero or not finite"),
    ],
)
def test_a_wrong_result_is_refused(gradient, rate, reason):
    variant = Variant("changed", "W3", "changed", "")
    right = np.array([0.0, 1.0])
    assert measure.checked(variant, _outcome([0.0, 1.0]), right).cosine == 1
    with pytest.raises(WrongResultError, match=reason):
        measure.checked(variant, _outcome(gradient, rate), right)


def test_own_equations_are_only_checked_to_be_alive():
    variant = Variant("own", "W3", "own", "", same=False)
    assert measure.checked(variant, _outcome([3.0, 4.0]), None).cosine is None


def test_a_peer_that_is_not_installed_says_so():
    variant = Variant("absent", "W3", "absent", "nowhere:w3", needs=("no_such_library",))
    with pytest.raises(UnableError, match="no_such_library not installed"):
        Bench().check(TINY, variant)


def test_traces_that_do_not_fit_are_not_tried():
    problem = problems.make("W4", Size(10, 2, 20))
    vast = problems.Problem("W4", Size(10**6, 32, 800), problem.constants, problem.arrays)
    variant = next(v for v in table.of("W4") if v.name == "eprop_pytorch")
    with pytest.raises(UnableError, match=r"its traces take \d+ GB"):
        measure.build(variant, vast)


def test_data_are_the_same_each_time_and_depend_on_nothing_else():
    first, second = (problems.make("W4", Size(5, 2, 8)).arrays for _ in range(2))
    assert all((first[name] == second[name]).all() for name in first)
    assert np.diagonal(first["w_rec"]).max() == 0


class _FakeWorker:
    """Stands in for a process; the reference is wrong, and the third timed run is interrupted if asked."""

    calls: list[tuple[str, str]]
    interrupt = -1

    def __init__(self, *options):
        self.memory = options[-1]

    def call(self, method, case, variant=None):
        type(self).calls.append((method, variant.name if variant else ""))
        if method == "check" and variant.name == "reference":
            raise WrongResultError("a wrong gradient")
        if method == "time" and len([c for c in self.calls if c[0] == "time"]) == self.interrupt:
            raise KeyboardInterrupt
        if method == "time" and variant.name == "snntorch":
            raise worker.DiedError("the process ended with status -9")
        answers = {
            "check": [0.1, 1.0, 1.0],
            "start": [0.5, [0.1, 0.9, 1.0]],
            "time": [0.25, {}],
            "memory": [7.0, 0.3],
        }
        return answers.get(method)

    def close(self):
        pass


@pytest.fixture
def fake(monkeypatch):
    monkeypatch.setattr(driver, "Worker", _FakeWorker)
    _FakeWorker.calls, _FakeWorker.interrupt = [], -1
    return _FakeWorker


def _statuses(results):
    return {record["variant"]: record["status"] for record in results.records.values()}


PEERS = ("snn_neuromod", "plain", "reference", "snntorch")


def test_variants_take_turns_and_every_result_is_kept(fake, tmp_path):
    results, lines = Results(tmp_path), []
    driver.run([TINY], results, Options(repeats=4, budget=100, peers=PEERS), lines.append)
    timed = [name for method, name in fake.calls if method == "time"]
    assert timed.count("snntorch") == 1
    timed.remove("snntorch")
    turns = list(zip(timed[::2], timed[1::2], strict=True))
    assert len(turns) == 6
    assert set(turns) == {("snn_neuromod", "plain"), ("plain", "snn_neuromod")}
    assert _statuses(results) == {
        "snn_neuromod": "timed",
        "plain": "timed",
        "reference": "refused",
        "snntorch": "failed",
    }
    read = json.loads(results.path.read_text())
    assert read["schema"] == 1
    assert {"date", "commit", "processor", "cores", "threads", "versions"} <= set(
        read["environments"][0]
    )
    ours = next(record for record in read["results"] if record["variant"] == "snn_neuromod")
    assert {"workload", "label", "size", "check", "whole", "seconds", "warm_ups"} <= set(ours)
    assert all(
        r["memory_mb"] == 7.0 and len(r["seconds"]) == 4 and r["warm_ups"] == 3
        for r in read["results"]
        if r["status"] == "timed"
    )
    assert any("refused, a wrong gradient" in line for line in lines)


def test_what_is_there_is_not_measured_again_unless_asked(fake, tmp_path):
    options = Options(repeats=4, budget=100, peers=PEERS[:2])
    driver.run([TINY], Results(tmp_path), options, lambda line: None)
    before = len(fake.calls)
    driver.run([TINY], Results(tmp_path), options, lambda line: None)
    assert len(fake.calls) == before
    again = Options(repeats=4, budget=100, peers=PEERS[:1], overwrite=True)
    driver.run([TINY], Results(tmp_path), again, lambda line: None)
    assert len(fake.calls) > before


def test_a_stop_keeps_the_cases_before(fake, tmp_path):
    fake.interrupt = 8
    options = Options(repeats=3, budget=100, peers=PEERS[:1])
    cases = [TINY, Case("W3", Size(13, 2, 30))]
    with pytest.raises(KeyboardInterrupt):
        driver.run(cases, Results(tmp_path), options, lambda line: None)
    kept = Results(tmp_path)
    assert [key[1] for key in kept.records] == [TINY.label]
    fake.interrupt = -1
    driver.run(cases, kept, options, lambda line: None)
    assert len(kept.records) == 2


def test_two_runs_into_one_folder_lose_nothing(tmp_path):
    first, second = Results(tmp_path), Results(tmp_path)
    for results, variant in ((first, "plain"), (second, "jax"), (first, "norse")):
        record = {
            "workload": "W1", "label": "T1", "size": {}, "constants": {}, "variant": variant, "title": variant,
            "same": True, "status": "skipped", "reason": "gone",
        }  # fmt: skip
        results.add([record], environment("cpu", 1))
    assert set(Results(tmp_path).records) == {("W1", "T1", v) for v in ("plain", "jax", "norse")}


def test_a_run_beyond_the_budget_is_made_once(fake, tmp_path):
    results = Results(tmp_path)
    driver.run([TINY], results, Options(budget=0.4, peers=PEERS[:1], memory=False), print)
    (record,) = results.records.values()
    assert record["seconds"] == [0.5]
    assert "memory_mb" not in record


def test_a_peer_in_its_own_interpreter_and_one_that_dies():
    own = worker.Worker(sys.executable)
    variant = next(v for v in table.of("W3") if v.name == "reference")
    try:
        _, cosine, _ = own.call("check", TINY, variant)
        assert cosine > 0.999
        seconds, _ = own.call("start", TINY, variant)
        assert seconds > 0
        with pytest.raises(RuntimeError, match="AttributeError"):
            own.call("no_such_method", TINY, variant)
        own._process.kill()
        with pytest.raises(worker.DiedError, match="ended with status -9"):
            own.call("time", TINY, variant)
    finally:
        own.close()


def test_a_process_whose_device_is_lost_ends_with_its_answer(monkeypatch):
    """Later variants would fail alike; they get a new process."""

    def lost():
        raise RuntimeError("an illegal memory access")

    bench, answers = Bench(), io.StringIO()
    monkeypatch.setattr(bench, "synchronise", lost)
    case = {**vars(TINY), "size": list(TINY.size)}
    request = json.dumps({"method": "no_such_method", "case": case, "variant": None}) + "\n"
    worker.serve(bench, io.StringIO(2 * request), answers)
    (answer,) = answers.getvalue().splitlines()
    assert json.loads(answer)["kind"] == "DiedError"
    monkeypatch.undo()
    worker.serve(bench, io.StringIO(2 * request), answers)
    assert len(answers.getvalue().splitlines()) == 1 + 2


def test_a_layer_that_ends_its_process_costs_its_row_alone(monkeypatch):
    labels = [*device.LAYERS]
    program = (
        "import json, os, sys\n"
        "for label in sys.argv[1:]:\n"
        f"    if label == {labels[1]!r}: os._exit(7)\n"
        "    row = {'layer': label}\n"
        f"    print(json.dumps(row | ({{'error': 'x'}} if label == {labels[3]!r} else {{}})), flush=True)\n"
        f"    if label == {labels[3]!r}: os._exit(0)\n"
    )
    started = []

    def command(_, left):
        started.append(left[0])
        return [sys.executable, "-c", program, *left]

    monkeypatch.setattr(device, "_command", command)
    rows = [*device._rows("cuda")]
    assert [row["layer"] for row in rows] == labels
    assert [row["layer"] for row in rows if "error" in row] == [labels[1], labels[3]]
    assert "status 7" in rows[1]["error"]
    assert started == [labels[0], labels[2], labels[4]]


def test_layers_of_a_device_are_measured_by_a_command():
    """Without a device each is an error, which names what is missing."""
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    label = next(iter(device.LAYERS))
    done = subprocess.run(device._command("cuda", [label]), capture_output=True, text=True)
    (line,) = done.stdout.splitlines()
    row = json.loads(line)
    assert (done.returncode, row["layer"]) == (0, label)
    assert re.search("CUDA|NVIDIA", row["error"])


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
def test_memory_is_measured_in_a_process_of_its_own():
    case, returned = Case("W1", Size(100, 32, 512)), 2 * 100 * 32 * 512 * 4 / 2**20
    own = worker.Worker(sys.executable, memory=True)
    try:
        found, _ = own.call("memory", case, table.of("W1")[0])
    finally:
        own.close()
    assert (
        returned < found < 8 * returned
    )  # spikes and gradient, and what the run needs beside them


def test_command_writes_json_and_markdown(tmp_path, capsys):
    arguments = ["--out", str(tmp_path), "--report"]
    command.main(["--list", "--quick", "W3"])
    assert capsys.readouterr().out.startswith("W3 T200 B32 N256: snn_neuromod, bytes")
    results = Results(tmp_path)
    record = {
        "workload": "W3", "label": "T200 B32 N256", "size": {}, "constants": {}, "variant": "snn_neuromod",
        "title": "ours", "same": True, "status": "timed", "seconds": [0.01, 0.02, 0.03], "warm_ups": 3,
        "check": {"rate": 0.1, "cosine": 1.0, "norm": 1.0}, "whole": {"rate": 0.05, "cosine": 0.99, "norm": 1.0},
    }  # fmt: skip
    slow = {**record, "variant": "jax", "title": "JAX", "seconds": [0.05], "compile_s": 1.5}
    absent = {**record, "variant": "norse", "title": "Norse", "status": "skipped", "reason": "gone"}
    where = {
        "date": "2026-01-01", "commit": "abc", "processor": "p", "machine": "m", "capability": "c", "cores": 2,
        "memory_gb": 8, "device": "cpu", "threads": 1, "clock": "processor time", "python": "3.11", "versions": {},
    }  # fmt: skip
    results.add([record, slow, absent], where)
    command.main(arguments)
    text = (tmp_path / "benchmarks.md").read_text()
    assert "| ours | 20 (15 to 25) | 10 | 1 |" in text
    assert "| JAX | 50 | 50 | 5 | 1.5 |" in text
    assert "- Norse: skipped, gone" in text
    assert "1.00000, 0.99000" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["W9"], "names must be among W1"),
        (["--peers", "nobody"], "peers must be among"),
        (["--sizes", "N3"], "--sizes must be part of a label"),
        (["--repeats", "0"], "must be at least 1"),
        (["--python", "jax=/no/such"], "must be PEER=PATH"),
        (["--data", "/no/such"], "--data must be a folder"),
    ],
)
def test_wrong_arguments_are_named(arguments, message, capsys, tmp_path):
    with pytest.raises(SystemExit):
        command.main([*arguments, "--out", str(tmp_path)])
    assert message in capsys.readouterr().err


def test_results_of_another_schema_are_not_overwritten(tmp_path):
    (tmp_path / "benchmarks.json").write_text('{"schema": 0}')
    with pytest.raises(ValueError, match="must have the schema 1, got 0"):
        Results(tmp_path)


def written(fake, tmp_path):
    results = Results(tmp_path)
    driver.run([TINY], results, Options(repeats=2, budget=100, peers=PEERS), lambda line: None)
    return results.path, results.path.read_text()


@pytest.mark.parametrize(
    ("line", "garbled"),
    [
        ('"variant": "plain"', '"variant": "plai'),
        ('"variant": "plain"', '"variant": 3'),
        ('"variant": "plain",', "\0\ufffd"),
        ('"variant": "plain"', '"variant": {'),
    ],
)
def test_a_damaged_record_costs_that_record(fake, tmp_path, line, garbled):
    path, text = written(fake, tmp_path)
    assert text.count(line) == 1
    path.write_text(text.replace(line, garbled))
    with pytest.warns(UserWarning, match=r"1 records of .*benchmarks\.json cannot be read"):
        found = Results(tmp_path)
    assert _statuses(found) == {
        "snn_neuromod": "timed",
        "reference": "refused",
        "snntorch": "failed",
    }
    driver.run([TINY], found, Options(repeats=2, budget=100, peers=PEERS), lambda line: None)
    assert len(Results(tmp_path).records) == 4


@pytest.mark.parametrize("value", ["[]", "[NaN]", '["x"]', "null"])
def test_times_that_are_none_cost_their_record(fake, tmp_path, value):
    path, text = written(fake, tmp_path)
    path.write_text(re.sub(r'"seconds": \[[^]]+\]', f'"seconds": {value}', text, count=1))
    with pytest.warns(UserWarning, match="1 records of"):
        assert len(Results(tmp_path).records) == 3


def test_a_cut_file_of_results_keeps_what_is_whole(fake, tmp_path):
    path, text = written(fake, tmp_path)
    path.write_text(text[: text.index('"variant": "plain"')])
    with pytest.warns(UserWarning, match="1 records of"):
        assert len(Results(tmp_path).records) == 3


@pytest.mark.parametrize("text", ["", "[]", "{", "[" * 100_000, '{"schema": 1}', "\0\xff"])
def test_what_is_no_file_of_results_is_refused(tmp_path, text):
    (tmp_path / "benchmarks.json").write_text(text)
    with pytest.raises(DataError, match=r"benchmarks\.json"):
        Results(tmp_path)


def test_every_variant_is_found_where_the_table_says():
    for variant in table.VARIANTS:
        module, name = variant.build.split(":")
        found = importlib.util.find_spec(f"snn_neuromod.benchmarks.peers.{module}")
        assert found is not None
        source = Path(found.origin).read_text(encoding="utf-8")
        assert f"def {name}(" in source or f"\n{name} = " in source
    assert {case.workload for case in table.CASES} == set(table.WORKLOADS)


def test_the_picture_shows_every_variant_of_the_table(fake, tmp_path):
    assert {v.name for v in table.VARIANTS} == {*picture.MARKS, "snn_neuromod"}
    results = Results(tmp_path)
    assert picture.draw(results, tmp_path, [TINY]) is None
    driver.run([TINY], results, Options(repeats=2, budget=100, peers=PEERS), lambda line: None)
    assert picture.ratios(results, TINY) == {"plain": 1.0}
    drawn = picture.draw(results, tmp_path, [TINY])
    assert drawn.read_bytes().startswith(b"\x89PNG")
