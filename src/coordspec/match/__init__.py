"""Which prediction stands for which ground-truth object."""
