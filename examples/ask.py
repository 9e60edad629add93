"""In Python what the README's first command does: mark a picture, ask, stream the answer.

python examples/ask.py
"""

from pathlib import Path

from vipcli import Box, mark, open_engine, to_request

marked = mark(Path(__file__).parent / "meadow.png", [Box(440, 118, 598, 283, name="plant")])
marked.save("plant.png")

engine = open_engine("tiny")
for token in engine.stream(to_request(marked, "What is @plant?", engine)):
    print(token.text, end="", flush=True)
print()
