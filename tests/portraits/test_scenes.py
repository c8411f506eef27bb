from __future__ import annotations

import csv
from pathlib import Path

import ibis
import pyarrow as pa
import pytest

from portraits.scenes import (
    ALIPAY,
    CHANNELS,
    CODE_SPACE,
    CODES,
    DOUYIN,
    SCENES,
    TEST_SCENES,
    WECHAT,
    channel,
    is_test,
    lookup,
)


def test_groups_are_known_and_a_scene_has_one() -> None:
    for groups in (WECHAT, ALIPAY, DOUYIN):
        assert groups.keys() <= CHANNELS.keys()
        listed = [scene for scenes in groups.values() for scene in scenes.split()]
        assert len(listed) == len(set(listed))


def test_codes_follow_the_alphabet_and_fit() -> None:
    assert list(CHANNELS) == sorted(CHANNELS)
    assert list(CODES.values()) == list(range(len(CHANNELS)))
    assert len(CHANNELS) < CODE_SPACE


@pytest.mark.parametrize(
    ("platform", "scene", "expected"),
    [
        ("wechat", "1047", "scan"),
        ("wechat", "1129", "test_traffic"),
        ("wechat", "9999", "other"),
        ("wechat", None, "unknown"),
        ("wechat", "", "unknown"),
        (None, "1047", "scan"),
        ("", "1047", "scan"),
        ("alipay", "1011", "scan"),
        ("alipay", "1047", "other"),
        ("alipay", "1129", "other"),
        ("douyin", "021002", "scan"),
        ("douyin", "021999", "history"),
        ("douyin", "102001", "search"),
        ("douyin", "023777", "content"),
        ("douyin", "21002", "other"),
        ("quickapp", "1011", "other"),
    ],
)
def test_channel(platform: str | None, scene: str | None, expected: str) -> None:
    assert channel(platform, scene) == expected


def test_lookup_names_pairs_as_channel_does() -> None:
    pairs = pa.table({"platform": ["wechat", "", "douyin"], "scene": ["1047", "", "023777"]})
    names = list(CHANNELS)
    assert [names[code] for code in lookup(pairs)["code"].to_pylist()] == ["scan", "unknown", "content"]


def test_is_test_is_the_same_column() -> None:
    pairs = [(platform, scene) for platform in ("wechat", "alipay", None) for scene in (*TEST_SCENES, "1047", None)]
    table = ibis.memtable(pa.table({"p": [p for p, _ in pairs], "s": [s for _, s in pairs]}))
    found = table.select("p", "s", test=is_test(table.p, table.s)).to_pyarrow().to_pylist()
    assert all(row["test"] == (channel(row["p"], row["s"]) == "test_traffic") for row in found)


@pytest.mark.real
def test_agrees_with_the_reference_list(real_data: Path) -> None:
    reference = real_data.parent / "miniprogram" / "scenes.csv"
    if not reference.is_file():
        pytest.skip(f"no reference list at {reference}")
    with reference.open(encoding="utf-8") as file:
        grouped = {row["scene"]: row["channel_group"] for row in csv.DictReader(file) if row["channel_group"]}
    assert grouped == {scene: SCENES.get(("wechat", scene)) for scene in grouped}
