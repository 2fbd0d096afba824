"""Runs as figures and tables on one page: saved runs -> evaluation -> figures -> page.

Import the rooms from here, as in `from minnet.report import page`; they need matplotlib.
"""

import contextlib
import logging
import os

from minnet.errors import MinnetError, one_line

# imported in silence: what matplotlib says of its folders, its settings and a backend, which may be
# a wrong one, has no effect on a page
_level, _backend = logging.getLogger("matplotlib").level, os.environ.pop("MPLBACKEND", "")
logging.getLogger("matplotlib").setLevel(logging.CRITICAL)
try:
    import matplotlib.figure
except Exception as error:
    raise MinnetError(one_line(f"a report needs matplotlib: {error}")) from None
finally:
    logging.getLogger("matplotlib").setLevel(_level)
if _backend:  # for other code of this process
    os.environ["MPLBACKEND"] = _backend
    with contextlib.suppress(ValueError):
        matplotlib.rcParams["backend"] = _backend
