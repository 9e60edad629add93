"""Words that have found things learn to tell whether two are of one kind, of one turn and never of one thing."""

import torch

from vipcli.markers import Arrow, Box, Point
from vipcli.scenes import COLORS, SHAPES, THINGS
from vipcli.training.comparing import _balanced, compare, number_turns
from vipcli.training.dense import IGNORED, INKS, UNMARKED, Heads
from vipcli.training.looking import Words, wanted_of

TEXTS = ["image", "dog", "dogs", "cat", "red", "blue", "lime", "arrow", "rectangle", "point", "the", "yes"]
TOKEN = {text: number for number, text in enumerate(TEXTS)}
WORDS = Words.of(lambda word: TOKEN.get(word, len(TEXTS)), len(TEXTS) + 1)
DOG, CAT, STRANGER, GROUND = THINGS.index("dog"), THINGS.index("cat"), len(THINGS), len(THINGS) + 1
BROWN, WHITE = COLORS.index("brown"), COLORS.index("white")


def a_picture() -> dict[str, torch.Tensor]:
    """Six patches: two of a brown dog in a red box, a white dog that a blue arrow marks, a brown cat with a lime
    point, a stranger and background."""
    red, blue, lime = (INKS.index(name) for name in ("red", "blue", "lime"))
    box, arrow, point = (SHAPES.index(kind) for kind in (Box, Arrow, Point))
    boxes = [[0, 0, 0.4, 0.4], [0, 0, 0.4, 0.4], [0.5, 0, 0.9, 0.4], [0, 0.6, 0.3, 0.9], [0.6, 0.6, 0.9, 0.9]]
    return {
        "thing": torch.tensor([[DOG, DOG, DOG, CAT, STRANGER, GROUND]]),
        "tint": torch.tensor([[BROWN, BROWN, WHITE, BROWN, IGNORED, IGNORED]]),
        "color": torch.tensor([[red, red, blue, lime, UNMARKED, IGNORED]]),
        "shape": torch.tensor([[box, box, arrow, point, UNMARKED, IGNORED]]),
        "extent": torch.tensor([[*([*xyxy, -1.0] for xyxy in boxes), [torch.nan] * 5]]),
    }


def test_the_second_of_two_words_learns_to_look_at_the_first_where_their_things_are_of_one_kind():
    torch.manual_seed(0)
    turns = [
        ["the", "red", "rectangle", "the", "blue", "arrow", "yes"],  # dog and dog
        ["the", "blue", "arrow", "the", "lime", "point", "yes"],  # dog and cat
        ["the", "cat", "the", "red", "rectangle", "yes"],  # of one colour
        ["the", "dogs", "the", "lime", "yes"],  # dogs are two things: of those nothing is asked
    ]
    asked = ["image"] * 6 + [word for turn in turns for word in turn]
    number = [0] * 6 + [1 + i for i, turn in enumerate(turns) for _ in turn]
    ids, turn = (torch.tensor([row]) for row in ([TOKEN[word] for word in asked], number))
    scores = torch.nn.Parameter(torch.zeros(1, len(asked), len(asked)))
    later = torch.ones(len(asked), len(asked), dtype=torch.bool).triu(1)
    picture = a_picture()
    wanted = wanted_of(ids, WORDS, picture)
    hidden, heads = torch.randn(1, len(asked), 32), Heads(64, 32)
    optimizer = torch.optim.Adam([scores, *heads.alike.parameters()], 0.1)
    for _ in range(200):
        looks = scores.masked_fill(later, -1e4).log_softmax(-1)
        loss, right = compare(looks, hidden, heads, turn, wanted, picture)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert right["alike_kind"] == 1
    assert right["alike_tint"] == 1
    at = scores.masked_fill(later, -1e4).softmax(-1)[0]
    says = (heads.alike(hidden)[0] > 0).tolist()
    red, rectangle, blue, arrow = 7, 8, 10, 11
    for word in (blue, arrow):
        assert at[word, [red, rectangle]].sum() > 0.9, "a dog, and there was one"
        assert says[word] == [True, False]
    lime = 6 + 7 + 4
    assert asked[lime] == "lime"
    assert at[lime, [14, 15]].sum() < 0.1, "a cat, and no other was spoken of"
    assert says[lime] == [False, False]
    assert scores.grad[0, lime, [red, rectangle, blue, arrow]].abs().max() < 1e-4, "earlier turns count neither way"
    second_red = 6 + 7 + 7 + 3
    assert asked[second_red] == "red"
    assert says[second_red][1], "a brown dog behind a brown cat"
    assert not scores.grad[0, second_red].any(), "that goes by its word; the dog of the first turn is another matter"
    unasked = [i for i, word in enumerate(asked) if word in ("image", "the", "yes", "dogs")]
    assert not scores.grad[0, unasked].any()
    assert not scores.grad[0, [red, rectangle, 14, 15]].any(), "of the first word of a turn nothing is asked"
    assert not scores.grad[0, 6 + 7 + 7 + 6 + 3].any(), "nor of a lime thing behind two dogs"


def test_of_strangers_it_isnt_asked_whether_they_are_alike():
    picture = a_picture()
    picture["thing"][0, 2], picture["tint"][0, 2] = STRANGER, IGNORED
    ids = torch.tensor([[TOKEN[word] for word in ("red", "rectangle", "blue", "arrow")]])
    looks = torch.zeros(1, 4, 4, requires_grad=True)
    wanted = wanted_of(ids, WORDS, picture)
    loss, _ = compare(looks.log_softmax(-1), torch.randn(1, 4, 32), Heads(64, 32), ids * 0, wanted, picture)
    loss.backward()
    assert loss == 0
    assert not looks.grad.any()


def test_yes_and_no_weigh_alike_however_many_there_are():
    losses = torch.tensor([4.0, 1.0, 1.0, 1.0])
    assert _balanced(losses, torch.tensor([True, False, False, False])) == (4 + 1) / 2
    assert _balanced(losses, torch.zeros(4, dtype=torch.bool)) == 7 / 4, "where there is no yes, all are a no"
    assert _balanced(losses[:0], torch.zeros(0, dtype=torch.bool)) == 0


def test_turns_are_numbered_by_the_ends_of_answers_in_each_conversation_apart():
    #             picture, question, answer, question, answer, another conversation, its answer, padding
    known = torch.tensor([[0, 0, 0, 1, 1, 0, 1, 0, 1, 0]]).bool()
    segments = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 2, 2, 0]])
    numbers = number_turns(known, segments)[0].tolist()
    assert numbers[:2] == [0, 0]
    groups = [numbers[2:5], numbers[5:7], numbers[7:9]]
    assert all(len(set(group)) == 1 for group in groups)
    assert len({group[0] for group in groups} | {0}) == 4
