"""`vipcli.training.encoding` and `samples`: what is learnt is what is asked, token for token, in a fixed order."""

from __future__ import annotations

import json
import shutil
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import torch
from training.tried import settings_of

from vipcli.engine import Request, open_engine
from vipcli.errors import UsageError
from vipcli.prompt import Conversation, Turn, render
from vipcli.training import Prepared, prepare
from vipcli.training.learner import Learner, Told
from vipcli.training.samples import Samples, collate, plan

TALK = (Turn("What is this?", "a cat"), Turn("What marks the cat?", "a red rectangle"))


@pytest.fixture(scope="module")
def prepared(saved_checkpoint: Path, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    return prepare(settings_of(tmp_path_factory.mktemp("config"), saved_checkpoint))


def test_lessons_are_encoded_as_the_prompt_that_vip_sends(prepared: Prepared, saved_checkpoint: Path) -> None:
    engine = open_engine(str(saved_checkpoint), device="cpu")
    asked = render(Conversation((TALK[0], Turn(TALK[1].question))), "auto", engine.template)
    ids = engine.prepare(Request(np.zeros((56, 56, 3), np.uint8), asked))["input_ids"][0].tolist()
    encoded = prepared.encoder.encode([TALK], pictured=True)
    assert encoded.ids[: len(ids)] == ids
    tokenizer = prepared.processor.tokenizer
    taught = [label for label in encoded.labels if label != -100]
    assert tokenizer.decode(taught).replace(" ", "") == "acat</s>aredrectangle</s>"
    # A position's label is the token that follows it, but for the end of an answer.
    for position, label in enumerate(encoded.labels[:-1]):
        assert label in (-100, encoded.ids[position + 1], tokenizer.eos_token_id)


def test_special_tokens_in_texts_are_no_special_tokens(prepared: Prepared) -> None:
    """As `vip ask` sends them: an answer that speaks of ``</s>`` doesn't end there."""
    tokenizer = prepared.processor.tokenizer
    encoded = prepared.encoder.encode([(Turn("Is </s> or <s> it, <unk>?", "yes </s> it is"),)], pictured=True)
    plain = prepared.encoder.encode([(Turn("Is it?", "yes"),)], pictured=True)
    for name in ("</s>", "<s>", "<unk>"):
        token = tokenizer.convert_tokens_to_ids(name)
        assert encoded.ids.count(token) == plain.ids.count(token)
    end = tokenizer.convert_tokens_to_ids("</s>")
    assert encoded.labels.count(end) == 1


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n"
    "{% for part in m.content %}{{ '<image>' if part.type == 'image' else part.text }}{% endfor %}<|im_end|>\n"
    "{% endfor %}{{ '<|im_start|>assistant\n' }}"
)


def templated(saved_checkpoint: Path, folder: Path, template: str) -> Path:
    """A copy of a checkpoint with another chat template."""
    shutil.copytree(saved_checkpoint, folder / "model")
    (folder / "model" / "chat_template.jinja").write_text(template)
    return folder / "model"


def test_answers_are_found_behind_any_template(saved_checkpoint: Path, tmp_path: Path) -> None:
    """ChatML has no blank in front of an answer, and the short answer stands in the words around it, too."""
    prepared = prepare(settings_of(tmp_path, templated(saved_checkpoint, tmp_path, CHATML)))
    talk = (Turn("Is it a cat?", "a"), Turn("Is it a user?", "no"))
    encoded = prepared.encoder.encode([talk], pictured=False)
    taught = [label for label in encoded.labels if label != -100]
    assert prepared.processor.tokenizer.decode(taught).replace(" ", "") == "a</s>no</s>"
    engine = open_engine(str(tmp_path / "model"), device="cpu")
    asked = render(Conversation((Turn("Is it a cat?"),), picture=None), "auto", engine.template)
    ids = prepared.processor.tokenizer(asked)["input_ids"]
    assert encoded.ids[: len(ids)] == ids
    assert encoded.labels[len(ids) - 1] != -100, "the first token of the answer follows the prompt"


def test_what_ends_in_a_hash_is_found_where_a_template_trims_it(saved_checkpoint: Path, tmp_path: Path) -> None:
    """A blank is put behind a last ``#``, which would join the separator, and this template takes it away."""
    template = CHATML.replace("part.text", "part.text | trim")
    prepared = prepare(settings_of(tmp_path, templated(saved_checkpoint, tmp_path, template)))
    encoded = prepared.encoder.encode([(Turn("Is it C#", "it is F#"), Turn("So #", "#"))], pictured=False)
    taught = [label for label in encoded.labels if label != -100]
    assert prepared.processor.tokenizer.decode(taught).replace(" ", "") == "itisF#</s>#</s>"


def test_a_template_that_asks_otherwise_than_it_tells_is_refused(saved_checkpoint: Path, tmp_path: Path) -> None:
    template = CHATML.replace("{% endfor %}", "{% endfor %}Think first. ")
    with pytest.raises(UsageError, match="chat template doesn't put an answer behind its prompt"):
        prepare(settings_of(tmp_path, templated(saved_checkpoint, tmp_path, template)))


def test_a_tower_that_is_not_clips_is_refused(saved_checkpoint: Path, tmp_path: Path) -> None:
    model = templated(saved_checkpoint, tmp_path, CHATML)
    config = json.loads((model / "config.json").read_text())
    config["vision_config"]["model_type"] = "siglip_vision_model"
    (model / "config.json").write_text(json.dumps(config))
    with pytest.raises(UsageError, match="vip trains towers of CLIP, which see one square, and here is another one"):
        prepare(settings_of(tmp_path, model))


def test_a_question_that_leaves_no_room_for_an_answer_is_bad(saved_checkpoint: Path, tmp_path: Path) -> None:
    long = "word " * 600
    rows = [{"question": "Why?", "answer": long}, {"question": long, "answer": "So."}]
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    data = 'source = "a.jsonl"\nheld_out = 0.0'
    found = prepare(settings_of(tmp_path, saved_checkpoint, data=data))
    assert [source.count for source in found.sources] == [1]
    assert [(one.where, one.sentence) for one in found.bad] == [
        ("a.jsonl, line 2", "its question leaves no room for an answer in the 400 tokens of a sample")
    ]
    (tmp_path / "a.jsonl").write_text(json.dumps(rows[1]))
    with pytest.raises(UsageError, match=r"has nothing to learn from: a\.jsonl, line 1: its question leaves no room"):
        prepare(settings_of(tmp_path, saved_checkpoint, data=data))


def test_no_row_is_longer_than_the_limit_down_to_the_least(saved_checkpoint: Path, tmp_path: Path) -> None:
    """Scenes put the system's text in front of some conversations: there must be room for it too."""
    scenes = 'source = "scenes"'
    least = prepare(settings_of(tmp_path, saved_checkpoint)).encoder.least()
    prepared = prepare(settings_of(tmp_path, saved_checkpoint, data=scenes, length=least))
    samples = Samples(prepared.sources, prepared.encoder, 0)
    drawn = [samples[batch[0]] for batch in islice(plan(prepared.sources, 1, 0), 30)]
    assert any(sample.system for sample, _ in drawn)
    assert max(len(encoded.ids) for _, encoded in drawn) == least
    sentence = f"a picture and the shortest question and answer take {least} tokens, and train.length is {least - 1}"
    with pytest.raises(UsageError, match=sentence):
        prepare(settings_of(tmp_path, saved_checkpoint, data=scenes, length=least - 1))


def test_several_conversations_share_the_picture_and_dont_see_each_other(
    prepared: Prepared, saved_checkpoint: Path
) -> None:
    """Together they get the losses that each gets alone."""
    from vipcli.training.assembling import load_model
    from vipcli.training.samples import Sample

    talks = [(TALK[0],), (TALK[1],), TALK]
    rng = np.random.default_rng(0)
    picture = rng.integers(0, 256, (56, 56, 3), dtype=np.uint8)
    learner = Learner(load_model(prepared).float(), None, prepared.settings.train, prepared.encoder.table).eval()

    def losses(conversations: list[tuple[Turn, ...]]) -> torch.Tensor:
        sample = Sample(picture, tuple(conversations))
        drawn = [(sample, prepared.encoder.encode(sample.conversations, pictured=True))]
        told, _, _ = learner.told(collate(prepared.encoder, drawn))
        assert told is not None
        return told.losses

    with torch.no_grad():
        alone = torch.cat([losses([talk]) for talk in talks])
        assert torch.allclose(losses(talks), alone, atol=1e-4)


def test_the_order_is_the_same_for_the_same_seed_and_all_entries_come_once_a_round(prepared: Prepared) -> None:
    first, second = (list(islice(plan(prepared.sources, 3, 5), 8)) for _ in range(2))
    assert first == second
    entries = sorted(one.entry for batch in islice(plan(prepared.sources, 3, 0), 100) for one in batch)
    assert {entries.count(entry) for entry in range(6)} == {50}


def test_a_sample_is_drawn_the_same_every_time_and_marked_afresh_each_number(prepared: Prepared) -> None:
    samples = Samples(prepared.sources, prepared.encoder, 0)
    (picked,) = next(iter(plan(prepared.sources, 1, 0)))
    again = type(picked)(picked.source, picked.entry, picked.number + 1)
    one, same, other = (samples[which][0].picture for which in (picked, picked, again))
    assert one is not None
    assert same is not None
    assert other is not None
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_an_answer_is_exact_where_every_token_of_it_is() -> None:
    known = torch.tensor([[0, 1, 1, 0, 1], [1, 0, 0, 1, 1]], dtype=torch.bool)
    right = torch.tensor([1, 0, 1, 1, 1, 1], dtype=torch.bool)
    told = Told(torch.zeros(6), right, known)
    assert told.exact().tolist() == [False, True, True, True]


def test_what_is_exact_by_tokens_is_what_greedy_decoding_writes(tmp_path: Path) -> None:
    """The embedded model on scenes: judged token by token, and asked through the engine."""
    from vipcli.training.assembling import load_model
    from vipcli.training.judging import draw_held_out

    flying = settings_of(tmp_path, "tiny", length=1024)
    prepared = prepare(flying)
    drawn = draw_held_out(prepared.sources, prepared.encoder, 6, 0)
    learner = Learner(load_model(prepared).float(), None, flying.train, prepared.encoder.table).eval()
    engine = open_engine("tiny", device="cpu", dtype="float32")
    for sample, encoded in drawn:
        with torch.no_grad():
            told, _, _ = learner.told(collate(prepared.encoder, [(sample, encoded)]))
        assert told is not None
        written = []
        for turns in sample.conversations:
            for number, turn in enumerate(turns):
                prompt = render(Conversation((*turns[:number], Turn(turn.question))), "auto", engine.template)
                request = Request(sample.picture, prompt, max_new_tokens=20)
                written.append(engine.stream(request).finished().text.strip() == turn.answer)
        assert told.exact().tolist() == written
