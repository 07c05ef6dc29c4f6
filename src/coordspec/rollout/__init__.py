"""What a model wrote, read strictly and aligned with its token ids."""
