"""What a night knows of its personas: the file `personas.json` of a portrait set, read without any engine."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

FILE = "personas.json"
FORMAT = 1


@dataclass(frozen=True, slots=True)
class Apart:
    """One thing that sets a persona apart: the average of a field (counted by `per` where given) in the persona and
    over everyone of whom it is known. direction: high or low; distance: in standard deviations of the app."""

    field: str
    per: str | None
    direction: str
    segment: float
    everyone: float
    distance: float


@dataclass(frozen=True, slots=True)
class Persona:
    """A group of similar visitors. head and modifiers: the parts of its name (see `naming`), strongest first; centre:
    where it lies, each trait as compared, so that the next night can begin from there."""

    id: str
    name_en: str
    name_zh: str
    size: int
    share: float
    apart: tuple[Apart, ...]
    head: str
    modifiers: tuple[str, ...]
    centre: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Personas:
    """All personas of one night, by id. stability: 0 to 1, how well the weakest one comes out again when visitors are
    drawn anew; below 0.6 the groups are a way to look at the visitors, not a finding. reason: why there are none.
    traits: what a centre's numbers are. retired: ids that were in use once and never come back; last_id: the highest.
    """

    personas: tuple[Persona, ...]
    traits: tuple[str, ...]
    stability: float | None
    reason_en: str | None
    reason_zh: str | None
    retired: tuple[str, ...]
    last_id: int

    def save(self, folder: Path) -> None:
        """Writes FILE."""
        text = json.dumps({"format": FORMAT, **asdict(self)}, ensure_ascii=False, indent=1)
        (folder / FILE).write_text(text, encoding="utf-8")

    @classmethod
    def open(cls, folder: Path) -> Personas | None:
        """The personas of a portrait set's folder; None where it was built without any or by another version."""
        path = folder / FILE
        read: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        if read.pop("format", None) != FORMAT:
            return None
        personas = tuple(_persona(told) for told in read.pop("personas"))
        tuples: dict[str, Any] = {name: tuple(read.pop(name)) for name in ("traits", "retired")}
        return cls(personas=personas, **tuples, **read)


def _persona(told: dict[str, Any]) -> Persona:
    apart = tuple(Apart(**entry) for entry in told.pop("apart"))
    tuples: dict[str, Any] = {name: tuple(told.pop(name)) for name in ("modifiers", "centre")}
    return Persona(apart=apart, **tuples, **told)
