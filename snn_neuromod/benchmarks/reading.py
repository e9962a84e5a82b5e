"""Reading of a file of results, of which a damaged record costs that record and no other."""

from __future__ import annotations

import json
import math
import re
import warnings
from pathlib import Path
from typing import Any

from snn_neuromod.errors import DataError

__all__ = ["Record", "read_results"]

Record = dict[str, Any]

_RESULTS = '\n "results": [\n'  # as `json.dumps` with an indentation of 1 writes it
_TEXTS = ("workload", "label", "variant", "title", "status")


def read_results(path: Path, schema: int) -> tuple[list[Record], list[Record]]:
    """Environments and records of a file.

    Args:
        path: The file.
        schema: The schema that it must have.

    Returns:
        environments: What is recorded of machines, in the order to which records refer.
        records: Those that can be read; a warning says if there are others.

    Raises:
        OSError: If the file cannot be read.
        DataError: If it is of another schema, or its part before the records is damaged.
    """
    content = _content(path)
    if content.get("schema") != schema:
        raise DataError(
            f"benchmarks: {path} must have the schema {schema}, got {content.get('schema')}; choose another folder",
            path,
        )
    environments: Any = content.get("environments")
    given: Any = content.get("results")
    if not (_records(environments) and isinstance(given, list)):
        raise DataError("must hold environments and results; choose another folder", path)
    records = [record for record in given if _is_whole(record, len(environments))]
    if lost := len(given) - len(records):
        warnings.warn(
            f"benchmarks: {lost} records of {path} cannot be read and are left out", stacklevel=3
        )
    return environments, records


def _content(path: Path) -> Record:
    """The file's mapping; where it is no JSON, with None for each record that cannot be read."""
    text = path.read_text("utf-8", "replace")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):
        head, _, tail = text.partition(_RESULTS)
        try:
            content = json.loads(head.rstrip().removesuffix(",") + "}")
        except (ValueError, RecursionError) as error:
            raise DataError(f"must be JSON as the benchmarks write it ({error})", path) from None
        content["results"] = [_record(block) for block in re.split(r"^  \{$", tail, flags=re.M)[1:]]
    if not isinstance(content, dict):
        raise DataError("must be JSON as the benchmarks write it", path)
    return content


def _record(block: str) -> Any:
    try:
        return json.loads("{" + re.split(r"^  \},?$", block, flags=re.M)[0] + "}")
    except (ValueError, RecursionError):
        return None


def _records(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(one, dict) and isinstance(one.get("versions"), dict) for one in value
    )


def _is_whole(record: Any, environments: int) -> bool:
    """Whether a record has what every reader of results takes for granted."""
    if not (isinstance(record, dict) and all(isinstance(record.get(k), str) for k in _TEXTS)):
        return False
    if record.get("environment") not in range(environments):
        return False
    if record["status"] != "timed":
        return True
    seconds = record.get("seconds")
    return (
        isinstance(record.get("check"), dict)
        and isinstance(record.get("same"), bool)
        and isinstance(seconds, list)
        and bool(seconds)
        and all(isinstance(s, int | float) and math.isfinite(s) and s >= 0 for s in seconds)
    )
