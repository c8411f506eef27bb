"""`huaxiang offers report`, `evaluate` and `audit` over a shop whose offers are good, worthless or hunted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from planted_answers import at, lake_of
from planted_coupons import CATALOGUE, DAYS, OFFERS, PROFIT, SETTINGS, VISITORS, shop
from planted_plan import planned

from recommender.offers.plan_files import FOLDER, write_plan
from serving.cli import main
from serving.publish import publish
from serving.settings import ProcessSettings
from serving.stores import Store

SPAN = ("--from", f"{at(0):%Y-%m-%d}", "--to", f"{at(24 * (DAYS - 1)):%Y-%m-%d}")

DAY = ("--from", f"{at(0):%Y-%m-%d}", "--to", f"{at(0):%Y-%m-%d}")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The app with its history, and a plan that gives everybody the good offer."""
    home = tmp_path_factory.mktemp("home")
    process = ProcessSettings(home=home, secret="only for tests")
    store = Store.open(process.store_url)
    store.add_app(SETTINGS)
    lake_of(process.lake, *shop(), **CATALOGUE)
    users = [f"u{n:04}" for n in range(VISITORS)]
    night = planned([[240, 0, 0]] * (VISITORS + 1), [[60, 1, 60]] * (VISITORS + 1), users=users, offers=OFFERS)
    write_plan(home / "made" / FOLDER, *night)
    publish(process, store, "shop", as_of=at(24 * DAYS), portraits=home / "made")
    yield home
    store.close()


def said(home: Path, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("HUAXIANG_HOME", str(home))
        with pytest.raises(SystemExit) as ended:
            main(["offers", *arguments, "--app", "shop"])
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


def test_the_report_says_what_offers_earned(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(home, capsys, "report", *SPAN)
    assert code == 0, err
    assert "visitors who may get offers" in out
    verdicts = {line.split()[0]: line for line in out.splitlines() if line.startswith(OFFERS) and "+" in line}
    assert "earns" in verdicts["good"]
    assert "loses" in verdicts["hunted"]
    assert "too early to tell" in verdicts["worthless"]


def test_a_plan_is_valued_before_it_is_spent(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Everybody given the good offer."""
    code, out, err = said(home, capsys, "evaluate", *DAY, "--policy", "everybody", "--json")
    assert code == 0, err
    (told,) = json.loads(out)["policies"]
    profit: dict[str, Any] = told["profit_an_answer"]
    assert set(profit) == {"IPS", "SNIPS", "DR"}
    assert profit["SNIPS"]["low"] < PROFIT["good"] < profit["SNIPS"]["high"]
    assert profit["SNIPS"]["effective_size"] > 50
    assert told["cost_an_answer"]["value"] == pytest.approx(75, abs=20)


def test_an_offer_is_audited(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = said(home, capsys, "audit", *SPAN, "--offer", "good")
    assert code == 0, err
    assert out.startswith("good: ¥1 off\n")
    assert f"by this rule {VISITORS:,} of {VISITORS:,} visitors may have it" in out
    assert "one row for everybody" in out
    assert "a redemption cost 100 to 100" in out


def test_a_span_without_answers_and_an_unknown_offer_say_what_to_do(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = said(home, capsys, "audit", "--offer", "never")
    assert code == 1
    assert "never" in err
    code, _, err = said(home, capsys, "report", "--from", "2020-01-01", "--to", "2020-01-02")
    assert code == 1
    assert "each night brings more" in err
