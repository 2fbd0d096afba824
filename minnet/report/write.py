"""From folders of runs to report.html."""

from collections.abc import Sequence
from pathlib import Path

from minnet import storage
from minnet.errors import ConfigError, one_line
from minnet.report import page, several, single
from minnet.report.folder import Group, read_group
from minnet.report.page import Page


def write(folders: Sequence[Path], out: Path, shape: tuple[int, int] | None) -> tuple[Path, list[str]]:
    """Write the page of these runs, and its pictures, to the folder `out`; gives its path, and what is left out and
    why. `shape` is that of the images that rows are, if they are any that are not known.

    Raises ConfigError where there is no run, or no place for the page; DataError for damaged files.
    """
    import minnet

    groups, notes = list[Group](), list[str]()
    for folder in folders:
        with storage.named(folder, "read"):  # a name too long, for one
            groups.append(read_group(folder))
    names = [group.name for group in groups]
    for group, folder in zip(groups, folders, strict=True):
        if names.count(group.name) > 1:
            group.name = one_line(folder)
    alone = len(groups) == 1 and not groups[0].repeated
    if shape and not alone:
        raise ConfigError("--image: shows the rows of one run, not of several: leave it out")
    shown: Page = single.page(groups[0].runs[0], shape, notes.append) if alone else several.page(groups)
    return page.write(out, shown, f"minnet {minnet.__version__}"), notes
