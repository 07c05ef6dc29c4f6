"""Repairs of contract files that change how an annotation is written, and never what it says."""
