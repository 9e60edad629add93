// The keyboard: on the picture and in the list of markers.

import { announce, isTyping } from "./dom.js";
import { KINDS, label, marker, moved, stretched, withPoints } from "./shapes.js";
import { TOOLS, placed } from "./tools.js";

const WAYS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };

/** What a key does to a marker; returns whether it did anything. */
export function keyOnMarker(board, one, event) {
  const way = WAYS[event.key];
  if (way && one) {
    const far = event.shiftKey ? 10 : 1;
    const change = event.altKey ? stretched : moved;
    const next = change(one, way[0] * far, way[1] * far, board.size);
    if (String(next.points) !== String(one.points)) board.replace(next, event.altKey ? "stretch" : "nudge");
    return true;
  }
  if ((event.key === "Delete" || event.key === "Backspace") && one) {
    announce(`${label(board.markers, board.markers.indexOf(one))} deleted`);
    board.remove(one.id);
    return true;
  }
  return false;
}

/** Listen on the picture, and for undo everywhere. */
export function listen(board, stage, pointing, rename) {
  stage.canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || !board.picture) return;
    const tool = Object.keys(TOOLS).find((name) => TOOLS[name].key === event.key.toLowerCase());
    if (keyOnMarker(board, board.current, event)) event.preventDefault();
    else if (event.altKey) return;
    else if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      place(board);
    } else if (event.key === "Escape") {
      if (pointing.isBusy) pointing.cancel();
      else board.set({ selected: null });
    } else if (event.key === "F2" && board.current) {
      event.preventDefault();
      rename();
    } else if (tool) board.set({ tool });
  });
  addEventListener("keydown", (event) => {
    if (!(event.ctrlKey || event.metaKey) || event.altKey || isTyping(event.target)) return;
    const key = event.key.toLowerCase();
    if (key !== "z" && key !== "y") return;
    event.preventDefault();
    if (key === "y" || event.shiftKey) board.redo();
    else board.undo();
  });
}

/** Put a marker of the tool in the middle, to be moved from there. */
export function place(board) {
  if (board.tool === "select") return;
  const one = marker(board.tool, placed(board.tool, board.size), board.style);
  board.add(withPoints(one, one.points, board.size));
  announce(`${KINDS[one.kind].title} placed in the middle, ${board.current.color}. Arrow keys move it.`);
}
