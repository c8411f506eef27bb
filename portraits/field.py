"""What a column of the portrait is: plain data, so that the day can read it without any engine."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any


@dataclass(frozen=True, slots=True)
class Field:
    """One field of the portrait.

    dtype is an Ibis type; minimum and maximum bound its values, `values` lists them where they are words. `empty` is
    the value of a visitor of whom nothing is known. `clock`: null where the history has no real time. `source`: lake
    tables, or fields, that it is made from.
    """

    name: str
    family: str
    dtype: str
    unit: str
    minimum: float | None
    maximum: float | None
    values: tuple[str, ...]
    empty: Any
    clock: bool
    source: str
    meaning: str

    @property
    def is_list(self) -> bool:
        """Whether the field holds a list of evidence; row-level features do not see it."""
        return self.dtype.startswith("array")

    def to_dict(self) -> dict[str, Any]:
        """For a manifest; `from_dict` reads it back."""
        return {name: value for name, value in asdict(self).items() if name in _PLAIN}

    @classmethod
    def from_dict(cls, told: dict[str, Any]) -> Field:
        """A field as a manifest tells it."""
        return cls(**{**told, "values": tuple(told["values"])})


_PLAIN = tuple(field.name for field in fields(Field))
