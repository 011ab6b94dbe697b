"""Native speakers judge rows of a set: which rows they see, what they said, and what follows from it."""
