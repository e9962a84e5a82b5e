"""The package's own exceptions."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from snn_neuromod.errors import ConfigError, DataError, RunError, SnnNeuromodError, StorageError


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigError, ValueError),
        (DataError, ValueError),
        (RunError, RuntimeError),
        (StorageError, OSError),
    ],
)
def test_each_is_also_the_builtin_that_fits(
    kind: type[SnnNeuromodError], builtin: type[Exception]
) -> None:
    assert issubclass(kind, SnnNeuromodError)
    assert issubclass(kind, builtin)
    assert str(kind("what is wrong")) == "what is wrong"  # as a worker of a loader raises it again


def test_a_data_error_names_its_file_once() -> None:
    path = Path("a") / "b.bin"
    assert str(DataError("must be whole", path)) == f"{path}: must be whole"
    assert str(DataError(f"{path} must be whole", path)) == f"{path} must be whole"
    again = pickle.loads(pickle.dumps(DataError("must be whole", path)))
    assert (str(again), again.path) == (f"{path}: must be whole", path)
