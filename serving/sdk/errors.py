"""What can go wrong with a call, by what the caller can do about it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from serving.sdk.events import Sent
    from serving.sdk.rows import Event


NO_CODE = "not_as_agreed"
"""Code of an answer that is none of the service's."""


class CallFailed(Exception):
    """A call that was not answered as it should. `code` is for machines; `field` names what cannot be taken; `status`
    is HTTP's, None where no answer came; `request_id` finds the request in the service's log."""

    def __init__(
        self, message: str, *, code: str, field: str | None = None, status: int | None = None, request_id: str = ""
    ) -> None:
        super().__init__(f"{status or 'no answer'} {code}: {message}" + (f" ({request_id})" if request_id else ""))
        self.message, self.code, self.field, self.status, self.request_id = message, code, field, status, request_id


class NoAnswer(CallFailed):
    """Nobody answered in time, or the connection broke: what was sent may have been taken or not."""


class NotAuthorized(CallFailed):
    """401: no valid key; it was revoked, or the token is too old."""


class Forbidden(CallFailed):
    """403: the key is for something else."""


class NotFound(CallFailed):
    """404: nothing goes by that name."""


class Conflict(CallFailed):
    """409: something else stands against it."""


class TooLarge(CallFailed):
    """413: over a stated limit."""


class InvalidRequest(CallFailed):
    """422: `field` cannot be taken."""


class NotReceived(CallFailed):
    """408, to the last try: the request did not arrive in time; nothing was accepted."""


class TooManyRequests(CallFailed):
    """429, to the last try."""


class Unavailable(CallFailed):
    """503, to the last try; nothing was accepted."""


class TooSlow(CallFailed):
    """504: the question took too long and was stopped."""


class NotAsAgreed(CallFailed):
    """An answer that is none of the service's: a proxy's page, another version, a fault of the server."""


class EventsNotSent(Exception):
    """A batch of events failed; its cause (`__cause__`) is the CallFailed, or what the iterable itself raised. `sent`:
    what became of those before it; `left`: the events of this batch, with the event_ids they were sent under, so that
    sending them again is safe. What comes after them was not taken from the iterable."""

    def __init__(self, sent: Sent, left: Sequence[Event]) -> None:
        super().__init__(f"{len(left)} events were not acknowledged, after {sent.total} that were answered")
        self.sent, self.left = sent, left


BY_STATUS: Mapping[int, type[CallFailed]] = {
    401: NotAuthorized,
    403: Forbidden,
    404: NotFound,
    408: NotReceived,
    409: Conflict,
    413: TooLarge,
    422: InvalidRequest,
    429: TooManyRequests,
    503: Unavailable,
    504: TooSlow,
}


def of_answer(status: int, body: Any, request_id: str) -> CallFailed:
    """The refusal that an answer tells."""
    told = body.get("error") if isinstance(body, dict) else None
    if not isinstance(told, dict) or not isinstance(told.get("code"), str):
        told = {"code": NO_CODE, "message": "not an answer of the service"}
    kind = BY_STATUS.get(status, NotAsAgreed)
    message, field = str(told.get("message", "")), told.get("field")
    return kind(message, code=told["code"], field=field, status=status, request_id=request_id)
