"""OPENBLAS_NUM_THREADS=1 python -m benchmarks.members: M = 8 nets side by side, beside one net.

A step is targets, loss, gradient and Adam, in float32, in seconds of CPU time. Steps of one net and
all M take turns; printed are medians, per net. Members' rows are "shared" or each member's "own".
"""

import time
from collections.abc import Callable
from statistics import median
from timeit import timeit

import numpy as np

from minnet.core.network import MLP, Tape
from minnet.core.optimizers import OPTIMIZERS, Settings, Step

M, TURNS, SECONDS = 8, 60, 0.003  # a turn is that many seconds of one net's steps
# layer sizes and batch, and the ratio to stay below
NETS = {((4, 16, 3), 16): 0.45, ((64, 64, 10), 32): 0.75, ((784, 256, 128, 10), 128): 1.05}


def step(sizes: tuple[int, ...], N: int, members: int | None, own: bool) -> Callable[[], None]:
    """A function that takes one step of the net, or of its members."""
    net, rng = MLP(sizes, members=members), np.random.default_rng(0)
    rows = (M, N) if own else (N,)
    X, y = rng.random((*rows, sizes[0]), dtype=np.float32), rng.integers(0, net.K, rows)
    tape, rule = Tape(net, *rows), OPTIMIZERS["adam"]
    state, now = np.zeros((rule.vectors, net.theta.size), net.dtype), Step(100, 1e-6, Settings())

    def take() -> None:
        T = np.stack([net.targets(labels)[0] for labels in y]) if own else net.targets(y)[0]
        net.step(X, T, tape)
        rule.take(now, net.theta, net.dtheta, state)

    return take


def seconds(take: Callable[[], None], times: int) -> float:
    """The time of one step, over a number of them."""
    return timeit(take, timer=time.process_time, number=times) / times


def main() -> None:
    """Time each net and its members, and print µs per step and net, and the ratios."""
    print(f"{'':28}{'one':>7}{'shared':>8}{'own':>8}{'ratios':>13}{'at most':>9}")
    for (sizes, N), most in NETS.items():
        steps = [step(sizes, N, m, own) for m, own in ((None, False), (M, False), (M, True))]
        times = max(1, round(SECONDS / seconds(steps[0], 20)))
        turns = [[seconds(take, times) for take in steps] for _ in range(TURNS)]
        µs = [1e6 * median(column) for column in zip(*turns, strict=True)]
        ratios = [median(turn[i] / turn[0] for turn in turns) / M for i in (1, 2)]
        name = f"{'-'.join(map(str, sizes))}, batch {N}"
        print(f"{name:28}{µs[0]:7.1f}{µs[1] / M:8.1f}{µs[2] / M:8.1f}", end="")
        print(f"{ratios[0]:7.2f}{ratios[1]:6.2f}{most:9.2f}", flush=True)


if __name__ == "__main__":
    main()
