// `vip pick`: one picture, and its markers are all that is wanted.

import { complain, get } from "./dom.js";
import { openPicture } from "./picture.js";
import { picked, toPick } from "./server.js";
import { grammar } from "./shapes.js";

/** Show the picture, and hand its markers over when the user is done. */
export async function pick(board) {
  const done = get("#done");
  done.onclick = async () => {
    complain();
    done.disabled = true;
    try {
      await picked(board.markers.map(grammar));
      document.body.classList.add("over");
      get("#over").hidden = false;
      get("#over h2").focus();
    } catch (error) {
      complain(error.message);
      done.disabled = false;
    }
  };
  try {
    const { name, blob } = await toPick();
    board.show(await openPicture(new File([blob], name, { type: "image/png" })));
    get("h1 span").textContent = name;
    document.title = `${name} · vip pick`;
    done.disabled = false;
  } catch (error) {
    complain(error.message);
  }
}
