# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""What the page is told, as JSON: the episodes, and everything of the one that is looked at.

Runs on the page's thread, and only while somebody looks.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from ..types import Array
from .copies import TRACED_SIZE, KeptArray, KeptScalar, KeptText
from .episodes import Episode, Episodes, Step
from .images import find_scale
from .summaries import Summary, flags, summarize

__all__ = ["describe", "to_json"]

# What JavaScript's numbers hold exactly.
_MAX_INT = 2**53

_SHOWN_VALUES = 64


def to_json(value: Any) -> str:
    """Returns JSON that a browser reads: numbers that JSON has no form for go as text."""
    try:
        # Courses are many numbers, nearly always finite ones.
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except ValueError:
        return json.dumps(_plain(value), allow_nan=False, separators=(",", ":"))


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return value if -_MAX_INT <= value <= _MAX_INT else str(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    if value is None or isinstance(value, (bool, str)):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)


def describe(episodes: Episodes, number: int | None, now: float) -> dict[str, Any]:
    """Returns the list of episodes, and the one with a number, or else the first."""
    with episodes.lock:
        found = episodes.all()
        chosen = next((each for each in found if each.number == number), None)
        if chosen is None and found:
            chosen = found[0]
        rows = [_row(episode, now) for episode in found]
        if chosen is None:
            return {"episodes": rows, "chosen": None}
        step, traces = chosen.latest, chosen.traces()
        courses = {"infer_trace": chosen.infer_trace(), "action_trace": chosen.action_trace()}
        head = _row(chosen, now)
    return {"episodes": rows, "chosen": {**head, **_detail(step, traces), **courses}}


def _row(episode: Episode, now: float) -> dict[str, Any]:
    step = episode.latest
    return {
        "number": episode.number,
        "label": episode.label,
        "steps": episode.steps,
        "age": max(0.0, now - step.seen),
        "rate": episode.rate(),
        "stale": any(map(step.stale, step.observation)),
        "error": step.error is not None,
        "working": step.infer is None,
    }


def _detail(step: Step, traces: Mapping[str, Array]) -> dict[str, Any]:
    values = [
        _describe_value(index, key, step, traces) for index, key in enumerate(step.observation)
    ]
    return {
        "stamp": step.seen,
        "peer": step.caller.peer,
        "session": step.caller.session,
        "index": step.place,
        "batch": step.batch,
        "infer": step.infer,
        "phases": _phases(step),
        "error": step.error,
        "values": values,
        "more_keys": step.more_keys,
        "kwargs": json.dumps(_plain(step.kwargs), indent=2, ensure_ascii=False),
        "action": None if step.action is None else _describe_action(step.action),
    }


def _phases(step: Step) -> dict[str, float]:
    """Returns seconds by phase; encoding and sending the answer come after them."""
    before, phases = step.caller.timing, {}
    if before is not None:
        phases = {"receive": before.receive, "decode": before.decode, "queue": before.queue}
    if step.infer is not None:
        phases = {**phases, "infer": step.infer}
        phases["total"] = sum(phases.values())
    return phases


def _describe_value(
    index: int, key: str, step: Step, traces: Mapping[str, Array]
) -> dict[str, Any]:
    kept = step.observation[key]
    about: dict[str, Any] = {"index": index, "key": key}
    if isinstance(kept, KeptText):
        return {**about, "kind": "text", "text": kept.text, "length": kept.length}
    if isinstance(kept, KeptScalar):
        kind = type(kept.value).__name__
        return {
            **about,
            "kind": "numbers",
            "values": _plain([kept.value]),
            **_scalar(kind),
            **_course(key, traces),
        }
    return {**about, **_describe_array(kept, step.stale(key)), **_course(key, traces)}


def _scalar(kind: str) -> dict[str, Any]:
    return {"dtype": kind, "shape": None, "flags": [], "range": None, "step": 1}


def _course(key: str, traces: Mapping[str, Array]) -> dict[str, Any]:
    return {"traces": traces[key].T.tolist() if key in traces else []}


def _describe_array(kept: KeptArray, stale: int) -> dict[str, Any]:
    summary = None if kept.data is None else summarize(kept.data)
    about = {
        "dtype": kept.dtype,
        "shape": list(kept.shape),
        "step": kept.step,
        "range": None if summary is None else _plain([summary.low, summary.high, summary.mean]),
        "flags": flags(kept, summary, stale),
    }
    if kept.layout is not None and kept.data is not None:
        return {**about, **_describe_image(kept, summary)}
    data = kept.data
    shown = [] if data is None else _plain(data.reshape(-1)[:_SHOWN_VALUES].tolist())
    size = math.prod(kept.shape)
    return {**about, "kind": "numbers", "values": shown, "more": max(0, size - TRACED_SIZE)}


def _describe_image(kept: KeptArray, summary: Summary | None) -> dict[str, Any]:
    layout = kept.layout
    assert layout is not None
    low, high = (0.0, 0.0) if summary is None else (summary.low, summary.high)
    return {
        "kind": "image",
        "layout": layout.name,
        "ambiguous": layout.ambiguous,
        "height": layout.height,
        "width": layout.width,
        "channels": layout.channels,
        "frames": layout.frames,
        "scale": find_scale(kept.dtype, layout.channels, low, high).rule,
    }


def _describe_action(kept: KeptArray) -> dict[str, Any]:
    assert kept.data is not None
    data = kept.data
    rows = data if data.ndim == 2 else data.reshape(1, -1)
    return {
        "dtype": kept.dtype,
        "shape": list(kept.shape),
        "rows": rows.tolist() if rows.dtype.kind == "f" else _plain(rows.tolist()),
        "flags": flags(kept, summarize(data), 0),
    }
