"""Bundles come back as they were written, shared and read-only; broken ones say which file and why."""

from __future__ import annotations

import json
import mmap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from planted_shelf import Candidate, Night, item

from portraits.errors import BrokenBundle, InvalidValue, UnknownName
from recommender.bundles.bundle import Bundle, write_bundle
from recommender.bundles.files import MANIFEST
from recommender.bundles.layout import ARRAYS

NIGHT = Night(
    items=[item("茶", title="绿茶", category=["食品", "茶"]), item("cup", category=["home"]), item("🍵", price=900)],
    table={"ann": [Candidate("cup", 0.9, evidence="茶"), Candidate("🍵", 0.2)]},
    bought={"ann": ["茶"], "bob": ["cup", "茶"]},
    popular=[("cup", 1.0), ("茶", 0.5)],
    near={"茶": [("cup", 0.8)]},
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_bundle(tmp_path / "bundle", NIGHT.arrays(), NIGHT.manifest)
    return tmp_path / "bundle"


def test_what_is_written_is_what_is_read(folder: Path) -> None:
    bundle = Bundle.open(folder)
    for name, array in NIGHT.arrays().items():
        np.testing.assert_array_equal(bundle.arrays[name], array)
    assert bundle.sources == Night.SOURCES
    assert bundle.targets == ("purchase",)
    assert bundle.bought(bundle.users.index("bob")).tolist() == [bundle.items.index("cup"), bundle.items.index("茶")]
    assert bundle.bought(-1).tolist() == []


def test_arrays_are_mapped_and_read_only(folder: Path) -> None:
    for name, array in Bundle.open(folder).arrays.items():
        assert not array.flags.writeable, name
        root: Any = array
        while isinstance(root, np.ndarray):
            root = root.base
        assert isinstance(root, mmap.mmap), name


def test_the_same_arrays_make_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write_bundle(tmp_path / "again", NIGHT.arrays(), NIGHT.manifest)
    for path in folder.iterdir():
        assert path.read_bytes() == (tmp_path / "again" / path.name).read_bytes()


def test_a_bundle_of_that_name_is_replaced_and_nothing_is_left_over(folder: Path) -> None:
    write_bundle(folder, {"items": NIGHT.arrays()["items"]}, NIGHT.manifest)
    assert len(Bundle.open(folder).users) == 0
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_what_is_left_out_is_nothing_known() -> None:
    bundle = Bundle.of({"items": np.array([b"a", b"b"])}, NIGHT.manifest)
    assert bundle.arrays["item_stock"].tolist() == [-1, -1]
    assert bundle.shelf_items.tolist() == [0, 1]
    assert bundle.candidate_items.shape == (0, 0)
    assert set(bundle.arrays) == set(ARRAYS)


def test_the_shelf_is_every_item_the_popular_ones_first() -> None:
    bundle = NIGHT.bundle()
    assert [bundle.items.id(row) for row in bundle.shelf_items.tolist()] == ["cup", "茶", "🍵"]
    assert bundle.shelf_rank[bundle.shelf_items].tolist() == [0, 1, 2]


def test_what_carries_a_name_is_listed_by_popularity_and_once() -> None:
    bundle = Night(
        items=[
            item("a", category=["x", "y", "x"], brand="P", tags=["t", "u"]),
            item("b", category=["y"], brand="Q"),
            item("c", brand="P", tags=["u"]),
        ],
        popular=[("c", 1.0), ("b", 0.5)],
    ).bundle()

    def carrying(kind: str, name: str) -> list[str]:
        names = {"category": bundle.categories, "brand": bundle.brands, "tag": bundle.tags}[kind]
        return [bundle.items.id(row) for row in bundle.carrying(kind, names.index(name)).tolist()]

    assert carrying("category", "x") == ["a"]
    assert carrying("category", "y") == ["b", "a"]
    assert carrying("brand", "P") == ["c", "a"]
    assert carrying("tag", "u") == ["c", "a"]
    assert carrying("tag", "t") == ["a"]
    assert bundle.carrying("tag", 99).tolist() == []


def _remove(path: Path) -> None:
    path.unlink()


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


@pytest.mark.fault
@pytest.mark.parametrize("name", [*(f"{name}.npy" for name in ARRAYS), MANIFEST])
@pytest.mark.parametrize("harm", [_remove, _cut, _flip])
def test_a_harmed_file_is_named(folder: Path, name: str, harm: Callable[[Path], None]) -> None:
    harm(folder / name)
    with pytest.raises(BrokenBundle, match=name.replace(".", r"\.")):
        Bundle.open(folder)


@pytest.mark.fault
def test_without_checksums_a_short_file_is_still_found(folder: Path) -> None:
    _cut(folder / "items.npy")
    with pytest.raises(BrokenBundle, match="items"):
        Bundle.open(folder, verify=False)


@pytest.mark.fault
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"format": 1}, "format 1"),
        ({"repeat": True}, "SHA-256"),
        ({"files": {}}, "SHA-256"),
        ({"sha256": 0}, "SHA-256"),
    ],
)
def test_a_manifest_that_was_changed_is_refused(folder: Path, change: dict[str, Any], problem: str) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    (folder / MANIFEST).write_text(json.dumps(manifest | change))
    with pytest.raises(BrokenBundle, match=problem):
        Bundle.open(folder)


@pytest.mark.fault
@pytest.mark.parametrize("content", ["", "[]", "{", "\x00"])
def test_a_manifest_that_is_none_is_refused(folder: Path, content: str) -> None:
    (folder / MANIFEST).write_text(content)
    with pytest.raises(BrokenBundle, match=r"manifest\.json"):
        Bundle.open(folder)


@pytest.mark.fault
def test_no_folder_is_a_broken_bundle(tmp_path: Path) -> None:
    with pytest.raises(BrokenBundle):
        Bundle.open(tmp_path / "none")


@pytest.mark.fault
def test_a_pickle_is_not_loaded(tmp_path: Path) -> None:
    with pytest.raises(InvalidValue, match="items"):
        write_bundle(tmp_path / "b", {"items": np.array([{}], object)}, NIGHT.manifest)
    assert list(tmp_path.iterdir()) == []


def _with(name: str, values: list[Any], dtype: str | None = None) -> dict[str, Any]:
    arrays = NIGHT.arrays()
    return arrays | {name: np.array(values, dtype or arrays[name].dtype)}


@pytest.mark.parametrize(
    ("name", "values", "dtype"),
    [
        ("users", [b"bob", b"ann"], None),
        ("users", [b"ann", b"ann"], None),
        ("candidate_items", [[0, 0], [-1, -1]], None),
        ("candidate_items", [[0, 3], [-1, -1]], None),
        ("candidate_items", [[-1, 0], [-1, -1]], None),
        ("candidate_items", [[0, 1], [-1, -1]], "int64"),
        ("candidate_scores", [[0.1, 0.9], [0, 0]], None),
        ("candidate_scores", [[1.5, 0.9], [0, 0]], None),
        ("candidate_scores", [[float("nan"), 0.9], [0, 0]], None),
        ("candidate_scores", [0.1, 0.9], None),
        ("candidate_sources", [[4, 0], [0, 0]], None),
        ("bought_items", [0, 1, 0], None),
        ("bought_indptr", [0, 2, 4], None),
        ("popular_items", [0, 0], None),
        ("popular_items", [0, 3], None),
        ("popular_items", [-1, 0], None),
        ("popular_scores", [0.5, 1.0], None),
        ("neighbour_items", [[0], [1], [2]], None),
        ("session_items", [[1, 2], [0, 2], [0, 1]], "int32"),
        ("item_category", [[9, 9], [0, 0], [0, 0]], None),
        ("item_stock", [1, 2], None),
        ("titles_offsets", [0, 6, 2, 6], None),
    ],
)
def test_the_night_cannot_write_what_the_day_cannot_use(name: str, values: list[Any], dtype: str | None) -> None:
    with pytest.raises(InvalidValue, match=name.split("_", maxsplit=1)[0]):
        Bundle.of(_with(name, values, dtype), NIGHT.manifest)


def test_an_unknown_array_is_refused() -> None:
    with pytest.raises(UnknownName, match="item_colour"):
        Bundle.of(NIGHT.arrays() | {"item_colour": np.zeros(3)}, NIGHT.manifest)


@pytest.mark.parametrize("key", ["sources", "target", "repeat"])
def test_a_manifest_needs_what_the_day_reads(key: str) -> None:
    manifest = {name: value for name, value in NIGHT.manifest.items() if name != key}
    with pytest.raises(InvalidValue, match=key):
        Bundle.of(NIGHT.arrays(), manifest)
