"""The command line of `snn-neuromod` as text: what is wrong with it at first sight, before torch is imported."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lightning_modules.config_files import look_up

__all__ = ["COMMANDS", "mistake", "options"]

COMMANDS = ("fit", "validate", "test", "predict")
"""What trains or uses a network."""


def mistake(args: Sequence[str]) -> str | None:
    """What to say of a command, or of the name of a configuration, that there is not; None where they are there.

    Examples:
        >>> mistake(["fit", "-c", "quickstart"]) is None
        True
        >>> mistake(["train"]).partition(";")[0]
        "the first argument must be one of fit, validate, test, predict, got 'train'"
    """
    if args[0] not in (*COMMANDS, "export", "completion"):
        return (
            f"the first argument must be one of {', '.join(COMMANDS)}, got {args[0]!r}; "
            "for instance: snn-neuromod fit -c quickstart"
        )
    names = (value for key, value, _ in options(args) if key in ("-c", "--config") and value)
    return next((found for found in map(look_up, names) if isinstance(found, str)), None)


def options(args: Sequence[str]) -> Iterator[tuple[str, str, list[str]]]:
    """Options and other arguments in their order: key, value, and how both were given."""
    rest = list(args)
    while rest:
        given = [rest.pop(0)]
        key, equals, value = given[0].partition("=")
        if key.startswith("-") and not equals and rest and not rest[0].startswith("-"):
            value = rest.pop(0)
            given.append(value)
        yield key, value, given
