"""`python -m mldata`, and the command `mldata`: signals first, as a Ctrl-C may come while modules load."""

import os
import sys
from pathlib import Path

from mldata import interruption


def main() -> None:
    """Run the command line."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # closed, as by `2>&-`: what is said there is for nobody
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 (until the end)
    try:
        interruption.armed()
        from mldata.cli import main as run

        run()
    except interruption.Interrupted as stop:  # while modules were loaded
        interruption.leave(stop)


if __name__ == "__main__":
    main()
