"""The package's own exceptions."""

from __future__ import annotations

import pickle
import re
from pathlib import Path

import pytest

from snn_neuromod.errors import (
    ConfigError,
    DataError,
    KindError,
    RunError,
    SnnNeuromodError,
    StorageError,
)

ROOT = Path(__file__).parents[1]
# What these raise cannot be a user's: the layers have checked it before.
INTERNAL = ("kernels/fusion/", "kernels/backends/c/")


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ConfigError, ValueError),
        (KindError, ValueError),
        (KindError, TypeError),
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


@pytest.mark.parametrize("package", ["snn_neuromod", "lightning_modules"])
def test_what_a_user_can_mend_is_raised_as_a_class_of_the_package(package: str) -> None:
    found = [
        path.relative_to(ROOT / package).as_posix()
        for path in sorted((ROOT / package).rglob("*.py"))
        if re.search(
            r"^\s*(raise|return) (ValueError|TypeError)\(", path.read_text(encoding="utf-8"), re.M
        )
    ]
    assert [path for path in found if not path.startswith(INTERNAL)] == []
