"""The command `snn-neuromod`: fit, validate, test and predict from configurations, export of a run."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import NoReturn

from lightning_modules.command_line import mistake
from lightning_modules.config_files import available_configs, listing

__all__ = ["main"]

_HELP = """usage: snn-neuromod COMMAND -c CONFIG [--KEY VALUE ...]

  fit       train a network, then report its accuracy on held-out data
  validate  accuracy on the validation data of a checkpoint
  test      accuracy on the test data of a checkpoint
  predict   classes of the test data, written to a CSV file; of speech, to label files
  list      all configurations, with what was measured
  export    snn-neuromod export RUN --format nir|onnx: the network of a run for other tools

  -c CONFIG            a file, or one of the names below; several are laid over one another
  --KEY VALUE          overrides one value, for instance --trainer.max_epochs 3
  --ckpt_path PATH     a checkpoint or the folder of a run; "last" is the newest run of the configuration
  --seeds 0,1,2        fit: one run for each seed, then mean and range; goes on where it was stopped
  --input FOLDER       predict: PNG images or wav files in the place of the test data
  --print_config       print the whole configuration and stop
  snn-neuromod fit --help   all options
  snn-neuromod completion bash|zsh   a script that lets the tab key complete; --version

configurations: {}
"""


def main(args: Sequence[str] | None = None) -> None:
    """Run the command line.

    Args:
        args: Arguments behind the name of the program; None takes those of the process.

    Raises:
        SystemExit: With 2 if the command line or a configuration is wrong, 1 if the run cannot work (a missing or
            damaged file, a checkpoint of another network), 130 after Ctrl-C. Set SNN_NEUROMOD_TRACEBACK=1 for
            tracebacks.
    """
    args = sys.argv[1:] if args is None else list(args)
    text = _answer(args)
    if text is not None:
        print(text)
        return
    if wrong := mistake(args):
        _fail(wrong, 2)
    try:
        here = str(Path.cwd())
    except FileNotFoundError:
        _fail("the working folder must exist, it has been removed", 1)
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
        return _HELP.format(", ".join(available_configs()))
    if args[0] == "--version":
        return f"snn-neuromod {metadata.version('snn-neuromod')}"
    if args[0] == "list":
        return listing()
    return None


def _run(args: list[str]) -> None:
    from lightning_modules.cli_arguments import prepare
    from lightning_modules.cli_messages import exit_code, readable
    from lightning_modules.cli_run import CLI
    from lightning_modules.quiet import quiet
    from lightning_modules.seeds import run_seeds
    from lightning_modules.suggestions import suggestions

    _keep_freed_memory()
    sigint = signal.getsignal(signal.SIGINT)
    debug = bool(os.environ.get("SNN_NEUROMOD_TRACEBACK"))
    with quiet():
        arguments = None
        try:
            if args[0] == "export":
                from lightning_modules.export import export

                export(args[1:])
            elif args[0] == "completion":
                from lightning_modules.completion import script

                print(script(args[1] if args[1:] else "bash"))
            elif any(arg.partition("=")[0] == "--seeds" for arg in args):
                run_seeds(args)
            else:
                arguments = prepare(args)
                CLI(arguments, args)
        except KeyboardInterrupt as interruption:
            _fail(f"interrupted; {interruption}" if str(interruption) else "interrupted", 130)
        except Exception as error:
            code = exit_code(error)
            if debug or code is None:
                raise
            wrong = arguments if code == 2 else None
            meant = suggestions(wrong.config, wrong.rest) if wrong else ""
            _fail(f"{readable(error)}{meant}", code)
        finally:
            signal.signal(signal.SIGINT, sigint)  # Lightning leaves Ctrl-C disabled


def _keep_freed_memory() -> None:
    """Let the process reuse the memory of freed tensors instead of returning it to the system.

    By default glibc maps every large tensor anew, and the first touch of each page costs more than the arithmetic: a
    training step allocates the same large sequences over and over.
    """
    trim_threshold, mmap_max = -1, -4
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):  # another C library
        return
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)


def _fail(message: str, code: int) -> NoReturn:
    print(f"snn-neuromod: error: {message}", file=sys.stderr)
    raise SystemExit(code)
