"""Every error huaxiang raises on purpose.

An exception takes its subject, not a sentence: the class knows how to say what is wrong, with which value, and the
way out. `status` is the HTTP status it becomes, `exit_code` what the command line ends with, `code` the word that
machines read. This module imports nothing of ours.
"""

from __future__ import annotations

import errno
from collections.abc import Iterable
from reprlib import Repr


class HuaxiangError(Exception):
    """Base of all errors a caller can act on."""

    code = "error"
    status = 400
    exit_code = 1

    def __init__(self, message: str, field: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field


class InvalidValue(HuaxiangError):
    """A value that the named field cannot take."""

    code = "invalid_value"
    status = 422
    exit_code = 2

    def __init__(self, field: str, value: object, expected: str) -> None:
        super().__init__(f"{field} = {_short(value)}: expected {expected}", field)


class UnknownName(HuaxiangError):
    """A name that is not in a closed list: a setting, a table, a column, a feature."""

    code = "unknown_name"
    status = 422
    exit_code = 2

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        super().__init__(f"unknown {kind} {_short(name)}; known: {', '.join(sorted(known))}", kind)


class InvalidRule(HuaxiangError):
    """A segment's rule that is not in the grammar. `path` is the JSON path of what is wrong ('/and/1/value'), `line`
    its line where text was given, `segment` the other segment that it stands in."""

    code = "invalid_rule"
    status = 422
    exit_code = 2

    def __init__(
        self, path: str, value: object, expected: str, *, line: int | None = None, segment: str | None = None
    ) -> None:
        place = f"rule{path}" + ("" if line is None else f" (line {line})")
        if segment is not None:
            place = f"segment {_short(segment)}, {place}"
        super().__init__(f"{place} = {_bounded(value)}: expected {expected}", f"rule{path}")
        self.path, self.value, self.expected, self.line, self.segment = path, value, expected, line, segment


class UnknownApp(HuaxiangError):
    """An app that was never added."""

    code = "unknown_app"
    status = 404
    exit_code = 2

    def __init__(self, app_id: str) -> None:
        super().__init__(f"no app {_short(app_id)}; add it with: huaxiang app add {app_id}", "app_id")


class NothingThere(HuaxiangError):
    """Something looked up by name does not exist."""

    code = "not_found"
    status = 404

    def __init__(self, kind: str, name: str, way_out: str) -> None:
        super().__init__(f"no {kind} {_short(name)}; {way_out}", kind)


class UnreadableFile(HuaxiangError):
    """A file that cannot be read as what it is said to be; nothing of it was taken."""

    code = "unreadable_file"
    exit_code = 1

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}; nothing of it was taken", "file")


class QuarantineFull(HuaxiangError):
    """So many rows were refused that the mapping, not the rows, must be wrong."""

    code = "quarantine_full"
    exit_code = 1

    def __init__(self, path: str, refused: int, limit: int, first_reason: str) -> None:
        super().__init__(
            f"{path}: {refused} rows cannot be taken, more than quarantine_limit = {limit}; first: {first_reason}; "
            "nothing was imported. Mend the file or the mapping, or raise the limit: "
            "huaxiang app set APP quarantine_limit=N",
            "quarantine_limit",
        )


class BrokenBundle(HuaxiangError):
    """A published file that is missing, cut short or changed since it was written."""

    code = "broken_bundle"
    status = 503

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"bundle {path}: {problem}; publish again with: huaxiang nightly --app APP", "version")


class MissingExtra(HuaxiangError):
    """An optional engine that is not installed."""

    code = "missing_extra"
    exit_code = 2

    def __init__(self, extra: str, needed_for: str) -> None:
        super().__init__(f"{needed_for} needs the extra {extra!r}; install it with: pip install 'huaxiang[{extra}]'")


class AnotherRunning(HuaxiangError):
    """A second night (or import) of the same app while the first still runs."""

    code = "another_running"
    status = 409
    exit_code = 4

    def __init__(self, what: str, app_id: str) -> None:
        super().__init__(f"another {what} of app {app_id!r} is running; wait for it to end, then run again", "app_id")


class NotAllowed(HuaxiangError):
    """A key or token that may not do this."""

    code = "forbidden"
    status = 403

    def __init__(self, needed: str) -> None:
        super().__init__(f"this key may not do that; needed: {needed}", "authorization")


class NotKnown(HuaxiangError):
    """No key, or one that is unknown or revoked."""

    code = "unauthorized"
    status = 401

    def __init__(self) -> None:
        super().__init__("no valid key; send 'Authorization: Bearer KEY' (huaxiang key create)", "authorization")


class NoSecret(HuaxiangError):
    """Something that has to be signed, on a server that has nothing to sign with."""

    code = "no_secret"
    status = 503

    def __init__(self, what: str) -> None:
        super().__init__(f"{what} cannot be signed: the server has no HUAXIANG_SECRET; its operator has to set one")


class RateLimited(HuaxiangError):
    """More requests than a setting of the app allows. `retry_after_s`: whole seconds until one more is taken."""

    code = "rate_limited"
    status = 429

    def __init__(self, setting: str, per_second: float, retry_after_s: int) -> None:
        super().__init__(f"more requests than {setting} = {per_second:g} allows; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


class WrongMethod(HuaxiangError):
    """A path that is there, asked with another HTTP method."""

    code = "method_not_allowed"
    status = 405

    def __init__(self, method: str, allowed: str) -> None:
        super().__init__(f"method {_short(method)}: this path takes {allowed}", "method")
        self.allowed = allowed


class TooMuch(HuaxiangError):
    """A request above a stated limit."""

    code = "too_large"
    status = 413

    def __init__(self, what: str, size: int, limit: int) -> None:
        super().__init__(f"{what} = {size} is over the limit of {limit}", what)


class NotReceived(HuaxiangError):
    """A part of a request that did not arrive in time."""

    code = "request_timeout"
    status = 408

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"the {what} did not arrive within {seconds:g} s; nothing was accepted, send it again", what)


class InUse(HuaxiangError):
    """Something that cannot go because something else needs it."""

    code = "in_use"
    status = 409

    def __init__(self, kind: str, name: str, by: str) -> None:
        super().__init__(f"{kind} {_short(name)} is used by {_short(by)}; change or delete that first", kind)


class OfferRefused(HuaxiangError):
    """A claim of an offer that cannot be made, used or given back; nothing was changed. `code` says why, one of
    `CODES`; a refusal is not kept, and the same request is looked at anew."""

    code = "offer_refused"
    status = 409
    CODES = (
        "incomplete_offer",
        "not_running",
        "wrong_store",
        "wrong_items",
        "wrong_tier",
        "user_limit",
        "not_stackable",
        "no_max_cost",
        "offer_closed",
        "budget_spent",
        "daily_budget_spent",
        "visitor_forgotten",
        "wrong_claim",
        "claim_redeemed",
        "claim_expired",
        "claim_returned",
        "below_minimum",
        "over_reserved",
        "request_conflict",
    )

    def __init__(self, code: str, subject: str, why: str) -> None:
        super().__init__(f"{_short(subject)}: {why}")
        self.code = code


class TookTooLong(HuaxiangError):
    """A question that was stopped at its deadline."""

    code = "too_slow"
    status = 504

    def __init__(self, what: str, seconds: float) -> None:
        super().__init__(f"{what} took longer than {seconds:g} s and was stopped; ask for less, or later")


class Interrupted(HuaxiangError):
    """A question whose process ended before it could answer."""

    code = "interrupted"
    status = 503

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"{what} was interrupted ({problem}); ask again")


class Busy(HuaxiangError):
    """Something that cannot take a question at this moment."""

    code = "busy"
    status = 429

    def __init__(self, what: str, problem: str) -> None:
        super().__init__(f"{what} cannot be done now ({problem}); ask again in a moment")


class DiskFull(HuaxiangError):
    """No space is left where something must be written."""

    code = "disk_full"
    status = 503

    def __init__(self, problem: str) -> None:
        super().__init__(f"the disk is full ({problem}); make space, then run again: what was done stays done")

    @staticmethod
    def behind(error: BaseException) -> bool:
        """Whether this is what made `error`; engines say it in their own classes and the system's words."""
        full = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
        return full or "No space left on device" in str(error)


class CannotServe(HuaxiangError):
    """The serving process cannot start."""

    code = "cannot_serve"
    status = 503

    def __init__(self, port: int, problem: str) -> None:
        super().__init__(f"cannot serve on port {port}: {problem}", "port")


class StoreUnavailable(HuaxiangError):
    """The online store cannot be written or read now; nothing was accepted, the caller tries again.

    `OUTWARD` is all that a caller over the network is told: the problem may name the database's host.
    """

    code = "store_unavailable"
    status = 503
    retry_after_s = 1
    OUTWARD = "the online store is not available; nothing was accepted, try again"

    def __init__(self, problem: str) -> None:
        super().__init__(f"the online store is not available ({problem}); nothing was accepted, try again")


class NotEmpty(HuaxiangError):
    """A place that something would be written over."""

    code = "not_empty"
    status = 409
    exit_code = 2

    def __init__(self, path: str) -> None:
        super().__init__(f"{path}: something is there already; name an empty folder, or one that is not there")


class NotCopied(HuaxiangError):
    """Files that could not be copied; what was copied of them is of no use."""

    code = "not_copied"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}; nothing there is complete, delete it and try again")


class BrokenBackup(HuaxiangError):
    """A backup that is not what was written; nothing of it was restored."""

    code = "broken_backup"

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}; nothing was restored, use another backup")


_REPR = Repr()
_REPR.maxstring = _REPR.maxother = 80


def _bounded(value: object) -> str:
    """A value of any size and depth in a few words."""
    try:
        return _REPR.repr(value)
    except ValueError:  # a whole number with more digits than Python writes out
        return f"a huge {type(value).__name__}"


def _short(value: object, limit: int = 80) -> str:
    text = repr(value)
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text)} characters)"
