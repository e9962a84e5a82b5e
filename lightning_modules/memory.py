"""What would not fit into the memory of the machine, refused before it is asked for."""

from __future__ import annotations

import math
import os

from snn_neuromod.errors import ConfigError

__all__ = ["refuse_larger", "words"]


def refuse_larger(who: str, what: str, needed: int, fix: str) -> None:
    """Refuse what needs more memory than there is.

    Args:
        who: Class that would make it.
        what: What it is.
        needed: Its bytes.
        fix: What to do.

    Raises:
        ConfigError: If it is more than the machine has.
    """
    there = _memory()
    if needed > there:
        raise ConfigError(
            f"{who}: {what} must fit into the {words(there)} of this machine, got {words(needed)}; {fix}"
        )


def words(size: float) -> str:
    """A number of bytes for people.

    Examples:
        >>> words(156_800_000_000), words(1e21)
        ('157 GB', '1e+12 GB')
    """
    return f"{size / 1e9:.3g} GB"


def _memory() -> float:
    """Bytes of the machine, inf where the system does not say."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return math.inf
