"""Executors: where tasks run. One file a place; none of them changes what a task makes."""
