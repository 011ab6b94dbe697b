"""`python -m mldata`, and the command `mldata`: signals first, as a Ctrl-C may come while modules load."""

from mldata import interruption


def main() -> None:
    """Run the command line."""
    try:
        interruption.armed()
        from mldata.cli import main as run

        run()
    except interruption.Interrupted as stop:  # while modules were loaded
        interruption.leave(stop)


if __name__ == "__main__":
    main()
