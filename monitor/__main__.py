"""``python -P -m monitor``: the same as the command ``vibration-monitor``.

Without ``-P`` Python looks for every module in the working directory first, and would run what lies there.
"""

import sys

if not sys.flags.safe_path:
    del sys.path[0]

from monitor.cli.main import main

if __name__ == "__main__":
    main()
