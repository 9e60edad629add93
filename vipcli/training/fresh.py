"""A new small ViP-LLaVA, in the format of the published ones: tokenizer, processor and a model that knows nothing."""

from __future__ import annotations

from transformers import (
    CLIPImageProcessor,
    CLIPVisionConfig,
    GenerationConfig,
    LlamaConfig,
    LlavaProcessor,
    PreTrainedTokenizerFast,
    VipLlavaConfig,
    VipLlavaForConditionalGeneration,
)

from vipcli.prompt import SYSTEM
from vipcli.training.questions import all_texts
from vipcli.training.settings import Fresh

__all__ = ["fresh_config", "fresh_model", "fresh_processor", "fresh_tokenizer"]

CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }}"
    "{% else %}{{ '###' + ('Human' if message['role'] == 'user' else 'Assistant') + ': ' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '###Assistant:' }}{% endif %}"
)


def fresh_tokenizer(vocabulary: int) -> PreTrainedTokenizerFast:
    """A byte-level BPE of so many pieces, so that any text can be asked; ``###`` is always a piece of its own."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split("###", "isolated"),
            pre_tokenizers.Split(Regex(r"\d"), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False),
        ]
    )
    bpe.decoder = decoders.ByteLevel()
    special = ["<unk>", "<s>", "</s>", "<pad>", "<image>"]
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    texts = [f"###Human: \n{text}###Assistant:" for text in all_texts()]
    bpe.train_from_iterator([*texts, *[SYSTEM] * 100], trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    bpe.add_special_tokens([AddedToken(token, special=True, normalized=False) for token in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=bpe,
        unk_token="<unk>",
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        extra_special_tokens={"image_token": "<image>"},
        padding_side="left",
        model_max_length=1024,
    )


def fresh_processor(vocabulary: int, side: int, patch: int) -> LlavaProcessor:
    """Picture and text to tensors, as the published checkpoints' own."""
    return LlavaProcessor(
        CLIPImageProcessor(size={"shortest_edge": side}, crop_size={"height": side, "width": side}),
        fresh_tokenizer(vocabulary),
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        image_token="<image>",
        chat_template=CHAT_TEMPLATE,
    )


def fresh_config(sizes: Fresh, vocabulary: int) -> VipLlavaConfig:
    """The architecture of the 7B, small; five layers of the vision tower to the projector."""
    width, heads, patches = sizes.width, sizes.width // 32, (sizes.side // sizes.patch) ** 2
    return VipLlavaConfig(
        vision_config=CLIPVisionConfig(
            hidden_size=width,
            intermediate_size=4 * width,
            num_hidden_layers=sizes.vision_layers,
            num_attention_heads=heads,
            image_size=sizes.side,
            patch_size=sizes.patch,
            projection_dim=width,
        ),
        text_config=LlamaConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=max(64, round(width * 8 / 3 / 64) * 64),
            num_hidden_layers=sizes.text_layers,
            num_attention_heads=heads,
            num_key_value_heads=heads,
            max_position_embeddings=max(1024, patches + 512),
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=3,
        ),
        image_token_index=4,
        vision_feature_layer=[-1, -2, -3, -4, 2],
        image_seq_length=patches,
    )


def fresh_model(sizes: Fresh, vocabulary: int) -> VipLlavaForConditionalGeneration:
    """A model that knows nothing; its weights come out of torch's seed."""
    model = VipLlavaForConditionalGeneration(fresh_config(sizes, vocabulary))
    model.generation_config = GenerationConfig(bos_token_id=1, eos_token_id=2, pad_token_id=3)
    return model
