"""`vipcli.benchmark`: both sides do the same work on the same weights, and the table says so."""

from __future__ import annotations

import json

import pytest
import torch
from test_readme import README, TIMED

from vipcli.benchmark import Row, measure, models, rows, sides_of_config
from vipcli.errors import ModelError, UsageError

STEPS = [
    "import",
    "load",
    "picture and prompt to tensors",
    "vision",
    "time to first token",
    "decode, tokens a second",
    "follow-up's first token, after 1 turn",
    "follow-up's first token, after 20 turns",
    "8 questions about one picture",
    "peak memory of a first answer",
]


def test_every_step_of_the_embedded_model_is_measured_on_both_sides(vip) -> None:
    assert f"\n    {TIMED}\n" in README
    ran = vip(*TIMED.split()[1:], "--json")
    assert ran.code == 0, ran.err
    shown = [json.loads(line) for line in ran.out.splitlines()]
    assert [row["name"] for row in shown] == STEPS
    for row in shown:
        assert row["ours"] > 0
        assert row["plain"] > 0
        better = row["ours"] / row["plain"] if row["unit"] == "tokens/s" else row["plain"] / row["ours"]
        assert row["gain"] == pytest.approx(better)
    assert {row["name"] for row in shown if row["floor"]} == {STEPS[3], STEPS[4], STEPS[5]}


def test_a_configuration_is_built_with_random_weights_shared_by_both_sides(monkeypatch: pytest.MonkeyPatch) -> None:
    """In small: what is the same for all sizes is 24 layers of vision, 336 pixels and 32,064 tokens."""
    monkeypatch.setitem(models._VISION, "hidden_size", 32)
    monkeypatch.setitem(models._VISION, "intermediate_size", 64)
    monkeypatch.setitem(models._VISION, "num_attention_heads", 2)
    for name, size in (("hidden_size", 64), ("intermediate_size", 96), ("num_hidden_layers", 2)):
        monkeypatch.setitem(models._TEXT["small"], name, size)
    sides = sides_of_config("small", "cpu", "float32")
    assert len(sides.model.model.vision_tower.encoder.layers) == 24
    assert len(sides.engine.model.model.vision_tower.encoder.layers) == 23, "the last isn't read"
    ours, its = (one.model.language_model.embed_tokens for one in (sides.engine.model, sides.model))
    assert ours.weight is its.weight
    monkeypatch.setattr(rows, "_run", lambda _: None)  # what imports take is measured above
    measured = {row.name: row for row in measure(sides)}
    assert "load" not in measured
    assert all(torch.isfinite(parameter).all() for parameter in sides.model.parameters())
    assert measured["time to first token"].of_floor is not None


def test_ratios_say_how_much_better_and_how_far_from_the_floor() -> None:
    slow, fast = Row("a", "s", ours=2.0, plain=3.0, floor=1.0), Row("b", "tokens/s", ours=30.0, plain=20.0, floor=40.0)
    assert (slow.gain, slow.of_floor) == (1.5, 2.0)
    assert (fast.gain, fast.of_floor) == (1.5, pytest.approx(4 / 3))
    assert (Row("c", "s", 1.0).gain, Row("c", "s", 1.0).of_floor) == (None, None)


@pytest.mark.parametrize(
    ("arguments", "kind", "sentence"),
    [
        (("tiny", "--config", "small"), UsageError, "vip bench: a model or --config, not both"),
        (("--config", "70b"), UsageError, "--config 70b: use small, 7b, 13b"),
        (("7b",), ModelError, "7b isn't on this machine"),
    ],
)
def test_what_cant_be_measured_is_said(arguments, kind, sentence, vip) -> None:
    ran = vip("bench", *arguments)
    assert ran.code == kind.exit_code
    assert sentence in ran.err
    assert ran.out == ""


def test_the_table_is_aligned_and_fits_a_wide_terminal(vip, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def measured(_: object, rounds: int) -> list[Row]:
        asked.append(rounds)
        return [
            Row(STEPS[7], "s", 0.0012, 0.12, 0.001),
            Row(STEPS[5], "tokens/s", 1234.5, 617.25),
            Row("c", "MB", 99999.0),
        ]

    monkeypatch.setattr("vipcli.benchmark.rows.measure", measured)
    lines = vip("bench", "--compare").out.splitlines()
    assert asked == [5]
    assert [line.split()[-4:] for line in lines[2:]] == [
        ["617.2/s", "2.00x", "-", "-"],
        ["-", "-", "-", "-"],
    ]
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 100
