"""Graphs and files that are refused, and in what words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch

from snn_neuromod.errors import ConfigError, DataError
from snn_neuromod.nir import from_nir
from snn_neuromod.nir.reading import file
from tests.nir.graphs import (
    DT,
    N,
    chain,
    ends,
    lif,
)


def unknown() -> Any:
    source, sink = ends(N)
    return chain(source, nir.ir.graph.Identity({"input": np.array([N])}), sink)


@pytest.mark.parametrize(
    ("make", "options", "error", "words"),
    [
        (unknown, {}, DataError, "node 'n0' must be one of Linear, Affine, .* got Identity"),
        (lambda: chain(*ends(N)), {"dt": 0.0}, ConfigError, "dt must be > 0"),
        (lambda: chain(*ends(N)), {"dt": float("nan")}, ConfigError, "dt must be > 0"),
        (
            lambda: chain(ends(N)[0], lif(), ends(N)[1]),
            {},
            ConfigError,
            "dt must be given .* node 'n0' needs",
        ),
        (
            lambda: chain(ends(N)[0], lif(), ends(N)[1]),
            {"dt": 9.0},
            ConfigError,
            "dt must be at most twice",
        ),
        (
            lambda: chain(ends(N)[0], lif(tau=np.zeros(N)), ends(N)[1]),
            {"dt": 0.1},
            DataError,
            "node 'n0' must have tau > 0",
        ),
        (
            lambda: chain(ends(N)[0], lif(r=np.full(N, np.nan)), ends(N)[1]),
            {"dt": 0.1},
            DataError,
            "node 'n0' must have finite parameters, got r",
        ),
        (
            lambda: chain(ends(N)[0], lif(), ends(N)[1]),
            {"dt": 0.1, "learn": ["beta"]},
            ConfigError,
            "learn must name parameters of the graph's neurons, got beta",
        ),
        (
            lambda: chain(*ends(N)),
            {"dt": 0.1, "reset": "hard"},
            ConfigError,
            "reset must be one of value, subtract, got 'hard'",
        ),
        (
            lambda: nir.NIRGraph({"o": ends(N)[1]}, [], type_check=False),
            {},
            DataError,
            "one input, got 0",
        ),
        (lambda: 3, {}, DataError, "graph must be a NIRGraph or a path, got int"),
        (
            lambda: chain(ends(N)[0], nir.Affine(np.ones((N, N)), np.ones(N + 1)), ends(N)[1]),
            {},
            DataError,
            "node 'n0' must fit together, got",
        ),
    ],
)
def test_errors(
    make: Callable[[], Any], options: dict[str, Any], error: type[Exception], words: str
) -> None:
    with pytest.raises(error, match=words):
        from_nir(make(), **options)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "a.nir").write_bytes(b"not a graph")
    with pytest.raises(DataError, match=r"a.nir: .*must be a NIR graph"):
        from_nir(tmp_path / "a.nir", DT)
    with pytest.raises(FileNotFoundError):
        from_nir(tmp_path / "absent.nir", DT)
    nir.write(tmp_path / "b.nir", nir.NIRGraph(dict(zip("ab", ends(N), strict=True)), [("a", "b")]))
    import h5py  # with nir

    with h5py.File(tmp_path / "b.nir", "r+") as file:
        del file["node"]["edges"]
    with pytest.raises(DataError, match=r"b.nir.*must be a NIR graph"):
        from_nir(tmp_path / "b.nir", DT)


def test_files_that_are_damaged_are_named(tmp_path: Path) -> None:
    """HDF5 has no checksums: what still is a graph is one."""
    path = tmp_path / "c.nir"
    nir.write(path, chain(ends(N)[0], lif(), ends(N)[1]))
    whole, said = path.read_bytes(), []
    for place in range(200, 1000, 50):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 255]) + whole[place + 1 :])
        try:
            from_nir(path, DT)
        except DataError as error:
            said.append(str(error))
    assert said
    assert all("c.nir" in message for message in said)


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", "does not survive"),
        ("while True: pass", "cannot be read in"),
    ],
)
def test_what_hdf5_does_not_survive_ends_another_process(
    code: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some damaged files end its library, or keep it for ever; which depends on its version."""
    path = tmp_path / "d.nir"
    nir.write(path, chain(*ends(N)))
    monkeypatch.setattr(file, "_SECONDS", 1.0)
    monkeypatch.setattr(file, "_CODE", code)
    with pytest.raises(DataError, match=rf"d.nir: .*{said}"):
        from_nir(path, DT)


def test_a_folder_is_no_graph(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"must be a NIR graph, got .*Error: .*Is a directory"):
        from_nir(tmp_path, DT)


@pytest.mark.parametrize(("name", "value"), [("executable", None), ("frozen", True)])
def test_a_program_with_its_interpreter_inside_is_not_started_again(
    name: str, value: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "e.nir"
    nir.write(path, chain(*ends(N)))
    monkeypatch.setattr(file.sys, name, value, raising=False)
    monkeypatch.setattr(file.subprocess, "run", None)
    x = torch.ones(2, 1, N)
    assert torch.equal(from_nir(path, DT)(x)[0], x)
    path.write_bytes(b"no")
    with pytest.raises(DataError, match=r"e.nir: from_nir: must be a NIR graph, got"):
        from_nir(path, DT)
