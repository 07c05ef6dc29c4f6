"""Predictions against ground truth, in numbers: COCO AP and AR, F1 without scores, duplicates, calibration."""
