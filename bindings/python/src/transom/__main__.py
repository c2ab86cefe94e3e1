"""`python -m transom`, which is the command `transom`."""

import sys

from transom._command.main import main

if __name__ == "__main__":
    sys.exit(main())
