"""`huaxiang segments`: define groups of visitors, look at them, compare them, take them along."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import pyarrow
import typer
from rich.table import Table

from portraits.errors import InvalidValue
from portraits.rules import in_words
from portraits.segments.movement import Migration, growth, migration
from portraits.segments.suppression import LEAST
from serving.cli.output import App, AsJson, OutFile, show, table
from serving.segments import definitions
from serving.segments.counting import profile_to_dict
from serving.segments.desk import RANDOM, Cap, Desk
from serving.segments.files import check_ending, write_rows
from serving.segments.wording import lines_in_words
from serving.settings import ProcessSettings
from serving.stores import Store
from serving.stores.segments import Wanted

segments = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="A segment.", show_default=False)]
NameOrRule = Annotated[
    str | None, typer.Argument(metavar="[NAME]", help="A segment; or give --rule.", show_default=False)
]
RuleFile = Annotated[
    Path | None, typer.Option("--rule", metavar="RULE.json", help="A rule in a file.", exists=True, dir_okay=False)
]
Lang = Annotated[str, typer.Option("--lang", help="Words in en or zh.")]
Q_SHOWN = 0.05


@segments.command("list")
def list_segments(app: App, lang: Lang = "en", as_json: AsJson = False) -> None:
    """List saved and ready-made segments with their members on the last night."""
    desk = _desk(app)
    last = desk.nights[-1:]
    members = dict(last[0].members) if last else {}
    found = [
        {
            "name": known.name,
            "version": known.version,
            "ready_made": known.ready_made,
            "title": known.title,
            "members": members.get(known.name),
        }
        for known in desk.segments.all(lang)
    ]
    rows = ((one["name"], one["version"] or "ready-made", one["members"], one["title"]) for one in found)
    show(found, table(("segment", "version", "members", "title"), rows, right=("members",)), as_json)


@segments.command("show")
def show_segment(name: Name, app: App, lang: Lang = "en", as_json: AsJson = False) -> None:
    """Show one segment: in words, and its rule to copy."""
    desk = _desk(app)
    known = desk.segments.known(name, lang)
    words = in_words(desk.segments.rule(name), lang, desk.app.currency)
    told = {"name": name, "version": known.version, "title": known.title, "words": words, "rule": known.rule}
    show(told, (known.title, words, "", json.dumps(known.rule, ensure_ascii=False, indent=2)), as_json)


@segments.command("save")
def save_segment(
    *,
    name: Name,
    app: App,
    rule: Annotated[Path, typer.Option("--rule", metavar="RULE.json", help="Its rule.", exists=True, dir_okay=False)],
    title: Annotated[str, typer.Option("--title", help="What people call it.")] = "",
    lang: Lang = "en",
    as_json: AsJson = False,
) -> None:
    """Save a rule under a name, as the segment's next version."""
    desk = _desk(app)
    parsed = desk.rule(None, rule)
    wanted = Wanted(name, title or name, parsed.to_json())
    with desk.store.write() as connection:
        saved = definitions.save(connection, app, desk.fields, wanted)
    words = in_words(parsed, lang, desk.app.currency)
    show(saved.to_dict() | {"words": words}, f"{name}, version {saved.version}: {words}", as_json)


@segments.command("delete")
def delete_segment(name: Name, app: App, as_json: AsJson = False) -> None:
    """Delete a saved segment that no other uses; its versions are kept."""
    desk = _desk(app)
    with desk.store.write() as connection:
        definitions.delete(connection, app, name)
    show({"name": name, "deleted": True}, f"{name}: deleted", as_json)


@segments.command("preview")
def preview_segment(
    *, app: App, name: NameOrRule = None, rule: RuleFile = None, lang: Lang = "en", as_json: AsJson = False
) -> None:
    """Count the visitors of a segment, line by line.

    adds: of an "or", who is in no line above; leaves: of an "and", who is in every line above too.
    """
    desk = _desk(app)
    asked = desk.rule(name, rule)
    counted = desk.people.preview(asked)
    words = lines_in_words(asked, lang, desk.app.currency)
    told = counted.to_dict() | {"as_of": desk.portraits.as_of, "words": in_words(asked, lang, desk.app.currency)}
    told["lines"] = [line | {"words": said} for line, said in zip(told["lines"], words, strict=True)]
    rows = ((f"{'  ' * one['depth']}{one['words']}", one["own"], one["adds"], one["leaves"]) for one in told["lines"])
    lines = table(("rule", "visitors", "adds", "leaves"), rows, right=("visitors", "adds", "leaves"))
    show(told, (f"{counted.total:,} of {counted.base:,} visitors, as of {told['as_of']}", "", lines), as_json)


@segments.command("export")
def export_segment(
    *,
    app: App,
    out: OutFile,
    name: NameOrRule = None,
    rule: RuleFile = None,
    fields: Annotated[str, typer.Option("--fields", help="Portrait fields beside user_id, with commas.")] = "",
    cap: Annotated[int | None, typer.Option("--cap", min=1, help="At most so many visitors.")] = None,
    by: Annotated[str, typer.Option("--by", help="Whom --cap keeps: random, or the greatest of a field.")] = RANDOM,
    seed: Annotated[int, typer.Option("--seed", help="Of the random choice.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Export the members of a segment to a CSV or Parquet file; who refused since is left out."""
    desk = _desk(app)
    count = desk.export(desk.rule(name, rule), out, _names(fields), None if cap is None else Cap(cap, by, seed))
    show({"rows": count, "out": str(out), "as_of": desk.portraits.as_of}, f"{count:,} visitors in {out}", as_json)


@segments.command("compare")
def compare_segments(
    *,
    app: App,
    one: Name,
    other: NameOrRule = None,
    rule: RuleFile = None,
    as_json: AsJson = False,
) -> None:
    """Compare two segments: how many visitors they share (Jaccard: of those in either, the share in both)."""
    desk = _desk(app)
    told = desk.people.compare(desk.rule(one, None), desk.rule(other, rule))
    names = {"one": one, "other": other or str(rule)}
    figures = table(("figure", "value"), ((names.get(key, key), value) for key, value in told.items()), ("value",))
    show(told, figures, as_json)


@segments.command("profile")
def profile_segment(
    *,
    app: App,
    name: NameOrRule = None,
    rule: RuleFile = None,
    against: Annotated[str | None, typer.Option("--against", help="A segment; default: everyone.")] = None,
    fields: Annotated[str, typer.Option("--fields", help="Portrait fields, with commas; default: all.")] = "",
    as_json: AsJson = False,
) -> None:
    """Tell what sets a segment apart: the share of each value in it and in the base.

    TGI: share in the segment / share in the base x 100. q: the chance that a cell this clear is noise, all cells
    considered. Values of fewer than 10 visitors are not told. People see cells with q of at most 0.05, machines all.
    """
    desk = _desk(app)
    base = None if against is None else desk.segments.rule(against)
    told = profile_to_dict(desk.people.profile(desk.rule(name, rule), base, _names(fields)))
    show(told, _cells(told), as_json)


@segments.command("growth")
def grow_segment(name: Name, app: App, as_json: AsJson = False) -> None:
    """Show the members of a segment night by night."""
    desk = _desk(app)
    desk.segments.known(name)
    grown = growth(desk.nights, name)
    found = [one._asdict() for one in grown]
    rows = ((one.as_of, one.version or "ready-made", one.members, one.base) for one in grown)
    show(found, table(("night", "version", "members", "visitors"), rows, ("members", "visitors")), as_json)


@segments.command("migration")
def migrate_segment(
    *,
    name: Name,
    app: App,
    since: Annotated[
        str | None, typer.Option("--from", metavar="DAY", help="A night; default: the last but one.")
    ] = None,
    until: Annotated[str | None, typer.Option("--to", metavar="DAY", help="A night; default: the last.")] = None,
    lang: Lang = "en",
    as_json: AsJson = False,
) -> None:
    """Show who joined and left a segment between two nights: from which stage to which, by which line of its rule."""
    desk = _desk(app)
    before, after = desk.night("--from", since, 2), desk.night("--to", until, 1)
    if before.as_of > after.as_of:
        raise InvalidValue("--from", before.as_of.isoformat(), f"no later than --to, {after.as_of.isoformat()}")
    moved = migration(desk.con, before, after, name)
    told = asdict(moved) | {"stages": [stage._asdict() for stage in moved.stages]}
    told["lines"] = None if moved.lines is None else [line._asdict() for line in moved.lines]
    show(told, _moves(moved, lang), as_json)


@segments.command("lookalike")
def find_lookalikes(
    *,
    app: App,
    out: OutFile,
    n: Annotated[int, typer.Option("--n", min=1, help="How many visitors.")],
    name: NameOrRule = None,
    rule: RuleFile = None,
    as_json: AsJson = False,
) -> None:
    """Find the visitors most like the members of a segment, and say how well hidden members were found."""
    check_ending(out)
    from portraits.segments.lookalike import lookalikes  # noqa: PLC0415 - scikit-learn: 2 s that only who asks pays

    desk = _desk(app)
    asked = desk.rule(name, rule)
    members = desk.people.members(asked).select("user_id").to_pyarrow()["user_id"].to_pylist()
    left_out = set(desk.left_out).union(*desk.deleted.values())  # whom what was deleted would place
    found = lookalikes(desk.portraits, members, n + len(left_out))
    kept = [user not in left_out for user in found.table["user_id"].to_pylist()]
    chosen = found.table.filter(pyarrow.array(kept, pyarrow.bool_())).slice(0, n)
    write_rows(chosen, out)
    quality = asdict(found.quality)
    told = {"rows": len(chosen), "out": str(out), "members": found.members, "quality": quality}
    auc = found.quality.auc
    words = (
        f"a hidden member scores above another visitor in {auc.value:.1%} of pairs ({auc.low:.1%} to {auc.high:.1%})"
    )
    show(told, (f"{len(chosen):,} visitors in {out}", words), as_json)


def _desk(app: str) -> Desk:
    process = ProcessSettings.from_env()
    return Desk(process, Store.open(process.store_url), app)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _cells(told: dict[str, Any]) -> Iterator[str | Table]:
    yield f"{told['members']:,} members against {told['base']:,} visitors"
    if told["too_small"]:
        yield f"too small to tell: it takes {LEAST} members, and {LEAST} visitors of the base outside"
        return
    clear = [one for one in told["cells"] if one["q"] is not None and one["q"] <= Q_SHOWN]
    clear.sort(key=lambda one: -(one["tgi"] or 0))
    headers = ("field", "value", "members", "share", "base share", "TGI", "q")
    rows = (
        (one["field"], one["value"] or "unknown", one["members"], f"{one['share']:.1%}", f"{one['base_share']:.1%}",
         f"{one['tgi'] or 0:.0f}", f"{one['q']:.2g}")
        for one in clear
    )  # fmt: skip
    yield table(headers, rows, headers[2:]) if clear else "nothing sets them apart beyond noise"


def _moves(moved: Migration, lang: str) -> Iterator[str | Table]:
    yield f"from {moved.before} to {moved.after}: {moved.stayed:,} stayed, {moved.joined:,} joined, {moved.left:,} left"
    yield f"of who joined {moved.newcomers:,} had no portrait before; of who left {moved.gone:,} have none any more"
    yield ""
    names = ("before", "after", "stayed", "joined", "left")
    yield table(names, moved.stages, names[2:])
    if moved.lines is None:
        yield "the rule itself changed between the nights"
        return
    heads = ("line that changed", "joined", "by it alone", "left", "by it alone")
    yield ""
    yield table(heads, ((one.words[lang], *one[2:]) for one in moved.lines), heads[1:])
