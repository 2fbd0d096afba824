"""How much memory code takes, NumPy's arrays included."""

import contextlib
import tracemalloc
from collections.abc import Callable, Iterator


@contextlib.contextmanager
def traced_memory() -> Iterator[Callable[[], int]]:
    """A function that tells how many bytes memory has risen, at worst, since it was last asked."""
    tracemalloc.start()
    level = tracemalloc.get_traced_memory()[0]

    def risen() -> int:
        nonlocal level
        now, peak = tracemalloc.get_traced_memory()
        rise, level = peak - level, now
        tracemalloc.reset_peak()
        return rise

    try:
        yield risen
    finally:
        tracemalloc.stop()
