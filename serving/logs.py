"""Logs: one JSON object a line, at most `LINES_A_SECOND` of them of a level, and no personal text.

BentoML has configured the handlers of a worker when the service starts; here they only get another formatter and a
bound. A record is a time, a level, a logger and our own words, and the request in which it was written. An exception
becomes its types and the places it came through: what it says may be a visitor's own text, and is left out.
"""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

LINES_A_SECOND = 50
"""Records of one level that are written in a second: a flood of refusals must leave room for real errors."""
TOLD = ("route", "status", "ms", "code", "left_out")
"""What a record may carry beside its message."""
LOGGERS = ("", "bentoml", "uvicorn.error", "circus")
"""Names of the loggers to which BentoML gives handlers."""

EXCEPTION = re.compile(r"^([A-Za-z_][\w.]*)(?=:|$)", re.MULTILINE)
"""Finds the line of a traceback's text that names the exception: the only one that is not indented."""

log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """A record as one line of JSON. `of_request`: the fields of the request that is being answered."""

    def __init__(self, of_request: Callable[[], dict[str, str]]) -> None:
        super().__init__()
        self._of_request = of_request

    def format(self, record: logging.LogRecord) -> str:
        moment = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        told: dict[str, Any] = {"timestamp": moment, "level": record.levelname, "logger": record.name}
        told["message"] = _headline(record.getMessage())
        told |= self._of_request()
        told |= {name: getattr(record, name) for name in TOLD if hasattr(record, name)}
        if record.exc_info and record.exc_info[1] is not None:
            told["exception"] = list(_causes(record.exc_info[1]))
        return json.dumps(told, ensure_ascii=False)


class Bound(logging.Filter):
    """Lets `LINES_A_SECOND` records of a level through; the next after that second says how many were left out."""

    def __init__(self) -> None:
        super().__init__()
        self._second, self._left_out = 0, 0
        self._lines = Counter[int]()

    def filter(self, record: logging.LogRecord) -> bool:
        second = int(time.monotonic())
        if second != self._second:
            self._second = second
            self._lines.clear()
        if self._lines[record.levelno] >= LINES_A_SECOND:
            self._left_out += 1
            return False
        self._lines[record.levelno] += 1
        if self._left_out:
            record.left_out, self._left_out = self._left_out, 0
        return True


def configure(of_request: Callable[[], dict[str, str]]) -> None:
    """From here on the process logs as this module says."""
    formatter, bound = JsonLines(of_request), Bound()
    for name in LOGGERS:
        handlers = logging.getLogger(name).handlers
        if handlers:
            logging.getLogger(name).propagate = False  # or what it writes would be written by the root's, too
        for handler in handlers:
            if formatter is not handler.formatter:
                handler.setFormatter(formatter)
                handler.addFilter(bound)
    logging.getLogger("serving").setLevel(logging.INFO)


def _headline(message: str) -> str:
    """The first line. Below it asyncio writes out the failed task, with all that its exception says, and uvicorn the
    traceback of a start that failed, of which the exception's type is told."""
    first, _, rest = message.partition("\n")
    kinds = EXCEPTION.findall(rest) if first.startswith("Traceback") else ()
    return f"{first} {kinds[-1]}" if kinds else first


def _causes(error: BaseException | None) -> Iterator[dict[str, Any]]:
    """The exception, then what it was raised from: types and places, innermost call last."""
    while error is not None:
        frames = traceback.extract_tb(error.__traceback__)
        places = [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]
        yield {"type": f"{type(error).__module__}.{type(error).__qualname__}", "at": places}
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
