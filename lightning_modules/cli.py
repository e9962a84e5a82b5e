"""The command `snn-neuromod`: fit, validate, test and predict from configurations, export of a run."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from lightning_modules.cli_arguments import prepare, usage
from lightning_modules.completion import script
from lightning_modules.config_files import listing

__all__ = ["main"]


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: Arguments behind the name of the program; None takes those of the process.

    Raises:
        SystemExit: With 2 if the command line or a configuration is wrong, 1 if the run cannot work (a missing file, a
            network that does not fit its data), 130 after Ctrl-C. Set SNN_NEUROMOD_TRACEBACK=1 for tracebacks.
    """
    args = sys.argv[1:] if args is None else list(args)
    text = _answer(args)
    if text is not None:
        print(text)
        return
    here = str(Path.cwd())
    found = here in sys.path or "" in sys.path
    if not found:
        sys.path.append(here)  # modules of one's own, named in a configuration
    try:
        _run(args)
    finally:
        if not found:
            sys.path.remove(here)


def _answer(args: list[str]) -> str | None:
    """What needs no run, and does not wait for torch."""
    if not args or args[0] in ("-h", "--help", "help"):
        return usage()
    if args[0] == "--version":
        return f"snn-neuromod {metadata.version('snn-neuromod')}"
    if args[0] == "list":
        return listing()
    if args[0] == "completion":
        return script(args[1] if args[1:] else "bash")
    return None


def _run(args: list[str]) -> None:
    from lightning_modules.allocator import keep_freed_memory
    from lightning_modules.cli_messages import is_usage_error, is_user_error, readable
    from lightning_modules.cli_run import CLI, quiet
    from lightning_modules.seeds import run_seeds
    from lightning_modules.suggestions import suggestions

    keep_freed_memory()
    sigint = signal.getsignal(signal.SIGINT)
    debug = bool(os.environ.get("SNN_NEUROMOD_TRACEBACK"))
    with quiet():
        arguments = None
        try:
            if args[0] == "export":
                from lightning_modules.export import export

                export(args[1:])
            elif any(arg.partition("=")[0] == "--seeds" for arg in args):
                run_seeds(args)
            else:
                arguments = prepare(args)
                CLI(arguments.args, arguments.name, arguments.root, args)
        except KeyboardInterrupt as interruption:
            _fail(f"interrupted; {interruption}" if str(interruption) else "interrupted", 130)
        except Exception as error:
            if debug or not is_user_error(error):
                raise
            if not is_usage_error(error):
                _fail(readable(error), 1)
            meant = suggestions(arguments.config, arguments.rest) if arguments else ""
            _fail(f"{readable(error)}{meant}", 2)
        finally:
            signal.signal(signal.SIGINT, sigint)  # Lightning leaves Ctrl-C disabled


def _fail(message: str, code: int) -> None:
    print(f"snn-neuromod: error: {message}", file=sys.stderr)
    raise SystemExit(code)
