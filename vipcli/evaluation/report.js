// The page of an evaluation: its questions.

const AS_ASKED = "as asked"; // what report.py calls the question as the task has it
const OUTCOMES = ["right", "partly", "wrong", "refused", "unparsable", "failed", "unscored"];
const ALWAYS = ["all", "right", "wrong"]; // the other buttons only where a row is of them

const KINDS = { all: () => true };
for (const outcome of OUTCOMES) KINDS[outcome] = (row) => row.outcome === outcome;

const ORDERS = {
  source: undefined,
  id: (one, other) => collator.compare(one.id, other.id),
  answer: (one, other) => missingLast(one.answer, other.answer) ?? collator.compare(one.answer, other.answer),
  score: (one, other) => missingLast(one.score, other.score) ?? one.score - other.score,
};

function searched({ id, image, question, truth, answer, error, read, variant, groups = [] }) {
  return [id, image, question, truth, answer, error, read, variant, ...groups.flatMap(([, names]) => names)];
}

/** Lists to choose from: of the variants, and of each heading's names; those that leave a choice. */
function choices(rows) {
  const found = new Map([["variant", new Set()]]);
  const outcomes = new Set(ALWAYS);
  for (const row of rows) {
    outcomes.add(row.outcome);
    found.get("variant").add(row.variant);
    for (const [heading, names] of row.groups ?? []) {
      const key = `by ${heading}`;
      if (!found.has(key)) found.set(key, new Set());
      for (const name of names) if (name) found.get(key).add(name);
    }
  }
  for (const button of document.querySelectorAll("[data-show]")) button.hidden = !outcomes.has(button.dataset.show);

  const made = [];
  for (const [key, names] of found) {
    if (names.size < 2) continue;
    const heading = key.slice(3);
    const of =
      key === "variant"
        ? ({ variant }) => [variant]
        : ({ groups = [] }) => groups.find(([name]) => name === heading)?.[1] ?? [];
    const otherwise = key === "variant" && names.has(AS_ASKED) ? AS_ASKED : "";
    made.push({ key, label: key === "variant" ? "marked" : heading, names: [...names], of, otherwise });
  }
  return made;
}

function figures(row) {
  const made = [element("span", `outcome ${row.outcome}`, row.outcome)];
  if (row.outcome === "partly") made.push(element("span", "", row.score.toFixed(2)));
  if (row.variant !== AS_ASKED) made.push(element("span", "variant", row.variant));
  return made;
}

function notes(row, clip) {
  if (!row.truth) return [];
  const made = paragraph("note truth", clip(row.truth.split("\n").join(" / ")));
  made.prepend(element("b", "", "Reference"), " ");
  return [made];
}

function details(row) {
  return [
    described([
      ["Reference", row.truth, "truth"],
      ["Score", row.score === undefined ? "none" : `${row.score} (${row.outcome})`],
      ["Read as", row.read],
      ["Marked", row.variant],
      ["Markers", row.markers?.join("\n"), "exact"],
      ...(row.groups ?? []).map(([heading, names]) => [heading, names.join(", ")]),
    ]),
  ];
}

listRows({ kinds: KINDS, orders: ORDERS, searched, choices, figures, notes, details });
