"""From records to batches: read, checked, encoded, put in order."""
