# SPDX-FileCopyrightText: 2026 the praxis-remote authors
#
# SPDX-License-Identifier: Apache-2.0

"""A process full of clients: ``python -m soak.client PORT CLIENTS BLOCKING SEED PAUSE``.

Each line that it gets is answered with what it has counted since the last one; at the end
of its input it lets its calls end, closes its clients, and tells the rest.
"""

from __future__ import annotations

import asyncio
import json
import sys
from concurrent.futures import ThreadPoolExecutor

from .worker import Shared, Worker


async def main(port: int, clients: int, blocking: int, seed: int, pause: float) -> None:
    """Calls until the end of the input."""
    loop = asyncio.get_running_loop()
    # One thread for each blocking client; and one to wait for input, which is not its own.
    loop.set_default_executor(ThreadPoolExecutor(max(1, blocking)))
    shared, leaving = Shared(), asyncio.Event()
    workers = [
        Worker(port, 1000 * seed + number, pause, shared, blocking=number < blocking)
        for number in range(clients)
    ]
    tasks = [asyncio.ensure_future(worker.run(leaving)) for worker in workers]
    with ThreadPoolExecutor(1) as reader:
        while await loop.run_in_executor(reader, sys.stdin.readline):
            print(json.dumps(shared.tally.take()), flush=True)
    leaving.set()
    await asyncio.gather(*tasks)
    print(json.dumps(shared.tally.take()), flush=True)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:5]]
    asyncio.run(main(numbers[0], numbers[1], numbers[2], numbers[3], float(sys.argv[5])))
