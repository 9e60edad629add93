// The toolbar: tools, colour, width, brush, undo.

import { announce, element, get, icon } from "./dom.js";
import { TRAINED, css } from "./palette.js";
import { KINDS } from "./shapes.js";
import { TOOLS } from "./tools.js";

/** Build the toolbar and keep it in step with the board. */
export function shelf(board) {
  const toolLook = (name) => {
    const { title, key } = TOOLS[name];
    return { title: `${title} (${key.toUpperCase()})`, parts: [icon(name), element("span", "word", title)] };
  };
  const colorLook = (name) => {
    const swatch = element("span", name ? "swatch" : "swatch automatic");
    if (name) swatch.style.background = css(name);
    const title = name || "Automatic: what stands out";
    return { title, parts: [swatch, element("span", "hidden", name || "automatic")] };
  };
  const tools = radios(get("#tools"), "tool", Object.keys(TOOLS), toolLook, (tool) => board.set({ tool }));
  const names = ["", ...Object.keys(TRAINED)];
  const colors = radios(get("#colors"), "color", names, colorLook, (name) => recolor(board, name || null));

  const width = get("#width");
  width.oninput = () => setWidth(board, Number(width.value));
  get("#usual").onclick = () => setWidth(board, null);
  const radius = get("#radius");
  radius.oninput = () => board.set({ brush: { ...board.brush, radius: Number(radius.value) } });
  const erase = get("#erase");
  erase.onchange = () => board.set({ brush: { ...board.brush, erase: erase.checked } });
  get("#undo").onclick = () => (board.undo(), announce("Undone"));
  get("#redo").onclick = () => (board.redo(), announce("Done again"));

  board.addEventListener("change", () => {
    const { current, style, tool, brush, picture } = board;
    tools(tool);
    colors((current ? (current.automatic ? null : current.color) : style.color) ?? "");
    get("#colors .automatic").style.background = current?.automatic ? css(current.color) : "";
    const kind = current?.kind ?? (tool === "select" ? "box" : tool);
    const set = current ? current.width : style.width;
    width.value = set ?? KINDS[kind].width;
    get("#width-is").textContent = width.value;
    get("#usual").hidden = set === null;
    get("#widths").hidden = kind === "mask";
    get("#brushes").hidden = tool !== "mask";
    radius.value = brush.radius;
    erase.checked = brush.erase;
    get("#undo").disabled = !board.canUndo;
    get("#redo").disabled = !board.canRedo;
    get("#hint").textContent = picture ? TOOLS[tool].hint : "";
    for (const input of document.querySelectorAll("#shelf input")) input.disabled = !picture;
  });
}

/** A group of radio buttons in `place`; returns what marks one as chosen. */
function radios(place, name, values, look, choose) {
  const inputs = values.map((value) => {
    const input = Object.assign(document.createElement("input"), { type: "radio", name, value });
    const { title, parts } = look(value);
    const label = element("label", "", input, ...parts);
    label.title = title;
    input.onchange = () => choose(value);
    place.append(label);
    return input;
  });
  return (chosen) => inputs.forEach((input) => (input.checked = input.value === chosen));
}

function recolor(board, color) {
  board.set({ style: { ...board.style, color } });
  const { current } = board;
  if (current) board.replace({ ...current, color, automatic: color === null });
}

function setWidth(board, width) {
  board.set({ style: { ...board.style, width } });
  const { current } = board;
  if (current && current.kind !== "mask") board.replace({ ...current, width }, "width");
}
