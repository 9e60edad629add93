// The report of a batch.

const KINDS = {
  all: () => true,
  answered: (row) => row.error === undefined && row.answer !== undefined,
  failed: (row) => row.error !== undefined,
  warned: (row) => row.warnings !== undefined,
};
const ENDS = new Map([
  ["stop", "the model"],
  ["length", "the limit on tokens"],
  ["interrupted", "an interruption"],
]);

function searched({ id, image, question, answer, error, fields = [], warnings = [] }) {
  return [id, image, question, answer, error, ...fields.flat(), ...warnings];
}

function figures(row) {
  const made = [];
  if (row.seconds !== undefined) made.push(element("span", "", `${seconds(row.seconds)} s`));
  if (tokens(row)) made.push(element("span", "tokens", tokens(row, " + ", " tokens")));
  if (row.finish === "length") made.push(element("span", "doubt", "cut off"));
  else if (row.finish === "interrupted") made.push(element("span", "doubt", "interrupted"));
  return made;
}

function notes(row, clip) {
  if (row.warnings) {
    const said = row.warnings.length === 1 ? "Warning" : `${row.warnings.length} warnings`;
    return [paragraph("note doubt", `${said}: ${clip(row.warnings.join("; "))}`)];
  }
  return row.markers ? [element("p", "note markers", clip(row.markers.join("  ")))] : [];
}

function details(row) {
  const made = [
    described([
      ["Markers", row.markers?.join("\n"), "exact"],
      ["Warnings", row.warnings?.join("\n"), "doubt"],
      ["Prompt", row.prompt, "exact"],
      ["Model", row.model],
      ["Ended by", ENDS.get(row.finish) ?? row.finish],
      ["Tokens", tokens(row, " in the prompt, ", " in the answer")],
      ["Seconds", row.seconds?.toFixed(3)],
    ]),
  ];
  if (row.fields) made.push(element("h3", "", "From the source"), described(row.fields));
  return made;
}

function tokens({ prompt_tokens, answer_tokens }, between, after) {
  if (prompt_tokens === undefined || answer_tokens === undefined) return undefined;
  return number(prompt_tokens) + between + number(answer_tokens) + after;
}

function seconds(duration) {
  return number(Number(duration.toFixed(duration < 1 ? 2 : duration < 10 ? 1 : 0)));
}

const ORDERS = {
  source: undefined,
  id: (one, other) => collator.compare(one.id, other.id),
  answer: (one, other) => missingLast(one.answer, other.answer) ?? collator.compare(one.answer, other.answer),
  seconds: (one, other) => missingLast(one.seconds, other.seconds) ?? other.seconds - one.seconds,
};

listRows({ kinds: KINDS, orders: ORDERS, searched, figures, notes, details });
