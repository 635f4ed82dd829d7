# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""The command line: serve a policy, call one by hand, find the schema.

Here live options, texts, signals and exit codes. What is done belongs to the modules
that a program would use as well.
"""

from __future__ import annotations

import argparse
import asyncio
import atexit
import errno
import json
import logging
import math
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from typing_extensions import override

from .address import DEFAULT_PORT, Address, check_address, parse_address
from .client import PolicyClient
from .errors import (
    DeadlineExceededError,
    HandlerError,
    RemoteError,
    UnavailableError,
)
from .framing import DEFAULT_MAX_MESSAGE_SIZE
from .loading import KwargsRefusedError, LoadError, PolicyCodeError, Target, load
from .protocol import PolicyHandler
from .scheduler import Scheduler
from .schema import include_path
from .schema.reuse import adopt
from .server import PolicyServer, bind
from .tensors import NUMBERS, SUPPORTED
from .types import Array, ObservationValue, PolicyKwargValue
from .version import __version__

__all__ = ["main"]

log = logging.getLogger("praxis_remote.cli")

_FAILED, _USAGE, _INTERRUPTED = 1, 2, 130

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

# A terminal and a supervisor may both send theirs for one wish to stop.
_TOGETHER = 0.5

_LOG_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_LOG_LEVELS = ("debug", "info", "warning", "error")


class _CommandError(Exception):
    """What keeps a command from being done, as one line for the person who gave it."""

    exit_code = _FAILED


class _UsageError(_CommandError):
    """The command line itself is at fault."""

    exit_code = _USAGE


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    ``serve`` takes over the process's SIGINT and SIGTERM, and keeps them.

    Args:
        argv: The words after the program's name; None for those of the process.

    Returns:
        The exit code: 0 done, 1 failed, 2 the command line is wrong, 130 interrupted.

    Raises:
        SystemExit: Help or the version was asked for.
    """
    try:
        arguments = _parser().parse_args(argv)
        code: int = arguments.run(arguments)
    except _CommandError as error:
        return _complain(str(error), error.exit_code)
    except RemoteError as error:
        return _complain(_explain(error), _FAILED)
    except KeyboardInterrupt:
        return _complain("interrupted", _INTERRUPTED)
    return code


def _complain(text: str, exit_code: int) -> int:
    sys.stderr.write(f"praxis-remote: error: {' '.join(text.split())}\n")
    return exit_code


def _say(text: str) -> None:
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except OSError as error:
        # Python would complain at exit that it cannot flush what nobody takes.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise _CommandError(f"cannot write to stdout: {error.strerror}") from error


# ---------------------------------------------------------------- what to do next

_NEXT_AFTER_STATUS: dict[type[RemoteError], str] = {
    UnavailableError: "is a policy served there? `health ADDR --wait SECONDS` waits for one",
    DeadlineExceededError: "allow more time with --timeout or --wait",
    HandlerError: "the server's log has the traceback",
}

_NEXT_AFTER_ERRNO: dict[int, str] = {
    errno.EADDRINUSE: "stop what listens there, or choose another --port (0 lets the system pick)",
    errno.EACCES: "ports below 1024 take privileges; choose another --port",
    errno.EADDRNOTAVAIL: "give --host an address of this machine, or 0.0.0.0 for all of them",
}


def _explain(error: RemoteError) -> str:
    for kind, advice in _NEXT_AFTER_STATUS.items():
        if isinstance(error, kind):
            return f"{error}; {advice}"
    return str(error)


# ---------------------------------------------------------------- serve


def _serve(arguments: argparse.Namespace) -> int:
    kwargs = _as_mapping(arguments.kwarg)
    _log_to_stderr(arguments.log_level)
    _import_from_current_folder()
    # Registered before the policy's own exit hooks, it runs after them.
    atexit.register(_ignore_signals)
    scheduler = Scheduler()
    with _killed_by_signals():
        server, name = _make_server(arguments, kwargs, scheduler)
    asyncio.run(_serve_until_signalled(server, name, arguments.grace))
    if not scheduler.idle:
        log.warning("leaving although the policy still works on a call that was given up")
        _leave()
    return 0


def _make_server(
    arguments: argparse.Namespace, kwargs: Mapping[str, object], scheduler: Scheduler
) -> tuple[PolicyServer, str]:
    address = check_address(arguments.host, arguments.port, lowest_port=0)
    # Loading may take minutes, after which is no time to learn that the port is taken.
    _check_can_listen(address)
    handler = _load_on(scheduler, arguments.target, kwargs)
    with _advice_on_address():
        server = PolicyServer(
            handler,
            host=address.host,
            port=address.port,
            max_message_size=arguments.max_message_size,
            scheduler=scheduler,
        )
    return server, type(handler).__name__


def _check_can_listen(address: Address) -> None:
    with _advice_on_address():
        bind(address).close()


@contextmanager
def _advice_on_address() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        advice = _NEXT_AFTER_ERRNO.get(error.errno or 0, "check --host and --port")
        raise _CommandError(f"{error.strerror}; {advice}") from error


def _load_on(scheduler: Scheduler, target: Target, kwargs: Mapping[str, object]) -> PolicyHandler:
    """Returns the policy, imported and made on the thread that will run it."""
    log.debug("loading %s", target)
    begun = time.monotonic()
    try:
        handler = scheduler.call(lambda: load(target, kwargs))
    except KwargsRefusedError as error:
        raise _UsageError(str(error)) from error
    except PolicyCodeError as error:
        log.debug("the traceback", exc_info=error.__cause__)
        raise _CommandError(f"{error}; for its traceback add --log-level debug") from error
    except LoadError as error:
        raise _CommandError(str(error)) from error
    log.info("loaded %s in %.1f s", type(handler).__name__, time.monotonic() - begun)
    return handler


async def _serve_until_signalled(server: PolicyServer, name: str, grace: float) -> None:
    stop = _on_stop_signals()
    serving = asyncio.create_task(server.serve_async())
    _say(f"serving {name} on {server.address}")
    await _first_of(serving, stop)
    server.request_stop(grace=grace)
    log.info("stopping: no new calls are taken, running ones get %g s", grace)
    await asyncio.wait({serving}, timeout=_TOGETHER)
    if not serving.done():
        stop.clear()
        log.info("waiting for calls to finish; SIGINT or SIGTERM once more stops at once")
        await _first_of(serving, stop)
    if not serving.done():
        log.warning("stopping at once")
        serving.cancel()
    with suppress(asyncio.CancelledError):
        await serving


async def _first_of(task: asyncio.Task[None], event: asyncio.Event) -> None:
    """Returns when the task has ended or the event is set."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({task, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()


def _on_stop_signals() -> asyncio.Event:
    """Returns an event that SIGINT and SIGTERM set from now on."""
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    reader, writer = socket.socketpair()
    writer.setblocking(False)

    def watch() -> None:
        with reader, writer:
            while True:
                if reader.recv(1)[0] in _STOP_SIGNALS:
                    _set_or_leave(loop, stop)

    # Not the loop's own handlers: they end with the loop, and the next signal would
    # kill a process that has stopped in good order. Nor a handler that acts by itself:
    # it runs on the main thread, which may sleep while another thread got the signal.
    for number in _STOP_SIGNALS:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer.fileno(), warn_on_full_buffer=False)
    threading.Thread(target=watch, name="praxis-remote-signals", daemon=True).start()
    return stop


def _set_or_leave(loop: asyncio.AbstractEventLoop, event: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        # The loop is closed: what remains are the policy's own threads and hooks.
        _leave()


@contextmanager
def _killed_by_signals() -> Iterator[None]:
    """Lets the kernel end the process on a signal.

    Python would first wait for whatever compiled code runs, such as what loads a
    model, then for that code's thread, and show a traceback.
    """
    main_thread = threading.current_thread() is threading.main_thread()
    numbers = _STOP_SIGNALS if main_thread else ()
    before = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    """Keeps the last moments, in which Python has let go of signals, from ending in one."""
    for number in _STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _leave() -> NoReturn:
    """Ends the process at once.

    Compiled code that runs on another thread while the interpreter winds down would
    abort the process, or keep it.
    """
    with suppress(OSError):
        sys.stdout.flush()
    os._exit(0)


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(stream=sys.stderr, level=level.upper(), format=_LOG_FORMAT)
    # It tells of every header of every call.
    logging.getLogger("hpack").setLevel(logging.INFO)


def _import_from_current_folder() -> None:
    """Lets the installed script find what ``python -m`` finds."""
    if not {"", str(Path.cwd())} & set(sys.path):
        sys.path.insert(0, str(Path.cwd()))


# ---------------------------------------------------------------- health, reset


@contextmanager
def _client(
    arguments: argparse.Namespace, max_message_size: int = DEFAULT_MAX_MESSAGE_SIZE
) -> Iterator[PolicyClient]:
    host, port = arguments.address
    with (
        _killed_by_signals(),
        PolicyClient(
            host, port, timeout=arguments.timeout, max_message_size=max_message_size
        ) as client,
    ):
        yield client


def _health(arguments: argparse.Namespace) -> int:
    with _client(arguments) as client:
        if arguments.wait is not None:
            ready, info = True, client.wait_ready(arguments.wait)
        else:
            ready, info = client.health_check()
    if not ready:
        raise _CommandError(f"{client.address} is not ready: {info or 'it does not say why'}")
    _say(info)
    return 0


def _reset(arguments: argparse.Namespace) -> int:
    with _client(arguments) as client:
        if not client.reset(episode_ids=arguments.episode):
            raise _CommandError(f"{client.address} says that nothing was reset")
    _say(f"reset {', '.join(arguments.episode or ['all episodes'])}")
    return 0


# ---------------------------------------------------------------- predict


def _predict(arguments: argparse.Namespace) -> int:
    policy_kwargs: dict[str, Any] = _as_mapping(arguments.kwarg)
    observations = (
        [_read_npz(arguments.npz)] if arguments.npz is not None else _read_json(arguments.json)
    )
    with _client(arguments, arguments.max_message_size) as client:
        begun = time.perf_counter()
        action = client.predict_action(
            observations, policy_kwargs=policy_kwargs, episode_ids=arguments.episode
        )
        elapsed = time.perf_counter() - begun
    _say(_FORMATS[arguments.format](action))
    if arguments.output is not None:
        _write_npy(arguments.output, action)
    sys.stderr.write(f"{elapsed * 1e3:.1f} ms, connecting included\n")
    return 0


def _read_npz(path: Path) -> dict[str, ObservationValue]:
    try:
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it holds a single array without a key")
            return {key: _as_text_if_text(archive[key]) for key in archive.files}
    except OSError as error:
        raise _CommandError(f"cannot read {path}: {error.strerror or error}") from error
    # Where a file is damaged, numpy, zipfile and zlib raise nearly anything.
    except Exception as error:
        raise _CommandError(
            f"{path} is no .npz file of plain arrays: {error}; "
            "write one with numpy.savez, one array for each key"
        ) from error


def _as_text_if_text(array: Array) -> ObservationValue:
    return str(array) if array.ndim == 0 and array.dtype.kind == "U" else array


def _read_json(source: str) -> list[dict[str, ObservationValue]]:
    is_text = source.lstrip().startswith(("{", "["))
    name = "--json" if is_text else source
    try:
        text = source if is_text else Path(source).read_text(encoding="utf-8")
        found = json.loads(text, object_pairs_hook=_without_duplicates)
    except OSError as error:
        raise _CommandError(
            f"cannot read {source}: {error.strerror or error}; "
            "JSON given as text begins with { or ["
        ) from error
    except (ValueError, RecursionError) as error:
        kind = _UsageError if is_text else _CommandError
        raise kind(f"{name} is no JSON that can be read: {error}") from error
    batch = found if isinstance(found, list) else [found]
    return [_as_observation(item, name) for item in batch]


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError(f"an object has one of the keys {', '.join(found)} twice")
    return found


def _as_observation(item: object, name: str) -> dict[str, ObservationValue]:
    if not isinstance(item, dict):
        raise _CommandError(
            f"{name}: a {type(item).__name__} is no observation; "
            "an object is one, a list of objects is a batch"
        )
    return {key: _as_observation_value(value, key) for key, value in item.items()}


def _as_observation_value(value: Any, key: str) -> ObservationValue:
    try:
        if isinstance(value, dict):
            return _as_typed_array(value)
        if isinstance(value, list):
            array: Array = np.asarray(value)
            return array
    except (ValueError, TypeError, OverflowError) as error:
        raise _CommandError(f"{key}: no array can be made of it: {error}") from error
    if value is None:
        raise _CommandError(f"{key}: null is no value; leave the key out")
    plain: ObservationValue = value
    return plain


def _as_typed_array(value: dict[str, Any]) -> Array:
    if set(value) != {"dtype", "data"}:
        raise ValueError('an object must be {"dtype": ..., "data": ...}')
    dtype = next((known for known in NUMBERS if known.name == value["dtype"]), None)
    if dtype is None:
        raise ValueError(f"dtype {value['dtype']!r}; supported: {SUPPORTED}")
    given = np.asarray(value["data"])
    if given.dtype.kind not in "biuf":
        raise ValueError("data is not made of numbers, or of true and false")
    with np.errstate(all="ignore"):
        array: Array = given.astype(dtype)
    # Where the dtype is uint8, numpy makes 44 of 300 and 1 of 1.5.
    if dtype.kind != "f" and not np.array_equal(array, given):
        raise ValueError(f"not every number of data is a {dtype.name}")
    return array


def _write_npy(path: Path, action: Array) -> None:
    try:
        # Opened here, because numpy.save would add a suffix to the name.
        with path.open("wb") as file:
            np.save(file, action, allow_pickle=False)
    except OSError as error:
        raise _CommandError(f"cannot write {path}: {error.strerror or error}") from error


def _as_readable(action: Array) -> str:
    values = np.array2string(action, separator=", ", max_line_width=100)
    return f"shape {action.shape}, dtype {action.dtype.name}\n{values}"


def _as_json(action: Array) -> str:
    return json.dumps(
        {"shape": list(action.shape), "dtype": action.dtype.name, "data": action.tolist()}
    )


_FORMATS: dict[str, Callable[[Array], str]] = {"text": _as_readable, "json": _as_json}

# ---------------------------------------------------------------- proto


def _proto(arguments: argparse.Namespace) -> int:
    try:
        path = include_path() if arguments.include else adopt(arguments.adopt)
    except (ValueError, OSError) as error:
        raise _CommandError(str(error)) from error
    _say(str(path))
    return 0


# ---------------------------------------------------------------- options


class _Parser(argparse.ArgumentParser):
    """argparse, with its errors in the form of all others."""

    @override
    def error(self, message: str) -> NoReturn:
        raise _UsageError(f"{message}; see `{self.prog} --help`")


def _argument(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """Has argparse tell in what way a value is wrong."""

    def convert(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return convert


def _kwarg(text: str) -> tuple[str, PolicyKwargValue]:
    name, equals, value = text.partition("=")
    if not (name and equals):
        raise ValueError(f"{text!r}; write NAME=VALUE")
    try:
        parsed: PolicyKwargValue = json.loads(value, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return name, value
    return name, parsed


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON, although Python reads it")


def _as_mapping(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise _UsageError(f"argument --kwarg: {name} is given twice; give it once")
        found[name] = value
    return found


def _host(text: str) -> str:
    return check_address(text, 0, lowest_port=0).host


def _port(text: str) -> int:
    return check_address("any", _whole_number(text), lowest_port=0).port


def _size(text: str) -> int:
    if (size := _whole_number(text)) < 1:
        raise ValueError(f"{text!r}; give a number of bytes, at least 1")
    return size


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise ValueError(f"{text!r} is no whole number")
    return int(text)


def _grace(text: str) -> float:
    if not 0 <= (seconds := _number(text)) < math.inf:
        raise ValueError(f"{text!r}; give seconds, 0 or more")
    return seconds


def _timeout(text: str) -> float:
    if not (seconds := _number(text)) > 0:
        raise ValueError(f"{text!r}; give seconds, more than 0, or inf for no limit")
    return seconds


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number of seconds") from None


# ---------------------------------------------------------------- help

_DESCRIPTION = """\
Call a robot policy on another machine: observations go over, an action comes back.
"""

_EXIT_CODES = """\
exit codes:
  0    done
  1    failed; one line on stderr says why
  2    the command line is wrong
  130  interrupted by Ctrl-C, as the shell shows it
"""

_EPILOG = f"""\
examples:
  praxis-remote serve my_pkg.my_mod:MyPolicy --host 0.0.0.0 --kwarg path=/models/x.pt
  praxis-remote health gpu-box:50051 --wait 60
  praxis-remote predict gpu-box --json '{{"observation.state": [0.1, 0.2], "task": "lift"}}'
  praxis-remote reset gpu-box --episode ep-7
  protoc -I "$(praxis-remote proto --include)" ...

{_EXIT_CODES}"""

_SERVE_DESCRIPTION = """\
Serve a policy: an object with the methods predict_action, reset and model_info.

TARGET is MODULE:NAME, both with dots if need be. NAME is a class or a function, which
is called with the --kwarg arguments, or an object that is a policy already. It is
imported from the current folder or from what is installed. The policy is imported,
made and called on one and the same thread, as GPU and renderer contexts need it.

The one line on stdout is "serving CLASS on HOST:PORT"; from then on clients can
connect. Everything else is logged to stderr.
"""

_SERVE_EPILOG = """\
examples:
  praxis-remote serve my_mod:MyPolicy
  praxis-remote serve my_mod:make_policy --kwarg path=/x/y.pt --kwarg scale=2.0
  praxis-remote serve my_pkg.my_mod:Outer.Inner --host 0.0.0.0 --port 0

stopping:
  SIGINT (Ctrl-C) or SIGTERM: no new calls are taken, running and waiting calls get
  --grace seconds, and the exit code is 0. Another signal, from half a second later
  on, stops at once; the callers get UNAVAILABLE, and the exit code is 0 as well.
  While the policy still loads, either signal kills the process, as it would without
  a handler: a shell shows 130 or 143.

exit codes:
  0    stopped by a signal while serving
  1    the policy cannot be loaded or the port not be used; one line on stderr says why
  2    the command line is wrong
"""

_KWARG_HELP = (
    "an argument %s; may be given repeatedly. VALUE is taken as JSON where it is JSON "
    '(2.0, true, null, [1, 2], {"a": 1}, "3" with its quotes), and as text otherwise'
)

_PREDICT_DESCRIPTION = """\
Call a policy by hand and print its action. The latency goes to stderr.
"""

_PREDICT_EPILOG = (
    """\
observations:
  --npz FILE   One observation: each array is one key. An array of text without
               dimensions, as numpy.savez makes it of a str, is sent as text.
  --json JSON  An object is one observation, a list of objects is a batch. JSON that
               begins with { or [ is taken as such, anything else is a file's name.
               Lists become arrays of int64, float64 or bool; other dtypes are written
               {"dtype": "uint8", "data": [[0, 255]]}. Text, true, false and single
               numbers are sent as they are.

examples:
  praxis-remote predict gpu-box --npz observation.npz --output action.npy
  praxis-remote predict [::1]:50051 --json batch.json --episode a --episode b
  praxis-remote predict gpu-box --json '{"task": "lift", "observation.state": [0.5, 1]}' \\
      --kwarg temperature=0.1 --format json

"""
    + _EXIT_CODES
)


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="praxis-remote",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"praxis-remote {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True, dest="command")
    _add_serve(commands)
    _add_health(commands)
    _add_reset(commands)
    _add_predict(commands)
    _add_proto(commands)
    return parser


def _add_command(
    commands: Any,
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
    description: str | None = None,
    epilog: str = _EXIT_CODES,
) -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description=description or f"{summary[0].upper()}{summary[1:]}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.set_defaults(run=run)
    return parser


def _add_serve(commands: Any) -> None:
    parser = _add_command(
        commands, "serve", _serve, "serve a policy", _SERVE_DESCRIPTION, _SERVE_EPILOG
    )
    parser.add_argument(
        "target", metavar="TARGET", type=_argument(Target.parse), help="the policy, as MODULE:NAME"
    )
    parser.add_argument(
        "--host",
        type=_argument(_host),
        default="127.0.0.1",
        help="the interface to listen on; 0.0.0.0 or :: for all, %(default)s by default",
    )
    parser.add_argument(
        "--port",
        type=_argument(_port),
        default=DEFAULT_PORT,
        help="0 lets the system pick one; %(default)s by default",
    )
    _add_kwarg(parser, "for the class or function")
    _add_max_message_size(parser)
    parser.add_argument(
        "--grace",
        type=_argument(_grace),
        default=10.0,
        metavar="SECONDS",
        help="what running calls get to finish when the server stops; %(default)g by default",
    )
    parser.add_argument(
        "--log-level",
        choices=_LOG_LEVELS,
        default="info",
        help="of everything that is logged to stderr; %(default)s by default",
    )


def _add_health(commands: Any) -> None:
    summary = "print what a served policy says of itself, if it is ready"
    parser = _add_command(commands, "health", _health, summary)
    _add_address(parser, timeout=5.0)
    parser.add_argument(
        "--wait",
        type=_argument(_timeout),
        metavar="SECONDS",
        help="wait this long for it to be there and ready",
    )


def _add_reset(commands: Any) -> None:
    summary = "have a served policy forget its episodes"
    parser = _add_command(commands, "reset", _reset, summary)
    _add_address(parser, timeout=60.0)
    _add_episode(parser, "an episode to forget; may be given repeatedly, all if it is not given")


def _add_predict(commands: Any) -> None:
    parser = _add_command(
        commands,
        "predict",
        _predict,
        "call a served policy by hand",
        _PREDICT_DESCRIPTION,
        _PREDICT_EPILOG,
    )
    _add_address(parser, timeout=60.0)
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--npz", type=Path, metavar="FILE", help="the observation's arrays")
    source.add_argument("--json", metavar="JSON", help="observations as JSON, or a file with it")
    _add_kwarg(parser, "for the policy, sent as one of policy_kwargs")
    _add_episode(parser, "the episode of the observation; once for each one of a batch")
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the action as .npy, too")
    parser.add_argument("--format", choices=tuple(_FORMATS), default="text", help="of the action")
    _add_max_message_size(parser)


def _add_proto(commands: Any) -> None:
    parser = _add_command(
        commands, "proto", _proto, "help other betterproto projects use the schema"
    )
    action = parser.add_mutually_exclusive_group(required=True)
    action.add_argument("--include", action="store_true", help="print the folder for protoc -I")
    action.add_argument(
        "--adopt",
        type=Path,
        metavar="DIR",
        help="make generated code in DIR use praxis_remote.schema's classes, not a copy of them",
    )


def _add_address(parser: argparse.ArgumentParser, timeout: float) -> None:
    parser.add_argument(
        "address",
        metavar="ADDR",
        type=_argument(parse_address),
        help=f"the server, as HOST, HOST:PORT or [IPV6]:PORT, by default port {DEFAULT_PORT}",
    )
    parser.add_argument(
        "--timeout",
        type=_argument(_timeout),
        default=timeout,
        metavar="SECONDS",
        help="for the call, connecting included; inf for no limit, %(default)g by default",
    )


def _add_kwarg(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument(
        "--kwarg",
        action="append",
        default=[],
        type=_argument(_kwarg),
        metavar="NAME=VALUE",
        help=_KWARG_HELP % purpose,
    )


def _add_episode(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("--episode", action="append", metavar="ID", help=purpose)


def _add_max_message_size(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--max-message-size",
        type=_argument(_size),
        default=DEFAULT_MAX_MESSAGE_SIZE,
        metavar="BYTES",
        help="of a request or a response; %(default)s by default",
    )
