"""Make a checkpoint deeper or wider, which changes nothing that it says (what is new adds nothing yet), or its pictures
larger.

python examples/tiny/grow.py vipcli/models/tiny --to runs/tiny/grown --vision-layers 9 --text-layers 5
python examples/tiny/grow.py runs/tiny/v4 --to runs/tiny/larger --side 160
python examples/tiny/grow.py runs/tiny/v5 --to runs/tiny/wider --vision-neurons 1280
python examples/tiny/grow.py runs/tiny/v9 --to runs/tiny/deeper --text-layers 6 --text-neurons 640

The new layers go where the features of the projector don't: into the tower behind its third layer, into the language
model before its last one. With --vocabulary the text model also gets a new tokenizer, learnt from the training phrases;
tokens that it had keep their vectors.
"""

import argparse
import shutil
from pathlib import Path

import torch
from transformers import AutoProcessor, VipLlavaConfig, VipLlavaForConditionalGeneration


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--vision-layers", type=int)
    parser.add_argument("--text-layers", type=int)
    parser.add_argument("--vision-neurons", type=int, help="of each layer of the tower, between its fc1 and its fc2")
    parser.add_argument("--text-neurons", type=int, help="of each layer of the language model, before its down_proj")
    parser.add_argument("--side", type=int, help="of a picture, in pixels")
    parser.add_argument("--vocabulary", type=int, help="pieces of a new tokenizer")
    options = parser.parse_args()
    config = VipLlavaConfig.from_pretrained(options.model)
    tower, text = config.vision_config, config.text_config
    if options.side and options.side % tower.patch_size:
        parser.error(f"--side {options.side}: {tower.patch_size} pixels a patch don't divide it")
    for flag, now, wanted in (
        ("--vision-neurons", tower.intermediate_size, options.vision_neurons),
        ("--text-neurons", text.intermediate_size, options.text_neurons),
    ):
        if wanted and wanted < now:
            parser.error(f"{flag} {wanted}: there are {now} now, and none is taken away")
    torch.manual_seed(0)
    processor = AutoProcessor.from_pretrained(options.model)
    old = VipLlavaForConditionalGeneration.from_pretrained(options.model, dtype=torch.float32)
    before_tower, before_text = tower.num_hidden_layers, text.num_hidden_layers
    tower.num_hidden_layers = options.vision_layers or before_tower
    text.num_hidden_layers = options.text_layers or before_text
    tower.intermediate_size = options.vision_neurons or tower.intermediate_size
    text.intermediate_size = options.text_neurons or text.intermediate_size
    kept = dict(old.state_dict())
    if options.side:
        _enlarge(kept, config, processor, options.side)
    if options.vocabulary:
        from vipcli.training.fresh import fresh_processor

        new = fresh_processor(options.vocabulary, tower.image_size, tower.patch_size)
        vocabulary = _move_vectors(kept, processor.tokenizer, new.tokenizer)
        text.vocab_size, processor = vocabulary, new
    model = VipLlavaForConditionalGeneration(config)
    fresh = model.state_dict()
    vision_at, text_at = 3, before_text - 1
    for name, value in kept.items():
        if ".layers." in name:
            head, number, tail = _split(name)
            at, before, after = (
                (vision_at, before_tower, tower.num_hidden_layers)
                if "vision_tower" in name
                else (text_at, before_text, text.num_hidden_layers)
            )
            name = f"{head}.layers.{number + (after - before) * (number >= at)}.{tail}"
        place = fresh[name]
        if ".mlp." in name:  # new neurons read at random and say nothing
            if ".fc2.weight" in name or ".down_proj." in name:
                torch.nn.init.zeros_(place)
            place = place[tuple(map(slice, value.shape))]
        place.copy_(value)
    seeing, reading = model.model.vision_tower.encoder.layers, model.model.language_model.layers
    for layers, at, before, outputs in (
        (seeing, vision_at, before_tower, ("out_proj", "fc2")),
        (reading, text_at, before_text, ("o_proj", "down_proj")),
    ):
        for layer in layers[at : at + len(layers) - before]:
            for name, parameter in layer.named_parameters():
                if any(f".{output}." in f".{name}" for output in outputs):
                    torch.nn.init.zeros_(parameter)
    model.generation_config = old.generation_config
    model.save_pretrained(options.to)
    processor.save_pretrained(options.to)
    for place in (options.model, options.model.parent):  # the dense heads, as vip train leaves them
        if (place / "heads.safetensors").is_file():
            shutil.copy(place / "heads.safetensors", options.to)
            break
    print(f"{options.to}: {sum(p.numel() for p in model.parameters()):,} parameters")


def _enlarge(kept: dict[str, torch.Tensor], config: VipLlavaConfig, processor: object, side: int) -> None:
    """Stretch the places of patches, behind that of the whole picture, over the grid of a larger picture."""
    tower = config.vision_config
    before, after = tower.image_size // tower.patch_size, side // tower.patch_size
    name = next(name for name in kept if name.endswith("embeddings.position_embedding.weight"))
    places = kept[name][1:].T.reshape(1, -1, before, before)
    stretched = torch.nn.functional.interpolate(places, (after, after), mode="bicubic", align_corners=False)
    kept[name] = torch.cat([kept[name][:1], stretched[0].flatten(1).T])
    tower.image_size, config.image_seq_length = side, after * after
    images = processor.image_processor
    images.size = {"shortest_edge": side}
    images.crop_size = {"height": side, "width": side}


def _split(name: str) -> tuple[str, int, str]:
    head, tail = name.split(".layers.", 1)
    number, tail = tail.split(".", 1)
    return head, int(number), tail


def _move_vectors(kept: dict[str, torch.Tensor], old: object, new: object) -> int:
    """Put the vectors of the pieces that both tokenizers have into their new places; returns how many there are now."""
    before, after = old.get_vocab(), new.get_vocab()
    for name in ("model.language_model.embed_tokens.weight", "lm_head.weight"):
        values = kept[name]
        moved = torch.randn(len(after), values.shape[1]) * values.std()
        for piece, number in after.items():
            if piece in before:
                moved[number] = values[before[piece]]
            else:  # a new word begins as what it was made of
                parts = old.encode(old.convert_tokens_to_string([piece]) or piece, add_special_tokens=False)
                if parts:
                    moved[number] = values[parts].mean(0) + moved[number] * 0.1
        kept[name] = moved
    return len(after)


if __name__ == "__main__":
    main()
