"""`python -m mldata`."""

from mldata.cli import main

main()
