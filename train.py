"""python train.py [CONFIG.toml] [section.key=value ...]: the same as `minnet train`."""

import sys

from minnet.__main__ import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]]))
