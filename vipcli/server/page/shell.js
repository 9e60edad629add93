// The equivalent command, as a shell reads it.

import { value } from "./shapes.js";

/** A word that a POSIX shell reads as it is. */
export function quoted(word) {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

/** The markers as flags, in their order. */
export function flags(markers) {
  return markers.flatMap((one) => [`--${one.kind}`, value(one)]);
}

/** The words of `vip ask` for a picture, its markers and a question. */
export function command({ file, markers, question, model }) {
  const picture = file.startsWith("-") ? `./${file}` : file;
  const asked = question.startsWith("-") ? [`--question=${question}`] : [question];
  return ["vip", "ask", picture, ...flags(markers), ...asked, ...(model ? ["--model", model] : [])];
}
