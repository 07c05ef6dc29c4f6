"""What a checking command found, and the machine-readable forms it is written in. Every command uses these."""
