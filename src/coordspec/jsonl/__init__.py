"""JSON Lines as bytes: finding inputs, reading lines, strict parsing with positions, writing whole files or nothing."""
