"""Draw the two pictures of reports that the documents show: `python docs/pictures.py` trains the
shipped configs for them (it needs matplotlib)."""

import shutil
import tempfile
from pathlib import Path

from minnet import cli

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "pictures"
PICTURES = {
    "moons": "regions",
    "digits": "confusion",
}  # a shipped config, and a picture of its report


def main(folder: Path = FOLDER) -> None:
    """Write each picture into `folder`, as CONFIG_PICTURE.svg."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as room:
        for config, picture in PICTURES.items():
            run = Path(room) / config
            arguments = [
                "train",
                str(ROOT / "configs" / f"{config}.toml"),
                "--out",
                str(run),
                "--report",
                "--quiet",
            ]
            if cli.main(arguments):
                raise SystemExit(f"{config}: no report")
            shutil.copyfile(run / "pictures" / f"{picture}.svg", folder / f"{config}_{picture}.svg")


if __name__ == "__main__":
    main()
