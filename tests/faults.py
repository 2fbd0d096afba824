"""A disk that fills up, or a process that is killed, at the k-th step of writing files."""

import contextlib
import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock


class Killed(BaseException):
    """Stands for SIGKILL where the process has to live on: nothing catches it or tidies up."""


class Faults:
    """Counts the steps of writing: open, each write and flush, fsync, rename. Strikes at one.

    "full" is a disk with room for half of a write and for nothing else; "killed" ends at the step,
    with half of a write done, and lets no step follow; a function is called instead.
    """

    def __init__(self, at: int | None = None, how: str | Callable[[], object] = "full") -> None:
        self.at, self.how = at, how
        self.names: list[str] = []

    @property
    def struck(self) -> bool:
        return self.at is not None and len(self.names) >= self.at

    def step(self, name: str, half: Callable[[], object] = lambda: None) -> None:
        if self.struck and self.how == "killed":
            raise Killed
        self.names.append(name)
        if len(self.names) == self.at:
            half()
            if self.how == "full":
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            if self.how == "killed":
                raise Killed
            self.how()


class _File:
    """An open file whose writes and flushes are steps."""

    def __init__(self, file, faults: Faults) -> None:
        self.file, self.faults = file, faults

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def __getattr__(self, name):
        return getattr(self.file, name)

    def write(self, content):
        if hasattr(self.file, "raw"):
            half = content[: len(content) // 2]
            self.faults.step("write", lambda: (self.file.write(half), self.file.flush()))
            return self.file.write(content)
        try:  # without a buffer it is one system call, which no kill divides
            self.faults.step("write")
        except OSError:
            return self.file.write(content[: len(content) // 2])
        return self.file.write(content)

    def writelines(self, pieces):
        for piece in pieces:
            self.write(piece)

    def flush(self):
        self.faults.step("flush")
        self.file.flush()


@contextlib.contextmanager
def faults(at: int | None = None, how: str | Callable[[], object] = "full") -> Iterator[Faults]:
    """While inside, the fault strikes at step `at` = 1, 2, ...; without it steps are counted."""
    counted = Faults(at, how)
    opened, fsync, replace, unlink = Path.open, os.fsync, Path.replace, Path.unlink
    touch = Path.touch

    def open_(path, mode="r", *args, **options):
        if not set(mode) & set("wax+") or str(path) == os.devnull:
            return opened(path, mode, *args, **options)
        if "+" not in mode:  # else Path.touch has made it
            counted.step("open")
        return _File(opened(path, mode, *args, **options), counted)

    def step_before(name, function):
        def stepped(*args):
            counted.step(name)
            return function(*args)

        return stepped

    def unlinked(path, *args, **options):
        if counted.struck and counted.how == "killed":
            raise Killed
        unlink(path, *args, **options)

    with (
        mock.patch.object(Path, "open", open_),
        mock.patch.object(os, "fsync", step_before("fsync", fsync)),
        mock.patch.object(Path, "touch", step_before("open", touch)),
        mock.patch.object(Path, "replace", step_before("rename", replace)),
        mock.patch.object(Path, "unlink", unlinked),
    ):
        yield counted
