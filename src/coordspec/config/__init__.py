"""Training configs: the typed model, the reader of YAML with positions, and the checks."""
