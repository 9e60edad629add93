// What is sent of a conversation: the rules of vipcli/chat/session.py. The model sees one picture, the present one, in
// the first question that was asked about it. Turns before that stay as text, each marker in the words that it had.

import { grammar, label, phrase } from "./shapes.js";

const CHANGED = "The markers in the picture have changed.\n";
const ANOTHER = "This is another picture.\n";

/** What a question is about: a picture and how its markers are drawn. */
export function viewOf({ picture, markers }) {
  return { picture, markers, texts: markers.map(grammar) };
}

/** Whether a model gets the same picture of both. */
export function isSame(one, other) {
  return one.picture === other.picture && one.texts.join("\n") === other.texts.join("\n");
}

/** The messages of a question about `view` after `turns` ({question, view, answer}). */
export async function messages(turns, question, view) {
  let first = turns.length;
  while (first && isSame(turns[first - 1].view, view)) first -= 1;
  const all = [...turns, { question, view, answer: null }];
  const sent = [];
  for (const [index, turn] of all.entries()) {
    const said = index ? change(all[index - 1].view, turn.view) : "";
    const asked = index < first ? words(turn.question, turn.view.markers).replaceAll("@", "@@") : turn.question;
    const content = [{ type: "text", text: `${said}${asked}` }];
    if (index === first) {
      const url = await view.picture.address();
      content.unshift({ type: "image_url", image_url: { url }, markers: view.texts });
    }
    sent.push({ role: "user", content });
    if (turn.answer !== null) sent.push({ role: "assistant", content: turn.answer });
  }
  return sent;
}

/** A question with the words that the model reads in place of each `@name`; see `prompt.expand`. */
export function words(question, markers) {
  const places = new Map(markers.map((_, index) => [label(markers, index), index]));
  return question.replace(/@@|(?<![\p{L}\p{N}_])@([\p{L}\p{N}_][\p{L}\p{N}_-]*)/gu, (all, name) => {
    if (name === undefined) return "@";
    let known = name;
    while (!places.has(known) && known.endsWith("-")) known = known.slice(0, -1);
    return places.has(known) ? phrase(markers, places.get(known)) + name.slice(known.length) : all;
  });
}

function change(old, now) {
  if (old.picture !== now.picture) return ANOTHER;
  return isSame(old, now) ? "" : CHANGED;
}

/** The conversation as Markdown. */
export function transcript(turns, model) {
  const lines = ["# A conversation with vip", "", `Model: ${escaped(model || "unknown")}`];
  let before;
  for (const { question, view, answer, stopped, warnings } of turns) {
    if (!before || !isSame(before, view)) {
      lines.push("", `## ${escaped(view.picture.name)}`, "");
      lines.push(...(view.texts.length ? view.texts.map((text) => `- \`${text}\``) : ["No markers."]));
    }
    lines.push("", `**${escaped(question).replaceAll("\n", "  \n")}**`, "", escaped(answer || "(no answer)"));
    if (stopped) lines.push("", "*Stopped.*");
    for (const warning of warnings ?? []) lines.push("", `> ${escaped(warning)}`);
    before = view;
  }
  return `${lines.join("\n")}\n`;
}

function escaped(text) {
  return text.replace(/[\\`*_[\]<>#|]/g, "\\$&");
}
