"""From a checked config and contract files to a checkpoint."""
