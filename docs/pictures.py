"""Draw the pictures that the documents show: `python docs/pictures.py` trains the shipped configs
whose reports they are from (it needs matplotlib), and photographs softmax.html (playwright)."""

import shutil
import tempfile
from pathlib import Path
from typing import Any

from minnet import cli

ROOT = Path(__file__).resolve().parent.parent
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


def photograph(browser: Any, folder: Path = FOLDER) -> None:
    """Write softmax.png into `folder`: the page with a soft target, and one dz pointed at."""
    tab = browser.new_page(viewport={"width": 1080, "height": 800})
    tab.goto((ROOT / "docs" / "softmax.html").as_uri())
    tab.get_by_label("target y₂").fill("0.8")
    tab.focus("#sum button")
    tab.locator("main").screenshot(path=folder / "softmax.png")
    tab.close()


if __name__ == "__main__":
    from playwright.sync_api import sync_playwright

    main()
    with sync_playwright() as playwright:
        chromium = {"executable_path": shutil.which("chromium"), "args": ["--no-sandbox"]}
        photograph(playwright.chromium.launch(**chromium))
