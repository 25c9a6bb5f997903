"""How long each callback of an event loop takes, in processor time: on a busy machine wall time says nothing.

As a program it runs the product's command with every callback of its event loop timed:

    python -m tests.support.event_loop.loop_times FILE run --config config.yaml

It appends to FILE, every second, a line of JSON with the callbacks so far: see :class:`Second`.
"""

import asyncio
import contextlib
import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

LONG_MS = 2.0
"""Callbacks that are listed one by one."""

EDGES_MS = (0.1, 0.3, 1.0, 3.0, 10.0)
"""Upper edges of the distribution's parts; the last part is open."""


@dataclass
class Second:
    """The callbacks of about a second."""

    at_s: float
    """Monotonic instant of its beginning."""
    count: list[int] = field(default_factory=lambda: [0] * (len(EDGES_MS) + 1))
    """How many callbacks there were in each part of the distribution."""
    total_ms: float = 0.0
    """Processor time of all of them."""
    long: list[tuple[str, float]] = field(default_factory=list)
    """Names and processor times, in ms, of those over :data:`LONG_MS`."""

    def add(self, name: Callable[[], str], took_ms: float) -> None:
        """Count a callback."""
        self.count[sum(took_ms > edge for edge in EDGES_MS)] += 1
        self.total_ms += took_ms
        if took_ms > LONG_MS:
            self.long.append((name(), took_ms))


@contextlib.contextmanager
def timed(tell: Callable[[Second], object]) -> Iterator[None]:
    """Time the callbacks of all event loops of this process; ``tell`` gets each second that is over."""
    handles: Any = asyncio.Handle
    run = handles._run
    second = Second(time.monotonic())

    def timing(handle: Any) -> None:
        nonlocal second
        at = _where(handle)
        began_s = time.thread_time()
        run(handle)
        second.add(lambda: _name(handle, at), 1000.0 * (time.thread_time() - began_s))
        if time.monotonic() > second.at_s + 1.0:
            before, second = second, Second(time.monotonic())
            tell(before)

    handles._run = timing
    try:
        yield
    finally:
        handles._run = run
        tell(second)


def read_seconds(file: Path, from_s: float, to_s: float) -> list[Second]:
    """The seconds that began between two monotonic instants."""
    found = [Second(**json.loads(line)) for line in file.read_text().splitlines() if line.endswith("}")]
    return [one for one in found if from_s <= one.at_s <= to_s]


def described(seconds: list[Second], most: int = 8) -> str:
    """The distribution, and the longest callbacks of each name, in a few lines."""
    counts = [sum(one.count[part] for one in seconds) for part in range(len(EDGES_MS) + 1)]
    wall_s = max(1.0, seconds[-1].at_s - seconds[0].at_s) if seconds else 1.0
    share = sum(one.total_ms for one in seconds) / 1000.0 / wall_s
    names = [*(f"up to {edge:g} ms" for edge in EDGES_MS), "longer"]
    parts = ", ".join(f"{name}: {count}" for name, count in zip(names, counts, strict=True))
    longest: dict[str, float] = {}
    often: Counter[str] = Counter()
    for name, took_ms in (pair for one in seconds for pair in one.long):
        longest[name] = max(longest.get(name, 0.0), took_ms)
        often[name] += 1
    lines = [f"callbacks {parts}; {100 * share:.0f} % of a core"]
    for name, took_ms in sorted(longest.items(), key=lambda pair: -pair[1])[:most]:
        lines.append(f"  {took_ms:6.1f} ms at most, {often[name]:5} over {LONG_MS:g} ms: {name}")
    return "\n".join(lines)


def _where(handle: Any) -> list[Any]:
    """The coroutines that a task goes on with, the innermost last; empty for a plain callback."""
    task = getattr(handle._callback, "__self__", None)
    inner: Any = task.get_coro() if isinstance(task, asyncio.Task) else None
    found = []
    while hasattr(inner, "cr_code"):
        found.append(inner)
        inner = inner.cr_await
    return found


def _name(handle: Any, coroutines: list[Any]) -> str:
    if coroutines:
        return " > ".join(one.__qualname__ for one in coroutines)
    callback = handle._callback
    name = getattr(callback, "__qualname__", repr(callback))
    owner = getattr(callback, "__self__", None)
    return name if owner is None or "." in name else f"{type(owner).__name__}.{name}"


def main() -> None:
    """Run the product's command with its callbacks timed."""
    from monitor.cli.main import main as command

    with Path(sys.argv[1]).open("a") as file:

        def tell(second: Second) -> None:
            file.write(json.dumps(asdict(second)) + "\n")
            file.flush()

        sys.argv = ["vibration-monitor", *sys.argv[2:]]
        with timed(tell):
            command()


if __name__ == "__main__":
    main()
