"""Prediction files: what a model said about the records of a data file, one line for each record."""
