"""The Python client of `/v1`: `Huaxiang` for a backend with threads, `AsyncHuaxiang` for one with an event loop.

Needs httpx and nothing else of huaxiang's dependencies: `pip install --no-deps huaxiang && pip install httpx`. Both
clients have one method for each route, named like its operation, with the request's fields as arguments; `calls` holds
them. Answers are dicts with the types of `answers`; what is refused raises one of `errors`. A call that got no answer,
429 or 503 is sent again (see `exchange`), which is safe for every call there is (see `calls`).
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

import httpx

from serving.sdk import calls
from serving.sdk.calls import Call
from serving.sdk.events import Sent, send
from serving.sdk.exchange import PATIENT, Came, Outcome, Patience, Post, Steps, exchange
from serving.sdk.rows import Event

T = TypeVar("T")
P = ParamSpec("P")


def _sync(make: Callable[P, Call[T]]) -> Callable[Concatenate[Huaxiang, P], T]:
    @functools.wraps(make)
    def method(self: Huaxiang, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._do(exchange(make(*args, **kwargs), self._patience))

    return method


def _async(make: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncHuaxiang, P], Coroutine[Any, Any, T]]:
    @functools.wraps(make)
    async def method(self: AsyncHuaxiang, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return await self._do(exchange(make(*args, **kwargs), self._patience))

    return method


def _of_client(url: str, key: str, app_id: str | None) -> dict[str, Any]:
    headers = {"authorization": f"Bearer {key}", "content-type": "application/json"}
    return {"base_url": f"{url.rstrip('/')}/v1", "headers": headers | ({"x-app-id": app_id} if app_id else {})}


class Huaxiang:
    """`with Huaxiang("https://...", key) as client: client.recommend("ann")`. Threads may share it.

    `key`: a server's key, a visitor's token, or a provider's key, which needs `app_id`. `transport`: httpx's, where the
    network needs more than an address. Every method raises CallFailed; `events` EventsNotSent.
    """

    def __init__(
        self,
        url: str,
        key: str,
        *,
        app_id: str | None = None,
        patience: Patience = PATIENT,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._http = httpx.Client(**_of_client(url, key, app_id), transport=transport)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def events(self, events: Iterable[Event]) -> Sent:
        """Sends any number of events, in batches (see `events.send`)."""
        return self._do(send(events, self._patience))

    def _do(self, steps: Steps[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Post):
                    outcome = self._post(step)
                else:
                    time.sleep(step.seconds)
        except StopIteration as done:
            answer: T = done.value
            return answer

    def _post(self, step: Post) -> Outcome:
        until = time.monotonic() + step.timeout_s
        content, wait = step.call.content, step.timeout_s
        try:
            with self._http.stream("POST", step.call.path, content=content, timeout=wait) as answer:
                parts = []
                for part in answer.iter_bytes():
                    parts.append(part)
                    if time.monotonic() > until:
                        raise httpx.ReadTimeout("the answer did not come to its end")
        except httpx.RequestError as error:
            return error
        return Came(answer.status_code, answer.headers, b"".join(parts))

    recommend = _sync(calls.recommend)
    similar = _sync(calls.similar)
    together = _sync(calls.together)
    trending = _sync(calls.trending)
    offers = _sync(calls.offers)
    offers_claim = _sync(calls.offers_claim)
    offers_redeem = _sync(calls.offers_redeem)
    offers_return = _sync(calls.offers_return)
    items = _sync(calls.items)
    users = _sync(calls.users)
    stores = _sync(calls.stores)
    contents = _sync(calls.contents)
    identities = _sync(calls.identities)
    offers_catalogue = _sync(calls.offers_catalogue)
    rules = _sync(calls.rules)
    rules_list = _sync(calls.rules_list)
    rules_delete = _sync(calls.rules_delete)
    forget = _sync(calls.forget)
    token = _sync(calls.token)
    portrait = _sync(calls.portrait)
    portrait_export = _sync(calls.portrait_export)
    tags_delete = _sync(calls.tags_delete)
    personalization = _sync(calls.personalization)
    segments = _sync(calls.segments)
    segments_list = _sync(calls.segments_list)
    segments_delete = _sync(calls.segments_delete)
    segments_preview = _sync(calls.segments_preview)
    segments_match = _sync(calls.segments_match)
    segments_compare = _sync(calls.segments_compare)
    segments_profile = _sync(calls.segments_profile)


class AsyncHuaxiang:
    """`async with AsyncHuaxiang("https://...", key) as client: await client.recommend("ann")`; see `Huaxiang`."""

    def __init__(
        self,
        url: str,
        key: str,
        *,
        app_id: str | None = None,
        patience: Patience = PATIENT,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._patience = patience
        self._http = httpx.AsyncClient(**_of_client(url, key, app_id), transport=transport)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def events(self, events: Iterable[Event]) -> Sent:
        """Sends any number of events, in batches (see `events.send`)."""
        return await self._do(send(events, self._patience))

    async def _do(self, steps: Steps[T]) -> T:
        outcome: Outcome = None
        try:
            while True:
                step = steps.send(outcome)
                if isinstance(step, Post):
                    outcome = await self._post(step)
                else:
                    await asyncio.sleep(step.seconds)
        except StopIteration as done:
            answer: T = done.value
            return answer

    async def _post(self, step: Post) -> Outcome:
        content, wait = step.call.content, step.timeout_s
        try:
            async with asyncio.timeout(wait):
                answer = await self._http.post(step.call.path, content=content, timeout=wait)
        except TimeoutError:
            return httpx.ReadTimeout("the answer did not come to its end")
        except httpx.RequestError as error:
            return error
        return Came(answer.status_code, answer.headers, answer.content)

    recommend = _async(calls.recommend)
    similar = _async(calls.similar)
    together = _async(calls.together)
    trending = _async(calls.trending)
    offers = _async(calls.offers)
    offers_claim = _async(calls.offers_claim)
    offers_redeem = _async(calls.offers_redeem)
    offers_return = _async(calls.offers_return)
    items = _async(calls.items)
    users = _async(calls.users)
    stores = _async(calls.stores)
    contents = _async(calls.contents)
    identities = _async(calls.identities)
    offers_catalogue = _async(calls.offers_catalogue)
    rules = _async(calls.rules)
    rules_list = _async(calls.rules_list)
    rules_delete = _async(calls.rules_delete)
    forget = _async(calls.forget)
    token = _async(calls.token)
    portrait = _async(calls.portrait)
    portrait_export = _async(calls.portrait_export)
    tags_delete = _async(calls.tags_delete)
    personalization = _async(calls.personalization)
    segments = _async(calls.segments)
    segments_list = _async(calls.segments_list)
    segments_delete = _async(calls.segments_delete)
    segments_preview = _async(calls.segments_preview)
    segments_match = _async(calls.segments_match)
    segments_compare = _async(calls.segments_compare)
    segments_profile = _async(calls.segments_profile)
