// The page of vip: everything is put together here, and nothing else is done.

import { Board } from "./board.js";
import { get } from "./dom.js";
import { listen } from "./keys.js";
import { List } from "./list.js";
import { opens } from "./opening.js";
import { pick } from "./picking.js";
import { Pointing } from "./pointing.js";
import { saves, showCommand, showFlags } from "./saving.js";
import { health } from "./server.js";
import { shelf } from "./shelf.js";
import { Stage } from "./stage.js";
import { Talk } from "./talk.js";

const board = new Board();
const stage = new Stage(board);
const pointing = new Pointing(board, stage);
const list = new List(board);
shelf(board);
listen(board, stage, pointing, list.rename);

if (document.documentElement.dataset.mode === "pick") {
  showFlags(board);
  pick(board);
} else {
  const talk = new Talk(board);
  opens(board);
  saves(board, talk);
  showCommand(board, talk, () => talk.model);
  addEventListener("reached", ({ detail }) => showReached(detail));
  greet(talk);
}
board.set({});
get("#trouble button").onclick = () => (get("#trouble").hidden = true);

function showReached(is) {
  const { classList } = get("#status");
  classList.toggle("well", is);
  classList.toggle("ill", !is);
}

/** Say which model answers. */
async function greet(talk) {
  const place = get("#model");
  try {
    talk.model = (await health()).model;
    place.textContent = talk.model;
  } catch (error) {
    place.textContent = error.message;
    showReached(false);
  }
  talk.dispatchEvent(new Event("change"));
}
