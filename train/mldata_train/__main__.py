"""`python -m mldata_train`, also below torchrun and `accelerate launch -m`."""

from mldata_train.cli import main

main()
