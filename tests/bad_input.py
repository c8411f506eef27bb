"""Requests that Schemathesis makes from the OpenAPI document, valid and not, and what every answer must be.

Some cases are the document's example with a few generated fields, and many a generated string is replaced by an id that
both apps know: so requests also get past the door. Every choice follows from the case itself: the same document and
seed give the same requests.
"""

from __future__ import annotations

import asyncio
import json
import random
import zlib
from collections import Counter
from collections.abc import Callable
from typing import Any

import httpx
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from jsonschema import Draft202012Validator, FormatChecker
from marked_apps import BUYERS, ITEMS, MARK, PROVIDER
from schemathesis import GenerationMode
from starlette.applications import Starlette

from serving.app import v1
from serving.context import Context
from serving.examples import EXAMPLES
from serving.openapi import document
from serving.routes import ROUTES
from serving.stores.keys import SCOPES
from serving.stores.merchants import Provider

ANSWERED_WITHIN_S = 60.0
"""Nothing here takes a second; what takes a minute hangs."""
KNOWN = (*ITEMS, "chen", "u001", "s1", "c1", "o1", "chen-1", "tea", "home", "loyal", "2026-03-01T00:00:00Z", "")
REPLACED = 0.3


class BadInput:
    """Sends cases to the application on an open context with the apps of `marked_apps`. `seen`: how many answers of
    each status a route gave."""

    def __init__(self, context: Context) -> None:
        self.seen: dict[str, Counter[int]] = {path: Counter() for path in ROUTES}
        self._document: dict[str, Any] = json.loads(json.dumps(document()))
        self._cases = schemathesis.openapi.from_dict(self._document)
        self._checkers: dict[tuple[str, int], Draft202012Validator] = {}
        self._runner = asyncio.Runner()
        transport = httpx.ASGITransport(Starlette(routes=[v1(context)]))
        self._http = httpx.AsyncClient(transport=transport, base_url="http://test")
        bearers = {scope: f"Bearer {context.store.add_key('shop', scope)}" for scope in SCOPES}
        self._may_all = {"authorization": bearers["admin"]}
        provider = f"Bearer {context.store.add_key(Provider(PROVIDER), 'admin')}"
        token = self._post("/token", json.dumps({"user_id": "chen", "ttl": 3600}).encode(), self._may_all).json()[
            "token"
        ]
        self._token = f"Bearer {token}"
        self._others = [
            {},
            {"authorization": provider},
            {"authorization": provider, "x-app-id": "shop"},
            {"authorization": provider, "x-app-id": "other"},
            *({"authorization": bearer} for bearer in bearers.values()),
            {"authorization": bearers["admin"], "x-app-id": "other"},
            {"authorization": self._token},
            {"authorization": self._token, "x-app-id": "other"},
        ]

    def close(self) -> None:
        self._runner.run(self._http.aclose())
        self._runner.close()

    def run(self, path: str, cases: int, seed_: int = 0) -> None:
        """The route's example, then as many cases valid by the document, and as many that are not. Raises
        AssertionError."""
        self.check(path, self._post(path, json.dumps(EXAMPLES[path]).encode(), self._may_all))
        for mode in GenerationMode:
            given_case = given(case=self._cases[path]["POST"].as_strategy(generation_mode=mode))
            once = settings(
                max_examples=cases,
                database=None,
                deadline=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            ask: Callable[[], None] = seed(seed_)(once(given_case(lambda case: self._ask(path, case))))
            ask()

    def _ask(self, path: str, case: Any) -> None:
        body = case.body if isinstance(case.body, dict | list | str | int | float | bool | None) else repr(case.body)
        draw = random.Random(zlib.crc32(repr((path, body)).encode("utf-8", "replace")))
        sent = _mixed(body, draw)
        if isinstance(sent, dict) and draw.random() < REPLACED:
            sent = EXAMPLES[path] | {name: one for name, one in sent.items() if draw.random() < REPLACED}
        headers = self._headers(case.headers, draw)
        answer = self._post(path, json.dumps(sent).encode(), headers)
        self.check(path, answer)
        if answer.status_code == 200 and not any(field.row for field in ROUTES[path].form.fields):
            by_token = headers.get("authorization") == self._token and sent.get("user_id") in (None, "")
            meant = {**sent, "user_id": "chen"} if by_token and "user_id" in self._fields(path) else sent
            assert self._validator(self._body(path)["schema"]).is_valid(meant), (
                path,
                sent,
                "taken, though not told so",
            )

    def _headers(self, generated: Any, draw: random.Random) -> dict[str, str]:
        """Those of the case, with a key that may do everything, or now and then another one, a token or none."""
        taken = ("authorization", "x-app-id", "content-length", "host", "transfer-encoding")
        kept = {name: value for name, value in (generated or {}).items() if name.lower() not in taken}
        return kept | (draw.choice(self._others) if draw.random() < REPLACED else self._may_all)

    def _post(self, path: str, content: bytes, headers: dict[str, str]) -> httpx.Response:
        async def within() -> httpx.Response:
            async with asyncio.timeout(ANSWERED_WITHIN_S):
                return await self._http.post(f"/v1{path}", content=content, headers=headers)

        return self._runner.run(within())

    def check(self, path: str, answer: httpx.Response) -> None:
        """No byte of the other app, and an answer that the document tells. Raises AssertionError."""
        self.seen[path][answer.status_code] += 1
        assert MARK.encode() not in answer.content, (path, answer.request.content, answer.text)
        assert MARK not in str(answer.headers), (path, answer.request.content)
        told = self._document["paths"][path]["post"]["responses"]
        assert str(answer.status_code) in told, (path, answer.status_code, answer.request.content, answer.text)
        assert answer.status_code < 500 or answer.status_code == 503, (path, answer.request.content, answer.text)
        problems = [one.message for one in self._checker(path, answer.status_code).iter_errors(answer.json())]
        assert not problems, (path, answer.request.content, answer.text, problems)

    def _fields(self, path: str) -> set[str]:
        return {field.name for field in ROUTES[path].form.fields}

    def _body(self, path: str) -> dict[str, Any]:
        told: dict[str, Any] = self._document["paths"][path]["post"]["requestBody"]["content"]["application/json"]
        return told

    def _checker(self, path: str, status: int) -> Draft202012Validator:
        if (path, status) not in self._checkers:
            told = self._document["paths"][path]["post"]["responses"][str(status)]
            if "$ref" in told:
                told = self._document["components"]["responses"][told["$ref"].rpartition("/")[2]]
            self._checkers[path, status] = self._validator(told["content"]["application/json"]["schema"])
        return self._checkers[path, status]

    def _validator(self, schema: dict[str, Any]) -> Draft202012Validator:
        whole = schema | {"components": self._document["components"]}
        return Draft202012Validator(whole, format_checker=FormatChecker())


def _mixed(value: Any, draw: random.Random) -> Any:
    """The value with some of its strings replaced by known ids, and some empty objects by a rule."""
    if isinstance(value, dict):
        if not value and draw.random() < REPLACED:
            return BUYERS
        return {name: _mixed(one, draw) for name, one in value.items()}
    if isinstance(value, list):
        return [_mixed(one, draw) for one in value]
    return draw.choice(KNOWN) if isinstance(value, str) and draw.random() < REPLACED else value
