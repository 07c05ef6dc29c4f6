"""Stage-2: training on the ground truth with soft self-context (Channel-A) and on rollouts (Channel-B)."""
