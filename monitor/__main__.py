"""``python -P -m monitor``: the same as the command ``vibration-monitor``.

Without ``-P`` Python searches the working directory first, and would import modules from there.
"""

import sys

if not sys.flags.safe_path:
    del sys.path[0]

from monitor.cli.main import main

if __name__ == "__main__":
    main()
