"""The table "One thing, one name" of the glossary: every name in it is an argument of that form."""

from __future__ import annotations

import inspect
import re
from pathlib import Path

import pytest

import snn_neuromod as nm
from snn_neuromod import norse, snntorch
from snn_neuromod.norse.recipes import Options

PAGE = Path(__file__).parents[1] / "docs" / "glossary.md"


def arguments(form) -> set[str]:
    """Names of the arguments of all public classes of a form, and of Norse's parameters."""
    found: set[str] = set()
    for name in dir(form):
        made = getattr(form, name)
        if name.startswith("_") or not inspect.isclass(made) or issubclass(made, Warning):
            continue
        found |= set(getattr(made, "_fields", ()))
        found |= set(inspect.signature(made).parameters)
    return found | (set(Options.__annotations__) if form is norse else set())


def rows(title: str) -> list[list[str]]:
    table = PAGE.read_text(encoding="utf-8").partition(title)[2].partition("\n\n")[0]
    return [line.strip("|").split("|") for line in table.splitlines()[2:]]


@pytest.mark.parametrize(
    ("column", "form"), [(1, nm), (2, snntorch), (3, norse)], ids=["layers", "snntorch", "norse"]
)
def test_each_form_has_the_names_of_its_column(column, form) -> None:
    known = arguments(form)
    found = [name for row in rows("two names:\n\n") for name in re.findall(r"`(\w+)`", row[column])]
    assert len(found) > 7
    assert [name for name in found if name not in known] == []


def test_names_that_mean_two_things() -> None:
    found = {
        name for row in rows("means two things:\n\n") for name in re.findall(r"`(\w+)`", row[0])
    }
    known = arguments(nm) | {"decay"}
    assert {"beta", "alpha", "rho", "z", "delay"} <= found <= known
