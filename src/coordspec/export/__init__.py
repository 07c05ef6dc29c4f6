"""From contract files and prediction files to the formats of other tools."""
