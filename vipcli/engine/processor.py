"""What a checkpoint's processor and configuration say of its prompts and answers."""

from __future__ import annotations

from typing import Any

from vipcli.prompt import IMAGE, Template

__all__ = ["eos_of", "image_tokens", "special_tokens_of", "template_of"]


def template_of(processor: Any) -> Template | None:
    """The chat template of a processor as a function of messages; None where it has none."""
    if not getattr(processor, "chat_template", None):
        return None
    return lambda messages: processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)


def special_tokens_of(tokenizer: Any) -> frozenset[str]:
    """What a text must not have in it as it is: the tokenizer would make one token of it that means something else."""
    added = getattr(tokenizer, "added_tokens_decoder", {}).values()
    return frozenset([*tokenizer.all_special_tokens, *(token.content for token in added), IMAGE])


def image_tokens(processor: Any, side: int | None) -> int | None:
    """How many image tokens the processor of a LLaVA makes of one picture; None for another's processor."""
    if side is None or type(processor).__name__ != "LlavaProcessor":
        return None
    dropped = processor.vision_feature_select_strategy == "default"
    return (side // processor.patch_size) ** 2 + processor.num_additional_image_tokens - dropped


def eos_of(generation_config: Any, config: Any) -> frozenset[int]:
    """The ids that end an answer, by a checkpoint's generation config (None: it has none) or else by its config."""
    eos = getattr(generation_config, "eos_token_id", None)
    if eos is None:
        eos = config.get_text_config().eos_token_id
    return frozenset(eos if isinstance(eos, list) else [] if eos is None else [eos])
