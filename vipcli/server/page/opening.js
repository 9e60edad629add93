// How a picture comes in: chosen, dropped or pasted.

import { complain, get } from "./dom.js";
import { openPicture } from "./picture.js";

/** Listen for pictures. */
export function opens(board) {
  const chooser = get("#file");
  for (const button of document.querySelectorAll(".open")) button.onclick = () => chooser.click();
  chooser.onchange = () => {
    open(board, chooser.files);
    chooser.value = ""; // so that the same file can be chosen again
  };
  addEventListener("paste", ({ clipboardData }) => clipboardData.files.length && open(board, clipboardData.files));
  let depth = 0;
  const over = (is) => document.body.classList.toggle("dropping", is);
  addEventListener("dragenter", ({ dataTransfer }) => dataTransfer?.types.includes("Files") && ++depth && over(true));
  addEventListener("dragleave", () => depth && !--depth && over(false));
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    over((depth = 0));
    if (event.dataTransfer.files.length) open(board, event.dataTransfer.files);
  });
}

async function open(board, [file]) {
  complain();
  document.body.classList.add("opening");
  try {
    board.show(await openPicture(file));
  } catch (error) {
    complain(error.message);
  }
  document.body.classList.remove("opening");
}
