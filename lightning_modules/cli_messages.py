"""One readable message for an error of the user, instead of a parser's or a trainer's own account."""

from __future__ import annotations

import dis
import os
import re

import torch
from jsonargparse import ArgumentError
from lightning_fabric.utilities.exceptions import MisconfigurationException

from lightning_modules.memory import words
from snn_neuromod.errors import ConfigError, SnnNeuromodError

__all__ = ["exit_code", "readable"]

_PARSER = re.compile(r"^(?:Parser key|Problem with given class_path) [\"']([^\"']*)[\"']:")
_NOISE = re.compile(
    r"^(Expected a (path but|dot import path|NoneType)|Given value|Subtypes:|Errors:|Does not validate|"
    r"Subclasses are disabled for|$)"
)
_CALLABLE = re.compile(
    r"Type (?:collections\.abc|typing)\.Callable\[.*\] expects a function or a callable class: "
)
_DUMPED = re.compile(r"\. Got value: (Namespace\(.*)?$")
_CLASS = re.compile(r"<class '(?:[\w.]*\.)?(\w+)'>")
_BY_THE_SYSTEM = ("DefaultCPUAllocator: can't allocate memory", "embedded null byte")
"""In what PyTorch says of memory on a CPU, and Python of the name of a file, which have no class of their own."""
_ALLOCATION = re.compile(r"DefaultCPUAllocator: .*you tried to allocate (\d+) bytes")
_NESTED = re.compile(r"NestedArg\(key='[^']*', val=(.*)\)$")


def readable(error: BaseException | str) -> str:
    r"""Shorten the message of an error to where it arose and what is wrong.

    jsonargparse reports a value that fits none of several types as a nested list of all attempts, each with the whole
    value. Kept are the keys on the way and the innermost complaints.

    Args:
        error: The error or its message.

    Returns:
        Usually one line.

    Examples:
        >>> readable('Parser key "trainer.max_epochs":\n  Does not validate against any of the Union subtypes\n'
        ...     "  Subtypes: [int, NoneType]\n  Errors:\n    - Expected a <class 'int'>\n"
        ...     "    - Expected a <class 'NoneType'>\n  Given value type: <class 'str'>\n  Given value: many")
        'trainer.max_epochs: expected a int; got many'
    """
    text = str(error).strip() or type(error).__name__
    if text.startswith("Caught ") and "Original Traceback" in text:  # of a process that loads data
        text = text.splitlines()[-1].partition(": ")[2]
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        return f"{os.fsdecode(error.filename)}: {error.strerror}"
    if asked := _ALLOCATION.search(text):
        return f"there is too little memory for {words(int(asked[1]))} at once"
    if not re.search(r"Parser key|Does not validate|Problem with", text):
        return text
    keys: list[str] = []
    complaints: list[str] = []
    given = ""
    for raw in text.splitlines():
        line = _CALLABLE.sub("", raw.strip().removeprefix("- ").strip())
        line = _CLASS.sub(r"\1", _DUMPED.sub("", line))
        match = _PARSER.match(line)
        if match:
            if line.startswith("Parser key"):
                keys.append(match[1])
            line = line[match.end() :].strip()
        elif line.startswith("Given value: ") and len(line) < 80 and "Namespace(" not in line:
            given = given or _NESTED.sub(r"\1", line.removeprefix("Given value: "))
        if line and not _NOISE.match(line) and line not in complaints:
            complaints.append(line)
    where = ".".join(key for key in keys if key)
    named = re.search(r"Expected a dot import path string: (.*)", text)
    nothing = f"expected a class or a function; got {named[1]}" if named else text.splitlines()[0]
    what = "; ".join(complaints) or nothing
    what = what.replace("; Expected a ", " or a ")
    if given and "ot value: " not in what and given not in what:
        what = f"{what}; got {given}"
    return f"{where}: {what[0].lower()}{what[1:]}" if where else what


def exit_code(error: BaseException) -> int | None:
    """With what the program ends: 2 if the command line or a configuration is wrong, 1 if what they name is.

    None for an error that is not the user's to mend. The user's are this package's own classes, what the system says of
    files and memory, missing packages, and what Lightning itself says of its settings, also where it finds them wrong
    in the middle of a run. A ValueError or a TypeError that is none of those is a fault of this package.
    """
    if isinstance(error, ArgumentError | ConfigError):
        return 2
    system = (OSError, ImportError, MemoryError, torch.OutOfMemoryError)
    users = isinstance(error, (SnnNeuromodError, MisconfigurationException, *system))
    known = any(words in str(error) for words in _BY_THE_SYSTEM)
    return 1 if users or known or _by_lightning(error) else None


def _by_lightning(error: BaseException) -> bool:
    """Whether Lightning's own code raised the error, as it refuses what does not fit together."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    if place is None or not isinstance(error, ValueError | RuntimeError):
        return False
    module = place.tb_frame.f_globals.get("__name__", "").partition(".")[0]
    # Of a function in C that Lightning calls, PyTorch's among them, the traceback ends in Lightning's code too.
    raised = place.tb_frame.f_code.co_code[place.tb_lasti] == dis.opmap["RAISE_VARARGS"]
    return raised and module in ("pytorch_lightning", "lightning_fabric")
