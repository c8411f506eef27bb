"""Personas: planted groups are found, ids and names stay from night to night, very small groups are told of nobody."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import planted_people as planted
import pyarrow as pa
import pytest
from sklearn.metrics import adjusted_rand_score

from portraits.build import fields, past_of
from portraits.dictionary import FIELDS
from portraits.engine import connect
from portraits.features import REGISTRY
from portraits.importing import import_file
from portraits.lake import Lake
from portraits.personas.grouping import FEWEST, MOST, Grouping, choose
from portraits.personas.record import FILE, Personas
from portraits.personas.stage import COLUMNS, PRIVATE, find_personas
from portraits.personas.traits import TRAITS
from portraits.portrait_set import PortraitSet
from portraits.sample import history
from portraits.settings import AppSettings
from portraits.words import in_words

SIZES = {"guests": 500, "regulars": 120, "hunters": 100, "premium": 80}


def night(
    folder: Path, people: dict[str, dict[str, Any]] | pa.Table, previous: PortraitSet | None = None, **options: int
) -> tuple[dict[str, dict[str, Any]], Personas, PortraitSet]:
    """(what the stage says of each visitor, the record, the set) of one night."""
    rows = people if isinstance(people, pa.Table) else planted.table(people)
    columns = find_personas(planted.draft(folder, rows, previous, **options))
    record = Personas.open(folder)
    assert record is not None
    assert columns.schema == COLUMNS
    return dict(zip(rows["user_id"].to_pylist(), columns.to_pylist(), strict=True)), record, planted.as_set(folder)


def agreement(people: dict[str, dict[str, Any]], found: dict[str, dict[str, Any]]) -> float:
    """Adjusted Rand index of the planted kinds and the personas."""
    users = sorted(people)
    return float(adjusted_rand_score([people[u]["kind"] for u in users], [found[u]["persona"] for u in users]))


def kept(before: dict[str, dict[str, Any]], after: dict[str, dict[str, Any]]) -> float:
    """Share of the visitors of both nights whose persona stayed."""
    both = before.keys() & after.keys()
    return sum(before[user]["persona"] == after[user]["persona"] for user in both) / len(both)


def names(record: Personas) -> dict[str, tuple[str, str]]:
    return {persona.id: (persona.name_en, persona.name_zh) for persona in record.personas}


def test_planted_groups_are_recovered(tmp_path: Path) -> None:
    people = planted.people(SIZES)
    found, record, _ = night(tmp_path, people)
    assert agreement(people, found) > 0.95
    assert [persona.id for persona in record.personas] == ["p1", "p2", "p3", "p4"]
    assert sorted(persona.size for persona in record.personas) == pytest.approx(sorted(SIZES.values()), abs=10)
    assert record.stability is not None
    assert record.stability > 0.9


def test_names_say_what_sets_a_group_apart(tmp_path: Path) -> None:
    people = planted.people(SIZES)
    found, record, _ = night(tmp_path, people)
    by_kind = {people[user]["kind"]: told for user, told in found.items()}
    assert by_kind["guests"]["persona_name"] == "Long-absent one-visit guests"
    assert by_kind["guests"]["persona_name_zh"] == "久未来访的单次到访访客"
    assert by_kind["regulars"]["persona_name"] == "Full-price loyal regulars by scan"
    assert by_kind["regulars"]["persona_name_zh"] == "扫码进店、原价购买的忠实常客"
    assert len({name for pair in names(record).values() for name in pair}) == 2 * len(record.personas)
    scan = next(a for p in record.personas if "by scan" in p.name_en for a in p.apart if a.field == "scan_share")
    everyone = 0.9 * SIZES["regulars"] / sum(SIZES.values())
    assert (scan.direction, scan.segment, scan.everyone) == (
        "high",
        pytest.approx(0.9, abs=0.02),
        pytest.approx(everyone, abs=0.02),
    )


def test_the_next_night_keeps_ids_and_names(tmp_path: Path) -> None:
    """A day later: everyone a little different, a few new, a few moved to another kind of life."""
    people = planted.people(SIZES)
    before, record, published = night(tmp_path / "1", people)
    later = planted.people(SIZES, seed=1)
    moved = sorted(people)[:20]
    rng = np.random.default_rng(5)
    today = {user: planted.person(row["kind"], rng) for user, row in people.items()}
    today |= {user: planted.person("regulars", rng) for user in moved}
    today |= {f"v{user}": row for user, row in list(later.items())[:30]}
    after, second, _ = night(tmp_path / "2", today, published)
    stayed = {user for user in people if people[user]["kind"] == today[user]["kind"]}
    assert kept({u: before[u] for u in stayed}, after) > 0.97
    assert agreement(today, after) > 0.95
    assert names(second) == names(record)


def test_a_persona_that_is_gone_retires_its_id(tmp_path: Path) -> None:
    people = planted.people(SIZES)
    first, record, published = night(tmp_path / "1", people)
    gone = {told["persona"] for user, told in first.items() if people[user]["kind"] == "hunters"}
    fewer = {user: row for user, row in people.items() if row["kind"] != "hunters"}
    _, second, published = night(tmp_path / "2", fewer, published)
    assert {persona.id for persona in second.personas} == names(record).keys() - gone
    assert set(second.retired) == gone
    back, third, _ = night(tmp_path / "3", people, published)
    assert agreement(people, back) > 0.95
    assert {persona.id for persona in third.personas} == (names(record).keys() - gone) | {"p5"}
    assert set(third.retired) == gone


def test_the_same_night_twice(tmp_path: Path) -> None:
    people = planted.people(SIZES)
    first, record, _ = night(tmp_path / "1", people)
    again, same, _ = night(tmp_path / "2", people, group=77)
    assert first == again
    assert [persona.centre for persona in record.personas] == [persona.centre for persona in same.personas]
    assert record == same


def test_nothing_hangs_on_the_order_of_visitors(tmp_path: Path) -> None:
    people = planted.people(SIZES)
    renamed = {f"{user[::-1]}": row for user, row in people.items()}
    first, _, _ = night(tmp_path / "1", people)
    second, _, _ = night(tmp_path / "2", renamed)
    users = sorted(people)
    assert [first[user] for user in users] == [second[user[::-1]] for user in users]


@pytest.mark.parametrize("size", [0, 1, 49])
def test_an_app_that_is_too_small_has_none(tmp_path: Path, size: int) -> None:
    found, record, _ = night(tmp_path, planted.people({"regulars": size}))
    assert all(value is None for told in found.values() for value in told.values())
    assert (record.personas, record.reason_en) == ((), "fewer than 50 visitors")
    assert record.reason_zh


def test_visitors_who_are_all_alike_have_none(tmp_path: Path) -> None:
    _, record, _ = night(tmp_path, planted.people({"guests": 300}))
    assert record.personas == ()
    assert record.reason_en is not None
    assert "groups" in record.reason_en


def test_ids_outlive_a_night_without_personas(tmp_path: Path) -> None:
    people = planted.people(SIZES)
    _, record, published = night(tmp_path / "1", people)
    _, _, published = night(tmp_path / "2", dict(list(people.items())[:20]), published)
    _, third, _ = night(tmp_path / "3", people, published)
    assert set(third.retired) == names(record).keys()
    assert not names(third).keys() & names(record).keys()


@pytest.mark.parametrize("few", [3, PRIVATE - 1])
def test_no_persona_of_a_few_people(tmp_path: Path, few: int) -> None:
    people = planted.people({"guests": 200, "hunters": 80, "premium": few, "regulars": 60})
    _, record, _ = night(tmp_path, people)
    assert record.personas
    assert min(persona.size for persona in record.personas) >= PRIVATE


def test_a_history_without_times(tmp_path: Path) -> None:
    """Whatever needs a clock is unknown of everyone; the rest still tells visitors apart."""
    timeless = ("visits", "days_since_seen", "weekend_share", "scan_share", "share_share")
    people = {user: row | dict.fromkeys(timeless) for user, row in planted.people(SIZES).items()}
    found, record, _ = night(tmp_path, people)
    assert agreement(people, found) > 0.9
    assert not {a.field for p in record.personas for a in p.apart} & set(timeless)


def test_an_app_that_sells_nothing(tmp_path: Path) -> None:
    people = planted.people({"guests": 200, "regulars": 60, "hunters": 60})
    nothing = {"orders": 0, "lines": 0, "offers_redeemed": 0} | dict.fromkeys(planted.OF_BUYERS)
    _, record, _ = night(tmp_path, {user: row | nothing for user, row in people.items()})
    assert record.personas
    told = " ".join(persona.name_en for persona in record.personas)
    assert "buyers" not in told
    assert "customers" not in told


def test_only_a_sample_is_grouped_and_everybody_placed(tmp_path: Path) -> None:
    few = planted.table(planted.people(SIZES))
    copies = 130  # 104,000 visitors, of whom 100,000 are looked at
    users = pa.array([f"{copy:03d}-{user}" for copy in range(copies) for user in few["user_id"].to_pylist()])
    rows = pa.concat_tables([few] * copies).set_column(0, "user_id", users)
    columns = find_personas(planted.draft(tmp_path, rows, group=8192))
    record = Personas.open(tmp_path)
    assert record is not None
    assert columns.num_rows == len(rows) == sum(persona.size for persona in record.personas)
    assert columns["persona"].null_count == 0
    one = columns["persona"].to_pylist()[: len(few)]
    assert columns["persona"].to_pylist() == one * copies


def test_typical_means_near_the_centre(tmp_path: Path) -> None:
    """A visitor halfway between two kinds fits worse than one of either."""
    people = planted.people(SIZES)
    kinds = [planted.KINDS["regulars"], planted.KINDS["hunters"]]
    between = {field: (kinds[0].get(field, 0) + kinds[1].get(field, 0)) / 2 for field in planted.FIELDS}
    people["zz"] = {"kind": "regulars"} | {f: round(v) if f in planted.INTEGERS else v for f, v in between.items()}
    found, _, _ = night(tmp_path, people)
    of_kind = [told["persona_fit"] for user, told in found.items() if people[user]["kind"] == "regulars"]
    assert 0 <= found["zz"]["persona_fit"] < np.quantile(of_kind, 0.2)
    assert max(of_kind) <= 1


@pytest.mark.parametrize(
    ("found", "last", "expected"),
    [
        ({3: (0.9, 0.5), 4: (0.8, 0.6), 5: (0.7, 0.9)}, None, 4),
        ({3: (0.6, 0.1), 4: (0.5, 0.9)}, None, 3),
        ({3: (0.9, 0.5), 4: (0.9, 0.52)}, 3, 3),
        ({3: (0.9, 0.5), 4: (0.8, 0.6)}, 3, 3),
        ({3: (0.9, 0.5), 4: (0.9, 0.6)}, 3, 4),
        ({3: (0.9, 0.5), 4: (0.7, 0.5)}, 4, 4),
        ({3: (0.8, 0.5), 4: (0.6, 0.5)}, 4, 3),
        ({3: (0.5, 0.9), 4: (0.6, 0.5), 5: (0.7, 0.9)}, 4, 4),
        ({5: (0.5, 0.5)}, 4, 5),
    ],
)
def test_the_number_of_groups(found: dict[int, tuple[float, float]], last: int | None, expected: int) -> None:
    """Of the stable ones that with the groups most apart; last night's unless it fell or another is clearly better."""
    chosen = choose([Grouping(np.zeros((k, 1)), *figures) for k, figures in found.items()], last)
    assert chosen is not None
    assert chosen.k == expected


def test_a_record_of_other_traits_is_no_beginning(tmp_path: Path) -> None:
    people = planted.people(SIZES)
    _, record, published = night(tmp_path / "1", people)
    replace(record, traits=record.traits[1:]).save(published.path)
    found, second, _ = night(tmp_path / "2", people, published)
    assert agreement(people, found) > 0.95
    assert {persona.id for persona in second.personas} == {"p1", "p2", "p3", "p4"}
    (published.path / FILE).unlink()
    _, third, _ = night(tmp_path / "3", people, published)
    assert third == second


def test_traits_are_fields_of_the_portrait() -> None:
    assert {name for trait in TRAITS for name in trait.fields} <= set(FIELDS)
    assert [field.name for field in COLUMNS] == [name for name in FIELDS if FIELDS[name].family == "personas"]


def test_in_words() -> None:
    told = {"persona_name": "Loyal regulars by scan", "persona_name_zh": "扫码进店的忠实常客"}
    assert in_words(told, "CNY") == ["One of the group: Loyal regulars by scan."]
    assert in_words(told, "CNY", "zh") == ["所属人群：扫码进店的忠实常客。"]


def test_two_nights_of_the_sample_shop(tmp_path: Path) -> None:
    """From events to personas: most visitors stay what they were, and so do the names."""
    end, settings = datetime(2026, 6, 1, tzinfo=UTC), AppSettings("shop")
    history(seed=7, n=30_000, out=tmp_path / "files", end=end)
    lake = Lake(tmp_path / "lake")
    for path in sorted((tmp_path / "files" / "events").iterdir()):
        import_file(lake, settings, "events", path)
    import_file(lake, settings, "items", tmp_path / "files" / "items.parquet")
    needed = {*planted.FIELDS, "last_seen", "spend", "refunded", "undone"}
    wanted = [field for field in REGISTRY.values() if field.name in needed]
    told: list[dict[str, dict[str, Any]]] = []
    records: list[Personas] = []
    published = None
    for day in (2, 1):
        con, folder = connect(), tmp_path / str(day)
        past = past_of(lake.snapshot("shop"), settings, end - timedelta(days=day), con)
        rows = fields(past, wanted).order_by("user_id").to_pyarrow()
        found, record, published = night(folder, rows, published)
        told.append(found)
        records.append(record)
    assert kept(*told) > 0.9
    first, second = (names(record) for record in records)
    assert FEWEST <= len(second) <= MOST
    assert first.keys() == second.keys()
    assert sum(first[persona] == second[persona] for persona in first) >= len(first) - 1
