"""Which split a concept goes to: a number drawn from its prompt, never from chance or its place.

Two pairs of one prompt never straddle train and test, whatever rows are added. Near-duplicates don't
either: `duplicates` gives them, and all that share a prompt with one of them, the number of the prompt
that stands first in the source. So a test row can't be a train row with one word changed.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt

SALT = b"mldata test split 1"
"""Enters the digest of what holds split numbers: change it when prompts get others."""


def split_number(prompt: Any) -> int:
    """A 64-bit number of a prompt, white space and case aside."""
    said = prompt if isinstance(prompt, str) else "\n".join(message["content"] or "" for message in prompt)
    normal = " ".join(said.casefold().split())
    return int.from_bytes(hashlib.blake2b(SALT + normal.encode(), digest_size=8).digest())


def is_test(numbers: npt.NDArray[np.uint64], share: float) -> npt.NDArray[np.bool_]:
    """Which concepts are test rows: a share of all numbers, the lowest."""
    return numbers < np.uint64(share * 2**64)
