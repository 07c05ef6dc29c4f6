"""A report on a data file, a prediction file or a training run as one page of HTML."""
