"""The OpenAPI 3.1 document of `/v1`, made from the same declarations that check the requests."""

from __future__ import annotations

from typing import Any

from portraits.history import ID_LIMIT, INTEGER_LIMIT, JSON_LIMIT, LIST_LIMIT, TABLES, TEXT_LIMIT, Column, Kind, Table
from serving.forms import schema_of
from serving.promotions import RULES
from serving.routes import ROUTES, Route
from serving.segments.answers import SEGMENT_ANSWERS

_KINDS: dict[Kind, dict[str, Any]] = {
    Kind.ID: {"type": "string", "maxLength": ID_LIMIT},
    Kind.TEXT: {"type": "string", "maxLength": TEXT_LIMIT},
    Kind.TIME: {"type": "string", "format": "date-time"},
    Kind.INTEGER: {"type": "integer", "maximum": INTEGER_LIMIT},
    Kind.DECIMAL: {"type": ["number", "string"]},
    Kind.BOOLEAN: {"type": "boolean"},
    Kind.LIST: {"type": "array", "items": {"type": "string", "maxLength": TEXT_LIMIT}, "maxItems": LIST_LIMIT},
    Kind.JSON: {"type": ["object", "array", "string"], "description": f"at most {JSON_LIMIT} characters"},
}
_REASON = {
    "type": "object",
    "properties": {"code": {"type": "string"}, "text": {"type": "string"}, "evidence": {"type": "object"}},
}
_ITEM = {
    "type": "object",
    "properties": {
        "item_id": {"type": "string"},
        "score": {"type": "number"},
        "source": {"type": "string"},
        "reason": _REASON,
    },
}
_ITEMS_ANSWER = {
    "decision_id": {"type": "string"},
    "version": {"type": ["string", "null"]},
    "degraded": {"type": "boolean"},
    "items": {"type": "array", "items": _ITEM},
    "removed": {"type": "object", "additionalProperties": {"type": "integer"}},
}
_PERSON = {"user_id": {"type": "string", "description": "the person's own, whichever linked id was asked for"}}
_REFUSED_ROWS = {
    "type": "array",
    "items": {"type": "object", "properties": {"index": {"type": "integer"}, "reason": {"type": "string"}}},
    "description": "rows of visitors who were forgotten",
}
_UPSERTED = {"changed": {"type": "integer"}, "unchanged": {"type": "integer"}, "rejected": _REFUSED_ROWS}
_ANSWERS: dict[str, dict[str, Any]] = {
    "/events": {
        "accepted": {"type": "integer"},
        "duplicates": {"type": "integer"},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "index": {"type": "integer"},
                    "field": {"type": "string"},
                    "reason": {"type": "string"},
                },
            },
        },
    },
    "/recommend": _ITEMS_ANSWER | _PERSON,
    "/similar": _ITEMS_ANSWER,
    "/together": _ITEMS_ANSWER,
    "/trending": _ITEMS_ANSWER,
    "/offers": {
        **_PERSON,
        "decision_id": {"type": "string"},
        "degraded": {"type": "boolean"},
        "offers": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "offer_id": {"type": "string"},
                    "title": {"type": "string"},
                    "kind": {"type": "string"},
                    "value": {"type": ["integer", "null"]},
                    "minimum": {"type": ["integer", "null"]},
                    "reason": _REASON,
                    "expires": {"type": ["string", "null"], "format": "date-time"},
                },
            },
        },
    },
}
_ANSWERS |= SEGMENT_ANSWERS
_ANSWERS["/forget"] = {
    "user_id": {"type": "string"},
    "ids": {"type": "integer", "description": "how many ids the person had"},
    "known": {"type": "boolean", "description": "false: there was nothing to forget; it is remembered all the same"},
    "status": {"type": "string", "enum": ["pending", "done"]},
    "pending": {"type": "array", "items": {"type": "string"}, "description": "what may still hold the visitor"},
}
_UNKNOWN = {"type": "array", "items": {"type": "string"}, "description": "rule_ids about what the catalogue lacks"}
_ANSWERS["/rules"] = {"changed": {"type": "integer"}, "unchanged": {"type": "integer"}, "unknown": _UNKNOWN}
_ANSWERS["/rules/list"] = {"rules": {"type": "array", "items": {"type": "object"}}}
_ANSWERS["/rules/delete"] = {"deleted": {"type": "integer"}}
ROWS = {**TABLES, RULES.name: RULES}
"""What a field of rows may hold, by name."""
_ERROR = {
    "type": "object",
    "required": ["error"],
    "properties": {
        "error": {
            "type": "object",
            "required": ["code", "message"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "field": {"type": "string"},
            },
        }
    },
}
_REFUSALS = {
    "401": "no valid key",
    "403": "the key has another scope",
    "404": "no such segment",
    "409": "in use by another segment",
    "413": "the body is too large",
    "422": "a field cannot be taken; `field` names it",
    "429": "too many questions wait, or the portraits of the night are being opened",
    "503": "the store is away; nothing was accepted, try again after Retry-After seconds",
    "504": "the question took too long and was stopped",
}


def document() -> dict[str, Any]:
    """The whole document."""
    tables = {field.row for route in ROUTES.values() for field in route.form.fields if field.row}
    return {
        "openapi": "3.1.0",
        "info": {"title": "huaxiang", "version": "1", "description": "Events in, recommendations out."},
        "servers": [{"url": "/v1"}],
        "security": [{"key": []}],
        "paths": {path: {"post": _operation(route)} for path, route in ROUTES.items()},
        "components": {
            "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            "schemas": {name: _row_schema(ROWS[name]) for name in sorted(tables)} | {"error": _ERROR},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    answer = {"type": "object", "properties": _ANSWERS.get(route.path, _UPSERTED)}
    refusals = {
        status: {"description": meaning, "content": _json({"$ref": "#/components/schemas/error"})}
        for status, meaning in _REFUSALS.items()
    }
    return {
        "operationId": route.path.strip("/").replace("/", "_"),
        "summary": route.meaning,
        "description": f"Needs a key with scope `{route.scope}`.",
        "requestBody": {"required": True, "content": _json(schema_of(route.form))},
        "responses": {"200": {"description": "done", "content": _json(answer)}} | refusals,
    }


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}


def _row_schema(table: Table) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [column.name for column in table.columns if column.required],
        "properties": {column.name: _column_schema(column) for column in table.columns},
    }


def _column_schema(column: Column) -> dict[str, Any]:
    kind = _KINDS[column.kind]
    limits = f" ({kind['description']})" if "description" in kind else ""
    bound = {} if column.minimum is None else {"minimum": column.minimum}
    return {**kind, **bound, "description": column.meaning + limits}
