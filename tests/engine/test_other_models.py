"""Image-text models that aren't ViP-LLaVA: what transformers makes of the picture and of the prompt goes in whole."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from engine.checkpoints import PATCHES, edit_json, llama_tokenizer, random_model, write_json, write_processor
from PIL import Image
from tokenizers import AddedToken

from vipcli import mark, open_engine
from vipcli.engine import LocalEngine
from vipcli.engine.catalog import input_square, resolve
from vipcli.pointing import to_request

MEADOW = Path(__file__).parents[2] / "examples" / "meadow.png"


def opened(folder: Path) -> LocalEngine:
    engine = open_engine(str(folder))
    assert isinstance(engine, LocalEngine)
    return engine


def assert_as_generate(engine: LocalEngine, request: Any, inputs: Any) -> None:
    """The engine's answer to `request` is that of transformers' own `generate` to `inputs`."""
    theirs = engine.model.generate(**inputs, max_new_tokens=12, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    ours = [token.id for token in engine.stream(request) if token.id is not None]
    assert ours == theirs.tolist()
    assert len(set(ours)) > 3


def test_a_model_that_cuts_a_picture_into_tiles_gets_all_its_pixels(tmp_path: Path) -> None:
    grid = [[56, 112], [112, 56], [112, 112]]
    sizes = random_model().config
    config = transformers.LlavaNextConfig(
        vision_config=sizes.vision_config,
        text_config=sizes.text_config,
        image_token_index=sizes.image_token_index,
        image_seq_length=PATCHES,
        vision_feature_layer=-2,
        image_grid_pinpoints=grid,
    )
    torch.manual_seed(0)
    transformers.LlavaNextForConditionalGeneration(config).save_pretrained(tmp_path)
    write_processor(tmp_path)
    its = {"processor_class": "LlavaNextProcessor"}
    edit_json(
        tmp_path / "preprocessor_config.json",
        image_processor_type="LlavaNextImageProcessor",
        image_grid_pinpoints=grid,
        **its,
    )
    for name in ("processor_config.json", "tokenizer_config.json"):
        edit_json(tmp_path / name, **its)
    assert input_square(resolve(str(tmp_path))) is None
    engine = opened(tmp_path)
    assert engine.side is None
    marked = mark(MEADOW, ["448,126,590,275"])
    request = to_request(marked, "What is within the red rectangle?", engine, max_new_tokens=12)
    inputs = engine.processor(text=request.prompt, images=Image.fromarray(marked.picture), return_tensors="pt")
    assert inputs["pixel_values"].shape[1] == 5, "the whole picture, and it in four"
    assert_as_generate(engine, request, inputs)


def test_a_model_that_is_told_which_tokens_are_the_picture_is_told(tmp_path: Path) -> None:
    """Gemma 3: tokens of the picture see each other in both directions, by ``token_type_ids``."""
    tokenizer = llama_tokenizer()
    names = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    tokenizer.add_special_tokens([AddedToken(token, normalized=False) for token in names.values()])
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    special = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>", **names}
    its = {"processor_class": "Gemma3Processor"}
    write_json(
        tmp_path / "tokenizer_config.json",
        {**special, **its, "tokenizer_class": "GemmaTokenizer", "extra_special_tokens": names},
    )
    write_json(
        tmp_path / "preprocessor_config.json",
        {"image_processor_type": "Gemma3ImageProcessor", "size": {"height": 56, "width": 56}, **its},
    )
    write_json(tmp_path / "processor_config.json", {"image_seq_length": 4, **its})
    parts = "{% if one['type'] == 'image' %}<start_of_image>{% else %}{{ one['text'] }}{% endif %}"
    turns = f"{{% for turn in messages %}}{{% for one in turn['content'] %}}{parts}{{% endfor %}}{{% endfor %}} Answer:"
    write_json(tmp_path / "chat_template.json", {"chat_template": turns})
    small = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 2, "num_hidden_layers": 2}
    ids = {name: tokenizer.token_to_id(token) for name, token in special.items()}
    config = transformers.Gemma3Config(
        text_config={
            **small,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "query_pre_attn_scalar": 16,
            "vocab_size": 512,
            "layer_types": ["sliding_attention", "full_attention"],
            **{f"{name}_id": ids[name] for name in ("bos_token", "eos_token", "pad_token")},
        },
        vision_config={**small, "image_size": 56, "patch_size": 14},
        mm_tokens_per_image=4,
        tie_word_embeddings=False,
        **{f"{name}_index": ids[name] for name in names},
    )
    torch.manual_seed(0)
    model = transformers.Gemma3ForConditionalGeneration(config)
    for parameter in model.parameters():
        parameter.data = 0.3 * torch.randn_like(parameter)  # some begin at 0, and the picture would say nothing
    model.save_pretrained(tmp_path)
    engine = opened(tmp_path)
    request = to_request(mark(MEADOW, ["448,126,590,275"]), "What is it?", engine, max_new_tokens=12)
    inputs = engine.prepare(request)
    of_picture = inputs["input_ids"] == ids["image_token"]
    assert of_picture.sum() == 4
    np.testing.assert_array_equal(inputs["token_type_ids"].bool(), of_picture)
    with torch.inference_mode():
        told, untold = (engine.model(**its).logits[0, -1] for its in (inputs, {**inputs, "token_type_ids": None}))
    assert not torch.allclose(told, untold)
    assert_as_generate(engine, request, inputs)
