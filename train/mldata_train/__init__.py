"""Batch-aligned DPO and ORPO: trains on whole concepts of a set, and measures the gap between languages.

    mldata-train dpo --data sets/en_prefs --model NAME_OR_PATH --out runs/aligned

Losses and training loops are TRL's. What is here decides which rows share an optimiser step.
"""
