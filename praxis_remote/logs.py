# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What is logged: which events there are, with which fields, and how a line is written.

Every line of the package is one event: a text for people, and for machines the attributes
of its `logging.LogRecord` that `Fields` lists. Neither ever has payload or tokens in it,
but for what the policy itself puts into the text of an exception.
"""

from __future__ import annotations

import json
import logging
import time
from typing import Literal, TypedDict

from typing_extensions import Unpack, override

__all__ = ["EVENTS", "Event", "Fields", "JsonFormatter", "event", "printable"]

Event = Literal[
    "loading",
    "loaded",
    "load_failed",
    "listening",
    "warming",
    "warmed",
    "serving",
    "draining",
    "waiting",
    "stopped",
    "metrics",
    "inspect",
    "open",
    "reloaded",
    "reload_failed",
    "connection_opened",
    "connection_closed",
    "connection_refused",
    "connection_ended",
    "connection_failed",
    "call_ended",
    "episodes_ended",
    "policy_failed",
    "policy_rejected",
    "policy_busy",
    "batch_failed",
    "worker_ended",
    "worker_failed",
    "worker_back",
    "replica_found",
    "replica_lost",
    "unforeseen",
]

EVENTS: dict[Event, str] = {
    "loading": "The policy is about to be imported and made.",
    "loaded": "It was.",
    "load_failed": "It could not be; the traceback is that of its code.",
    "listening": "Connections are taken, though not answered yet.",
    "warming": "The policy's ``warmup`` is called; calls wait for it.",
    "warmed": "It has returned.",
    "serving": "Connections are answered; calls of the policy, once it is warm.",
    "draining": "No new calls are taken; those that run get some seconds.",
    "waiting": "Calls still run while the server drains.",
    "stopped": "All connections are closed.",
    "metrics": "Prometheus can scrape this process.",
    "inspect": "The page that shows what the policy receives is there.",
    "open": "Others may read or use what they should not; what to do about it.",
    "reloaded": "Certificates or tokens have changed, and new ones are in use.",
    "reload_failed": "They have changed to what cannot be used; the old ones stay.",
    "connection_opened": "A client has connected.",
    "connection_closed": "Its connection has ended, in whatever way.",
    "connection_refused": "It was told to try again later.",
    "connection_ended": "The server ended it, and why.",
    "connection_failed": "It broke while a call was answered.",
    "call_ended": "The server ended a call before its time, and why.",
    "episodes_ended": "The policy was told that episodes are over, and why they are.",
    "policy_failed": "A method of the policy raised; the caller got INTERNAL or the like.",
    "policy_rejected": "It raised TypeError or ValueError; the caller got INVALID_ARGUMENT.",
    "policy_busy": "The process is left although the policy still works.",
    "batch_failed": "The policy raised for joined requests; each is tried alone.",
    "worker_ended": "A worker's process did, and is started again; how, and what it served.",
    "worker_failed": "One that was started again cannot serve; it is tried once more.",
    "worker_back": "One that was started again serves.",
    "replica_found": "Calls go to one more replica of the policy.",
    "replica_lost": "They do not any more; its episodes go on elsewhere.",
    "unforeseen": "A defect of ours, or of an observer; please report the traceback.",
}
"""All events, and what each says."""


class Fields(TypedDict, total=False):
    """What an event may say besides its name.

    Attributes:
        address: Where the server listens.
        peer: The client's address; for one without, as on a UNIX socket, the socket's.
        path: ``/package.Service/Method`` of a call.
        method: Of the policy, ``predict_action`` for example.
        policy: The class of the policy, or where it is to be found.
        reason: Why, in words.
        seconds: How long it took, or may take.
        episodes: How many it is about.
        worker: The number of a worker, of `serve --workers`, from 0 on. With the JSON form it is
            in each line of a worker.
    """

    address: str
    peer: str
    path: str
    method: str
    policy: str
    reason: str
    seconds: float
    episodes: int
    worker: int


def event(name: Event, **fields: Unpack[Fields]) -> dict[str, object]:
    """Returns what to pass to a logger as ``extra``."""
    return {"event": name, **fields}


# From here on readers of JSON make something else of a number; infinity they refuse.
_LARGE = 2**53

# What every record has, or gets from a formatter.
_NO_FIELDS = {*vars(logging.makeLogRecord({})), "message", "asctime", "taskName"}


def printable(text: str) -> str:
    """Returns a peer's words as they can stand in a line, and end none."""
    return text if text.isprintable() else ascii(text)[1:-1]


class JsonFormatter(logging.Formatter):
    """Writes a record as one line of JSON, whatever it says.

    Each has ``time`` (UTC), ``level``, ``logger`` and ``message``, then its fields, which
    are those of `Fields` and what other loggers of the process pass as ``extra``; and
    ``traceback`` if there is one.
    """

    @override
    def format(self, record: logging.LogRecord) -> str:
        """Returns the line."""
        line: dict[str, object] = {
            "time": _utc(record.created),
            "level": record.levelname,
            "logger": record.name,
            "message": _message(record),
        }
        for name, value in vars(record).items():
            # What libraries keep in records for themselves, as Ray does, begins like that.
            if name not in _NO_FIELDS and not name.startswith("_"):
                line.setdefault(name, _plain(value))
        if record.exc_info and record.exc_info[0] is not None:
            line["traceback"] = self.formatException(record.exc_info)
        if record.stack_info:
            line["stack"] = record.stack_info
        return json.dumps(line)


def _utc(seconds: float) -> str:
    milliseconds = round(seconds * 1e3)
    date = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(milliseconds // 1000))
    return f"{date}.{milliseconds % 1000:03d}Z"


def _message(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # arguments that do not go with the text: both are of use
        return f"{_plain(record.msg)} {_plain(record.args)}"


def _plain(value: object) -> object:
    """Returns a value as JSON has it, or as text."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, float)) and abs(value) < _LARGE:
        return value
    try:
        return str(value)
    except Exception:  # it is of somebody else's class
        return f"<{type(value).__name__}>"
