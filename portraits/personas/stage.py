"""The stage of a build that finds the personas: groups of similar visitors with ids and names that stay.

Groups are found in a sample of at most SAMPLE visitors; everybody is then placed a row group at a time. The search
starts from where last night's personas lie, and a group keeps the id of the persona whose people it has, as last
night's centres would part tonight's visitors (the pairing with most overlap). A persona that is gone takes its id with
it. An app with fewer than VISITORS visitors gets no personas, and no persona has fewer than PRIVATE members: a name for
very few people is a name for a person.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from portraits.draft import Draft
from portraits.personas import traits
from portraits.personas.grouping import assign, group, match, silhouette
from portraits.personas.naming import CLEAR, Name, Profile, name_all
from portraits.personas.record import Apart, Persona, Personas
from portraits.personas.traits import TRAITS, Space

Array = npt.NDArray[Any]

VISITORS = 50
PRIVATE = 10
FLOOR = 0.02
"""Share of the visitors that a new persona must have."""
SAMPLE = 100_000
SAME = 0.3
"""Least overlap (Jaccard) of a group with a persona of last night whose id it takes."""
LEAST_APART, MOST_APART = 3, 5
"""Traits told of a persona: what is clear, and the strongest few of a group that is much like everyone."""
NAMES = tuple(trait.field for trait in TRAITS)
COLUMNS = pa.schema(
    [
        ("persona", pa.string()),
        ("persona_name", pa.string()),
        ("persona_name_zh", pa.string()),
        ("persona_fit", pa.float64()),
    ]
)
TOO_FEW = (f"fewer than {VISITORS} visitors", f"访客少于{VISITORS}人")
ALIKE = ("the visitors do not fall into groups of enough people", "访客之间没有形成人数足够的群体")


def find_personas(draft: Draft) -> pa.Table:
    """Columns persona, persona_name, persona_name_zh and persona_fit; writes `personas.json` beside the portraits."""
    last = Personas.open(draft.previous.path) if draft.previous else None
    if last is not None and last.traits != NAMES:
        last = None
    file = pq.ParquetFile(draft.features)
    sample = _sample(file, draft.settings.seed)
    if len(sample) < VISITORS:
        return _nobody(draft, file, last, TOO_FEW)
    space = Space.of(sample)
    centres, stability = _centres(sample, space, file.metadata.num_rows, draft.settings.seed, last)
    if centres is None:
        return _nobody(draft, file, last, ALIKE)
    groups, fit, tally = _place(file, space, centres)
    if tally.size.min() < PRIVATE:
        return _nobody(draft, file, last, ALIKE)
    ids = _ids(sample, space, centres, last)
    personas = _described(ids, tally, space.unscaled(centres), last)
    _record(personas, stability, None, last).save(draft.folder)
    told = {persona.id: persona for persona in personas}
    by_group = [told[persona] for persona in ids]
    columns = [
        pa.array([getattr(persona, name) for persona in by_group]).take(groups) for name in ("id", "name_en", "name_zh")
    ]
    return pa.table([*columns, fit], schema=COLUMNS)


def _sample(file: pq.ParquetFile, seed: int) -> pa.Table:
    """Rows of at most SAMPLE visitors, in their order."""
    total = file.metadata.num_rows
    chosen = np.arange(total)
    if total > SAMPLE:
        chosen = np.sort(np.random.default_rng(seed).choice(total, SAMPLE, replace=False))
    parts, start = [], 0
    for rows in _rows(file):
        inside = chosen[(chosen >= start) & (chosen < start + len(rows))] - start
        parts.append(rows.take(pa.array(inside)))
        start += len(rows)
    return pa.concat_tables(parts) if parts else file.schema_arrow.empty_table().select(list(traits.FIELDS))


def _rows(file: pq.ParquetFile) -> Iterator[pa.Table]:
    for number in range(file.num_row_groups):
        yield file.read_row_group(number, list(traits.FIELDS))


def _centres(
    sample: pa.Table, space: Space, total: int, seed: int, last: Personas | None
) -> tuple[Array | None, float | None]:
    floor = max(FLOOR, 2 * PRIVATE / total)  # a group already there may be half as large: still PRIVATE
    start = space.scaled(_last_centres(last)) if last is not None and last.personas else None
    found = group(space.place(sample), floor, seed, start)
    return (found.centres, found.stability) if found else (None, None)


def _last_centres(last: Personas) -> Array:
    return np.array([persona.centre for persona in last.personas])


def _ids(sample: pa.Table, space: Space, centres: Array, last: Personas | None) -> list[str]:
    """The id of each group: last night's where it has the same people, new ones in the order of size."""
    points = space.place(sample)
    own, k = assign(points, centres), len(centres)
    taken: dict[int, int] = {}
    if last is not None and last.personas:
        before = assign(points, space.scaled(_last_centres(last)))
        taken = match(before, own, len(last.personas), k, SAME)
    ids = {group: last.personas[n].id for group, n in taken.items()} if last is not None else {}
    sizes = np.bincount(own, minlength=k)
    new = sorted((n for n in range(k) if n not in ids), key=lambda n: (-sizes[n], n))
    first = (last.last_id if last is not None else 0) + 1
    ids |= {n: f"p{first + place}" for place, n in enumerate(new)}
    return [ids[n] for n in range(k)]


@dataclass(slots=True)
class _Tally:
    """Sums over the members of each group (rows); by trait (columns) where there are two dimensions."""

    size: Array
    buyers: Array
    repeats: Array
    once: Array
    points: Array
    sums: Array
    known: Array

    @classmethod
    def empty(cls, k: int) -> _Tally:
        flat, wide = (k,), (k, len(TRAITS))
        return cls(*(np.zeros(flat) for _ in range(4)), *(np.zeros(wide) for _ in range(3)))

    def add(self, rows: pa.Table, points: Array, groups: Array) -> None:
        told = np.column_stack([traits.told(rows, trait) for trait in TRAITS])
        orders, visits = traits.column(rows, "orders"), traits.column(rows, "visits")
        for n in range(len(self.size)):
            own = groups == n
            self.size[n] += own.sum()
            self.buyers[n] += (own & (orders > 0)).sum()
            self.repeats[n] += (own & (orders > 1)).sum()
            self.once[n] += (own & (visits <= 1)).sum()
            self.points[n] += points[own].sum(axis=0)
            self.sums[n] += np.nansum(told[own], axis=0)
            self.known[n] += (~np.isnan(told[own])).sum(axis=0)

    def profiles(self) -> list[Profile]:
        away = self.points / self.size[:, None] - self.points.sum(axis=0) / self.size.sum()
        shares = np.stack([self.buyers, self.repeats, self.once]) / self.size
        return [
            Profile(buyers, repeats, once, dict(zip(NAMES, map(float, away[n]), strict=True)))
            for n, (buyers, repeats, once) in enumerate(shares.T.tolist())
        ]

    def apart(self, n: int, profile: Profile) -> tuple[Apart, ...]:
        everyone = self.sums.sum(axis=0) / np.maximum(self.known.sum(axis=0), 1)
        own = self.sums[n] / np.maximum(self.known[n], 1)
        ordered = sorted(range(len(TRAITS)), key=lambda t: (-abs(profile.away[NAMES[t]]), t))
        return tuple(
            Apart(
                field=TRAITS[t].field,
                per=TRAITS[t].per,
                direction="high" if profile.away[NAMES[t]] > 0 else "low",
                segment=round(float(own[t]), 4),
                everyone=round(float(everyone[t]), 4),
                distance=round(profile.away[NAMES[t]], 3),
            )
            for place, t in enumerate(ordered[:MOST_APART])
            if (abs(profile.away[NAMES[t]]) >= CLEAR or place < LEAST_APART) and self.known[n][t] > 0
        )


def _place(file: pq.ParquetFile, space: Space, centres: Array) -> tuple[pa.Array, pa.Array, _Tally]:
    """Everybody's group and fit, and the sums of the groups, a row group at a time."""
    tally = _Tally.empty(len(centres))
    groups, fits = [], []
    for rows in _rows(file):
        points = space.place(rows)
        own = assign(points, centres)
        tally.add(rows, points, own)
        groups.append(own)
        fits.append(np.round(silhouette(points, centres), 4))
    return pa.array(np.concatenate(groups)), pa.array(np.concatenate(fits)), tally


def _described(ids: list[str], tally: _Tally, centres: Array, last: Personas | None) -> list[Persona]:
    """The personas in the order of their ids, with names."""
    before = {persona.id: (persona.head, persona.modifiers) for persona in last.personas} if last else {}
    order = sorted(range(len(ids)), key=lambda n: int(ids[n][1:]))
    profiles = tally.profiles()
    names = name_all([profiles[n] for n in order], [before.get(ids[n]) for n in order])
    return [_persona(n, ids[n], name, tally, centres[n]) for n, name in zip(order, names, strict=True)]


def _persona(n: int, persona: str, name: Name, tally: _Tally, centre: Array) -> Persona:
    size, profile = int(tally.size[n]), tally.profiles()[n]
    return Persona(
        id=persona,
        name_en=name.en,
        name_zh=name.zh,
        size=size,
        share=round(size / float(tally.size.sum()), 4),
        apart=tally.apart(n, profile),
        head=name.head,
        modifiers=name.modifiers,
        centre=tuple(map(float, centre)),
    )


def _record(
    personas: list[Persona], stability: float | None, reason: tuple[str, str] | None, last: Personas | None
) -> Personas:
    used = {persona.id for persona in personas}
    gone = {persona.id for persona in last.personas if persona.id not in used} if last else set()
    retired = sorted({*(last.retired if last else ()), *gone}, key=lambda name: int(name[1:]))
    return Personas(
        personas=tuple(personas),
        traits=NAMES,
        stability=None if stability is None else round(stability, 3),
        reason_en=reason[0] if reason else None,
        reason_zh=reason[1] if reason else None,
        retired=tuple(retired),
        last_id=max([last.last_id if last else 0, *(int(name[1:]) for name in used)]),
    )


def _nobody(draft: Draft, file: pq.ParquetFile, last: Personas | None, reason: tuple[str, str]) -> pa.Table:
    """Columns of nulls, and the reason in the record."""
    _record([], None, reason, last).save(draft.folder)
    rows = file.metadata.num_rows
    return pa.table([pa.nulls(rows, field.type) for field in COLUMNS], schema=COLUMNS)
