"""python -m minnet"""

import sys

from minnet.cli import main

if __name__ == "__main__":
    sys.exit(main())
