// The document: finding, making, announcing. All text goes in as text nodes.

export const get = (selector) => document.querySelector(selector);

/** A new element with classes and children; strings among them become text. */
export function element(tag, className = "", ...children) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...children);
  return made;
}

/** An icon out of the symbols in index.html; a screen reader passes over it. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const [drawing, use] = [document.createElementNS(space, "svg"), document.createElementNS(space, "use")];
  use.setAttribute("href", `#i-${name}`);
  drawing.setAttribute("class", "icon");
  drawing.setAttribute("aria-hidden", "true");
  drawing.append(use);
  return drawing;
}

/** Tell a screen reader what the eye sees by itself. */
export function announce(text) {
  get("#said").textContent = text;
}

/** Say what went wrong, until something else is done. Without a text: take it back. */
export function complain(text = "") {
  const bar = get("#trouble");
  bar.querySelector("p").textContent = text;
  bar.hidden = !text;
}

/** Whether keys that were pressed there belong to a text field. */
export function isTyping(target) {
  return target.matches?.("textarea, select, input:not([type=radio], [type=range], [type=checkbox])") ?? false;
}
