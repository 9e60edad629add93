"""`vipcli.evaluation.statistics`, beside slow ways to the same numbers that share no code with it."""

from __future__ import annotations

import math
import time
from fractions import Fraction

import numpy as np
import pytest

from vipcli.evaluation.statistics import Ratio, bootstrap, mcnemar, mean_of, numbered


def naive(scores: list[float], pictures: list[int], resamples: int = 4000) -> tuple[float, float]:
    """One draw after the other, with lists of the scores of each picture."""
    rng = np.random.default_rng(7)
    of = {picture: [s for s, p in zip(scores, pictures, strict=True) if p == picture] for picture in set(pictures)}
    names = sorted(of)
    means = []
    for _ in range(resamples):
        drawn = [score for i in rng.integers(len(names), size=len(names)) for score in of[names[i]]]
        means.append(sum(drawn) / len(drawn))
    low, high = np.percentile(means, [2.5, 97.5])
    return low, high


def some_scores(seed: int, pictures: int) -> tuple[np.ndarray, np.ndarray]:
    """One to six questions a picture, alike within one."""
    rng = np.random.default_rng(seed)
    own = np.repeat(np.arange(pictures), rng.integers(1, 7, pictures))
    return np.clip(rng.random(pictures)[own] + rng.normal(0, 0.1, len(own)), 0, 1), own


@pytest.mark.parametrize("seed", range(3))
def test_the_interval_is_that_of_drawing_pictures_one_after_the_other(seed):
    scores, pictures = some_scores(seed, 60)
    group = np.flatnonzero(np.random.default_rng(seed).random(len(scores)) < 0.4)
    rare = np.flatnonzero(pictures < 9)
    found = bootstrap([mean_of(scores, items) for items in (np.arange(len(scores)), group, rare)], pictures)
    whole, part, few = found
    assert whole == pytest.approx(naive(scores.tolist(), pictures.tolist()), abs=0.01)
    # Of a group all pictures are drawn, so that its size varies too: hardly another interval where it is large enough.
    assert part == pytest.approx(naive(scores[group].tolist(), pictures[group].tolist()), abs=0.02)
    assert few == pytest.approx(naive(scores[rare].tolist(), pictures[rare].tolist()), abs=0.06)


def test_questions_about_one_picture_are_no_more_than_one():
    scores = np.random.default_rng(0).random(50)
    once = bootstrap([mean_of(scores, np.arange(50))], np.arange(50))
    tenfold = bootstrap([mean_of(np.repeat(scores, 10), np.arange(500))], np.repeat(np.arange(50), 10))
    alone = bootstrap([mean_of(np.repeat(scores, 10), np.arange(500))], np.arange(500))
    assert tenfold == [pytest.approx(once[0])]
    width = [high - low for low, high in (tenfold[0], alone[0])]
    assert width[0] == pytest.approx(width[1] * math.sqrt(10), rel=0.1)


def test_nineteen_of_twenty_intervals_hold_the_truth():
    held = [0, 0]
    for seed in range(300):
        rng = np.random.default_rng((1, seed))
        pictures = np.repeat(np.arange(80), 3)
        hard = rng.random(80)[pictures]  # a picture's own difficulty; the mean is 0.5
        ours = (rng.random(240) < hard).astype(float)
        theirs = (rng.random(240) < np.clip(hard + 0.1 * (1 - hard), 0, 1)).astype(float)  # better by 0.05
        everything = np.arange(240)
        mean, difference = bootstrap(
            [mean_of(ours, everything), Ratio(everything, theirs - ours, np.ones(240))], pictures, resamples=400
        )
        held[0] += mean[0] <= 0.5 <= mean[1]
        held[1] += difference[0] <= 0.05 <= difference[1]
    assert min(held) >= 0.915 * 300
    assert max(held) <= 0.98 * 300


def test_groups_come_from_the_same_draws_and_the_same_seed_gives_the_same():
    scores, pictures = some_scores(3, 40)
    everything, some = mean_of(scores, np.arange(len(scores))), mean_of(scores, np.arange(30))
    assert bootstrap([everything], pictures) == bootstrap([some, everything], pictures)[1:]
    assert bootstrap([everything], pictures) != bootstrap([everything], pictures, seed=1)
    twice = Ratio(np.arange(30), 2 * scores[:30], np.ones(30))
    low, high = bootstrap([some], pictures)[0]
    assert bootstrap([twice], pictures) == [pytest.approx((2 * low, 2 * high))]


def test_all_right_is_not_certain():
    """The exact bound of n of n: 0.025 to the power of 1/n; of 30 it is 0.884 in every table."""
    right, wrong = np.ones(30), np.zeros(30)
    [(low, high)] = bootstrap([mean_of(right, np.arange(30))], np.arange(30))
    assert (round(low, 3), high) == (0.884, 1.0)
    [(low, high)] = bootstrap([mean_of(wrong, np.arange(30))], np.arange(30))
    assert (low, round(high, 3)) == (0.0, 0.116)
    assert bootstrap([mean_of(right, np.arange(30))], np.zeros(30, int)) == [(pytest.approx(0.025), 1.0)]


def test_two_runs_that_differ_nowhere_may_differ_elsewhere():
    """Of 30 pictures, up to 11.6 in a hundred others may not be like them, and be worth anything that there is."""
    everything, pictures = np.arange(30), np.arange(30)

    def interval(value: float, least: float) -> tuple[float, float]:
        [(low, high)] = bootstrap([mean_of(np.full(30, value), everything, (least, 1.0))], pictures)
        return round(low, 3), round(high, 3)

    assert interval(0.0, -1.0) == (-0.116, 0.116)
    assert interval(-1.0, -1.0) == (-1.0, -0.769)
    assert interval(1.0, -1.0) == (0.769, 1.0)
    assert interval(0.5, 0.0) == (0.442, 0.558)


def test_where_there_is_nothing_to_draw_from_there_is_no_interval():
    one, none = mean_of(np.array([0.5, 0.7]), np.arange(2)), mean_of(np.zeros(0), np.arange(0))
    assert bootstrap([one], np.zeros(2, int)) == [None]
    assert bootstrap([none], np.zeros(0, int)) == [None]
    assert none.value is None
    assert bootstrap([], np.zeros(0, int)) == []


def test_names_are_numbered_as_they_come():
    assert numbered(["b", "a", "b", "c"]).tolist() == [0, 1, 0, 2]


def exact(only_a: int, only_b: int) -> float:
    count, fewer = only_a + only_b, min(only_a, only_b)
    tail = sum(Fraction(math.comb(count, i), 2**count) for i in range(fewer + 1))
    return float(min(Fraction(1), 2 * tail))


def test_mcnemar_is_the_sum_of_fractions():
    for only_a in range(0, 40, 3):
        for only_b in range(40):
            assert mcnemar(only_a, only_b) == pytest.approx(exact(only_a, only_b), rel=1e-9), (only_a, only_b)
    for pair in ((0, 1000), (480, 620), (999, 1001), (3, 700)):
        assert mcnemar(*pair) == pytest.approx(exact(*pair), rel=1e-8), pair
        assert mcnemar(*pair) == mcnemar(*pair[::-1])


def test_mcnemar_of_a_hundred_thousand():
    assert mcnemar(50_000, 50_000) == mcnemar(0, 0) == 1
    assert mcnemar(50_000, 49_999) == pytest.approx(1)
    # As the normal distribution has it, corrected for continuity: z = (1000 - 1) / sqrt(100,000).
    assert mcnemar(50_500, 49_500) == pytest.approx(math.erfc(999 / math.sqrt(100_000) / math.sqrt(2)), rel=1e-3)
    assert mcnemar(100_000, 0) == 0


def test_a_hundred_thousand_answers_take_seconds():
    rng = np.random.default_rng(0)
    scores, pictures = rng.random(100_000), numbered(rng.integers(60_000, size=100_000).tolist())
    groups = [np.flatnonzero(rng.random(100_000) < 0.3) for _ in range(10)]
    start = time.process_time()
    bootstrap([mean_of(scores, items) for items in (np.arange(100_000), *groups)], pictures)
    assert time.process_time() - start < 3
