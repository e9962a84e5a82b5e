"""Memory allocator settings for training on a CPU."""

from __future__ import annotations

import ctypes
import sys

_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4
_KEEP = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the process reuse the memory of freed tensors instead of returning it to the system.

    By default glibc maps every large tensor anew, and the first touch of each page costs more than the arithmetic: a
    training step allocates the same large sequences over and over. The process keeps its peak memory until it ends.

    Returns:
        Whether the settings took effect; False where the C library is not glibc.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False
    return bool(mallopt(_M_MMAP_MAX, 0)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEEP))
