"""Two last touches on a trained `tiny`: its mean with what it began as, and a readier "I don't know".

python examples/tiny/settle.py runs/tiny/finest runs/tiny/18-joint/model --to runs/tiny/v9 --share 0.7 --raise-by 0.8

Both models must have the same shape. The logit of the first token of "I don't know" is raised everywhere alike, by a
change of its row of the head that is worth 1 on the hidden states of all answers, as nearly as one vector can be.
"""

import argparse
import shutil
import warnings
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, VipLlavaForConditionalGeneration

from vipcli import VipWarning, open_engine
from vipcli.evaluation.exam import exam
from vipcli.evaluation.scoring import sit
from vipcli.scenes.facts import DONT_KNOW


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--to", type=Path, required=True)
    parser.add_argument("--share", type=float, default=0.7, help="of `after` in the mean")
    parser.add_argument("--raise-by", type=float, default=0.8, help='of the logit of "I don\'t know"')
    options = parser.parse_args()
    warnings.simplefilter("ignore", VipWarning)
    before, model = (
        VipLlavaForConditionalGeneration.from_pretrained(folder, dtype="auto")
        for folder in (options.before, options.after)
    )
    old = before.state_dict()
    with torch.no_grad():
        for name, value in model.state_dict().items():
            value.copy_(value.float().lerp(old[name].float(), 1 - options.share))
    its_card = shutil.ignore_patterns("README.md")
    shutil.copytree(options.after, options.to, ignore=its_card)
    model.save_pretrained(options.to)
    token = AutoProcessor.from_pretrained(options.to).tokenizer(f" {DONT_KNOW}", add_special_tokens=False).input_ids[0]
    row = _one_on_all(_hidden_of_answers(options.to))
    with torch.no_grad():
        model.lm_head.weight[token] += (options.raise_by * row).to(model.dtype)
    model.save_pretrained(options.to)


def _hidden_of_answers(model: Path) -> torch.Tensor:
    """What the head reads for tokens of answers to some questions of another exam: (tokens, width)."""
    found: list[torch.Tensor] = []
    engine: Any = open_engine(str(model), device="cpu", dtype="float32")
    engine.text._head.register_forward_pre_hook(lambda _, given: found.append(given[0].flatten(0, -2)[-1:].clone()))
    for _ in sit(engine, exam(0.06, first=3)):
        pass
    return torch.cat(found).float()


def _one_on_all(hidden: torch.Tensor) -> torch.Tensor:
    """The vector whose product with rows of `hidden` is 1 on average and varies least."""
    spread = torch.cov(hidden.T)
    spread += 1e-3 * spread.diagonal().mean() * torch.eye(len(spread))
    mean = hidden.mean(0)
    found = torch.linalg.solve(spread, mean)
    return found / (mean @ found)


if __name__ == "__main__":
    main()
