"""What the pages say of accuracies agrees: results, README, headers of configurations and the log of 42 neurons."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

if importlib.util.find_spec("pytorch_lightning") is None:
    pytest.skip("pytorch_lightning is not installed", allow_module_level=True)

from docs.studies.mnist_42.grid import open_log, table

ROOT = Path(__file__).parents[1]
STUDY = ROOT / "docs" / "studies" / "mnist_42"
TABLE = (STUDY / "tables.md").read_text(encoding="utf-8")
PAGES = {
    "README": (ROOT / "README.md").read_text(encoding="utf-8"),
    "results": (ROOT / "docs" / "results.md").read_text(encoding="utf-8"),
    "42 neurons": TABLE,
}
ACCURACY = re.compile(r"(\d+\.\d+) %(?: \((\d+\.\d+) to (\d+\.\d+)\))?")


def rows(text: str) -> dict[str, list[str]]:
    """First accuracy of each row, with its range if it has one, by configuration and options."""
    found = re.findall(r"^\| `((?:mnist|nmnist)/[^`]*)` \|(.*)\|$", text, re.MULTILINE)
    shown = {name: ACCURACY.search(cells) for name, cells in found}
    return {name: [part for part in match.groups() if part] for name, match in shown.items() if match}  # fmt: skip


MEASURED = rows(PAGES["results"]) | rows(TABLE)


def test_the_table_is_that_of_the_log() -> None:
    assert table(open_log(STUDY / "epochs.csv").read()) + "\n" == TABLE


@pytest.mark.parametrize("page", PAGES)
def test_rows_name_configurations_there_are(page: str) -> None:
    found = rows(PAGES[page])
    assert found
    for name in found:
        assert (ROOT / "configs" / f"{name.split()[0]}.yaml").is_file(), name


def test_no_network_has_two_results() -> None:
    assert not rows(PAGES["results"]).keys() & rows(TABLE).keys()


def test_the_readme_rounds_the_same_numbers() -> None:
    for name, short in rows(PAGES["README"]).items():
        for here, there in zip(short, MEASURED[name], strict=True):
            assert abs(float(here) - float(there)) < 0.0501, name


def test_headers_of_configurations_say_the_same() -> None:
    checked = 0
    for name, (mean, *_) in MEASURED.items():
        if " " in name:
            continue
        header = (ROOT / "configs" / f"{name}.yaml").read_text(encoding="utf-8")
        said = re.search(r"^# Measured: (\d+\.\d+) %", header, re.MULTILINE)
        if said:
            assert said[1] == mean, name
            checked += 1
    assert checked > 5
