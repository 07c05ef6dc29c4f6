"""The one way to a tokenizer: whatever holds a Rust BPE becomes that ``tokenizers.Tokenizer``."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerBase

    AnyTokenizer: TypeAlias = Tokenizer | PreTrainedTokenizerBase

TOKENIZER_FILE: Final = "tokenizer.json"
"""What the file of a tokenizer is called in the folder of a checkpoint."""
END_OF_TURN: Final = "<|im_end|>"
"""The token that ends an answer."""


def backend(tokenizer: AnyTokenizer) -> Tokenizer:
    """The ``tokenizers.Tokenizer`` of a tokenizer of ``tokenizers`` or of a fast one of ``transformers``.

    Raises:
        ValueError: it is neither, such as a slow tokenizer of transformers.
    """
    from tokenizers import Tokenizer  # noqa: PLC0415 (an extra; commands that read no tokens do without it)

    inner = tokenizer if isinstance(tokenizer, Tokenizer) else getattr(tokenizer, "backend_tokenizer", None)
    if not isinstance(inner, Tokenizer):
        raise ValueError(
            f"{type(tokenizer).__name__} has no Rust tokenizer behind it; "
            "pass a tokenizers.Tokenizer or a fast tokenizer of transformers"
        )
    return inner
