"""What people read about a set: the dataset card."""
