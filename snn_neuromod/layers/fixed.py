"""Attributes that a module is built with for good."""

from __future__ import annotations

from typing import Any, ClassVar


class Fixed:
    """Refuses to change the attributes named in `fixed` once they are set.

    What they say is built into tensors or groups of a module when it is made, and would go on as it was.
    """

    fixed: ClassVar[frozenset[str]] = frozenset()

    def __setattr__(self, name: str, value: Any) -> None:
        if name in self.fixed and name in self.__dict__:
            raise AttributeError(
                f"{type(self).__name__}: {name} cannot be changed, it is {self.__dict__[name]!r}; make a new one"
            )
        super().__setattr__(name, value)
