"""Small random checkpoints with the real classes, in the shapes that are out there.

Each is under 1 MB: a CLIP tower of 4 x 32 at 56 pixels in patches of 14 (16 image tokens), a Llama of 2 x 32, and a
Llama-style tokenizer with byte fallback. Weights are wild enough that answers differ by picture and by question.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

SIDE, PATCH, PATCHES = 56, 14, 16
LAYERS = [-2, -3, -5, -4, 1]  # five, as in the paper, but not transformers' default: the old name must be honoured
CONTEXT = 1024

CHAT_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'system' %}{{ message['content'][0]['text'] }}{% else %}"
    "{{ '###Human: ' if message['role'] == 'user' else '###Assistant: ' }}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] }}{% endfor %}"
    "{% endif %}{% endfor %}{% if add_generation_prompt %}{{ '###Assistant:' }}{% endif %}"
)
"""What the published template does."""

TEXTS = [
    "A chat between a curious human and an artificial intelligence assistant. "
    "The assistant gives helpful, detailed, and polite answers to the human's questions.",
    "###Human: What is within the red rectangle?###Assistant: A dog, pointed to by the blue arrow.",
    "###Human: Is this the same? ###Assistant: No, it is #1 of ## 3 (see http://a.b/c).",
]


def llama_tokenizer() -> Any:
    """Llama 2's in small: ``▁`` for blanks, bytes for what has no piece, ``<image>`` and ``<pad>`` added last."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, processors, trainers
    from tokenizers.pre_tokenizers import Split

    blanks = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    taught = Tokenizer(models.BPE())
    taught.normalizer = blanks
    taught.pre_tokenizer = Split(Regex("▁?(#+|[^▁#]+)"), "isolated")  # no piece spans two words
    taught.train_from_iterator(TEXTS * 9, trainers.BpeTrainer(vocab_size=300, show_progress=False))
    learnt = json.loads(taught.to_str())["model"]
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    pieces = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
    vocabulary = {piece: number for number, piece in enumerate([*first, *pieces])}
    merges = [tuple(merge) for merge in learnt["merges"]]
    made = Tokenizer(models.BPE(vocabulary, merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    made.normalizer = blanks
    made.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    made.post_processor = processors.TemplateProcessing("<s> $A", "<s> $A <s> $B", [("<s>", 1)])
    for tokens in (["<unk>", "<s>", "</s>"], ["<image>", "<pad>"]):
        made.add_special_tokens([AddedToken(token, normalized=False) for token in tokens])
    return made


def random_model(seed: int = 0, text: str = "Llama", family: str = "VipLlava", **sizes: int) -> Any:
    """A model of the real class with weights from `seed`; text: Llama or Mistral; sizes: of the text model."""
    import torch
    import transformers

    image = llama_tokenizer().token_to_id("<image>")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "initializer_range": 0.3}
    numbers = {
        **small,
        "num_hidden_layers": 2,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "vocab_size": -(-(image + 2) // 64) * 64,  # padded, as published: some ids are no token's
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": image + 1,
    }
    config = getattr(transformers, f"{family}Config")(
        vision_config=transformers.CLIPVisionConfig(
            image_size=SIDE, patch_size=PATCH, projection_dim=32, num_hidden_layers=4, **small
        ),
        text_config=getattr(transformers, f"{text}Config")(**(numbers | sizes)),
        image_token_index=image,
        image_seq_length=PATCHES,
        vision_feature_layer=LAYERS if family == "VipLlava" else -2,
    )
    torch.manual_seed(seed)
    return getattr(transformers, f"{family}ForConditionalGeneration")(config).eval()


def write_json(file: Path, value: Any) -> None:
    file.write_text(json.dumps(value, indent=2), encoding="utf-8")


def edit_json(file: Path, **changes: Any) -> None:
    """Set entries of a JSON file; None takes one out."""
    value = json.loads(file.read_text(encoding="utf-8")) | changes
    write_json(file, {name: one for name, one in value.items() if one is not None})


def write_processor(folder: Path) -> None:
    """What goes with the weights, file by file as llava-hf published it."""
    tokenizer = llama_tokenizer()
    tokenizer.save(str(folder / "tokenizer.json"))
    image = tokenizer.token_to_id("<image>")
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    write_json(folder / "special_tokens_map.json", special)
    write_json(folder / "added_tokens.json", {"<image>": image, "<pad>": image + 1})
    traits = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    added = {0: "<unk>", 1: "<s>", 2: "</s>", image: "<image>", image + 1: "<pad>"}
    tokenizer_config = {
        **special,
        "add_bos_token": True,
        "add_eos_token": False,
        "added_tokens_decoder": {str(number): {"content": token, **traits} for number, token in added.items()},
        "clean_up_tokenization_spaces": False,
        "legacy": False,
        "model_max_length": 10**30,
        "padding_side": "right",
        "processor_class": "LlavaProcessor",
        "sp_model_kwargs": {},
        "tokenizer_class": "LlamaTokenizer",
        "use_default_system_prompt": False,
    }
    write_json(folder / "tokenizer_config.json", tokenizer_config)
    image_processor = {
        "crop_size": {"height": SIDE, "width": SIDE},
        "do_center_crop": True,
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073],
        "image_processor_type": "CLIPImageProcessor",
        "image_std": [0.26862954, 0.26130258, 0.27577711],
        "processor_class": "LlavaProcessor",
        "resample": 3,
        "rescale_factor": 1 / 255,
        "size": {"shortest_edge": SIDE},
    }
    write_json(folder / "preprocessor_config.json", image_processor)
    processor = {
        "image_token": "<image>",
        "num_additional_image_tokens": 1,
        "patch_size": PATCH,
        "processor_class": "LlavaProcessor",
        "vision_feature_select_strategy": "default",
    }
    write_json(folder / "processor_config.json", processor)
    write_json(folder / "chat_template.json", {"chat_template": CHAT_TEMPLATE})


_OLD_NAMES = {
    "model.vision_tower.": "vision_tower.vision_model.",
    "model.multi_modal_projector.": "multi_modal_projector.",
    "model.language_model.": "language_model.model.",
    "lm_head.": "language_model.lm_head.",
}


def write_published(folder: Path, model: Any) -> Path:
    """A ViP-LLaVA checkpoint as published: fp16 in two shards, the key names and the config of transformers 4.37."""
    import torch
    from safetensors.torch import save_file

    folder.mkdir()
    weights = {}
    for name, value in model.state_dict().items():
        new, old = next(pair for pair in _OLD_NAMES.items() if name.startswith(pair[0]))
        weights[old + name.removeprefix(new)] = value.to(torch.float16).contiguous()
    names = sorted(weights)
    shards = {f"model-0000{half + 1}-of-00002.safetensors": names[half::2] for half in range(2)}
    for shard, held in shards.items():
        save_file({name: weights[name] for name in held}, folder / shard, metadata={"format": "pt"})
    index = {name: shard for shard, held in shards.items() for name in held}
    total = sum(value.nbytes for value in weights.values())
    write_json(folder / "model.safetensors.index.json", {"metadata": {"total_size": total}, "weight_map": index})
    config = model.config
    sizes = ("hidden_size", "intermediate_size", "model_type", "num_attention_heads", "num_hidden_layers")
    text = {name: getattr(config.text_config, name) for name in (*sizes, "max_position_embeddings", "vocab_size")}
    vision = {name: getattr(config.vision_config, name) for name in (*sizes, "image_size", "patch_size")}
    old_config = {
        "architectures": ["VipLlavaForConditionalGeneration"],
        "ignore_index": -100,
        "image_token_index": config.image_token_index,
        "model_type": "vipllava",
        "pad_token_id": config.image_token_index + 1,
        "projector_hidden_act": "gelu",
        "projector_layernorm_eps": 1e-05,
        "text_config": {**text, "torch_dtype": "float16"},
        "torch_dtype": "float16",
        "transformers_version": "4.37.0.dev0",
        "vision_config": {**vision, "projection_dim": 32, "vocab_size": 32000},
        "vision_feature_layers": LAYERS,
        "vocab_size": config.text_config.vocab_size,
    }
    write_json(folder / "config.json", old_config)
    generation = {"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": config.image_token_index + 1}
    write_json(folder / "generation_config.json", {"_from_model_config": True, **generation})
    write_processor(folder)
    return folder


def write_saved(folder: Path, model: Any) -> Path:
    """The same in today's style: what ``save_pretrained`` of model and processor write."""
    import transformers

    model.save_pretrained(folder)
    its = set(folder.iterdir())
    write_processor(folder)
    processor = transformers.LlavaProcessor.from_pretrained(folder)
    for file in set(folder.iterdir()) - its:
        file.unlink()
    processor.save_pretrained(folder)
    return folder


def copied(checkpoint: Path, to: Path, *without: str) -> Path:
    """A copy of `checkpoint` in the folder `to`, to be damaged, without the files named."""
    return Path(shutil.copytree(checkpoint, to / "copy", ignore=shutil.ignore_patterns(*without)))
