"""The losses of both stages. Torch from here down."""
