// What can be taken away: the command, the marked picture, the transcript; and what the model sees.

import { announce, complain, element, get } from "./dom.js";
import { transcript } from "./conversation.js";
import { marked } from "./server.js";
import { grammar } from "./shapes.js";
import { command, flags, quoted } from "./shell.js";

/** Show the equivalent command, always as it is now. */
export function showCommand(board, talk, model) {
  const place = get("#command");
  const shown = () => {
    const { picture, markers } = board;
    const file = picture?.name ?? "picture.png";
    const words = command({ file, markers, question: talk.question, model: model() });
    place.replaceChildren(...words.map(quoted).flatMap(spaced));
  };
  board.addEventListener("change", shown);
  talk.addEventListener("change", shown);
  shown();
  copies(get("#copy"), place);
}

/** Show the flags alone, as `vip pick` prints them. */
export function showFlags(board) {
  const place = get("#command");
  const shown = () => place.replaceChildren(...flags(board.markers).map(quoted).flatMap(spaced));
  board.addEventListener("change", shown);
  shown();
  copies(get("#copy"), place);
}

/** A word of a command; a flag's dashes stay on the line of its name. */
function spaced(word, index) {
  const made = word.startsWith("--") ? element("span", "flag", word) : word;
  return index ? [" ", made] : [made];
}

/** The buttons that need the server's own drawing. */
export function saves(board, talk) {
  const [dialog, image] = [get("#seen"), get("#seen img")];
  const close = () => dialog.close();
  get("#seen button").onclick = close;
  dialog.onclick = ({ target }) => target === dialog && close();
  dialog.onclose = () => URL.revokeObjectURL(image.src);

  get("#see").onclick = busy(get("#see"), async () => {
    const blob = await drawn(board, true);
    image.src = URL.createObjectURL(blob);
    await image.decode();
    get("#seen-size").textContent = `${image.naturalWidth} × ${image.naturalHeight} pixels`;
    dialog.showModal();
  });
  get("#save").onclick = busy(get("#save"), async () => {
    download(await drawn(board, false), `${stem(board)}-marked.png`);
    announce("The marked picture is saved");
  });
  get("#write").onclick = () => {
    const text = transcript(talk.turns, talk.model);
    download(new Blob([text], { type: "text/markdown" }), `${stem(board)}-chat.md`);
    announce("The transcript is saved");
  };
  const able = () => {
    get("#see").disabled = get("#save").disabled = !board.picture;
    get("#write").disabled = !talk.turns.length;
  };
  board.addEventListener("change", able);
  talk.addEventListener("change", able);
  able();
}

async function drawn(board, asModelSeesIt) {
  return marked(await board.picture.address(), board.markers.map(grammar), { asModelSeesIt });
}

function stem(board) {
  return (board.picture?.name ?? "picture").replace(/\.[^.]+$/, "") || "picture";
}

/** Do it once at a time, and say what went wrong. */
function busy(button, work) {
  return async () => {
    if (button.getAttribute("aria-busy") === "true") return;
    complain();
    button.setAttribute("aria-busy", "true");
    try {
      await work();
    } catch (error) {
      complain(error.message);
    }
    button.removeAttribute("aria-busy");
  };
}

function download(blob, name) {
  const link = element("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function copies(button, place) {
  const word = button.querySelector("span");
  const usual = word.textContent;
  let timer;
  button.onclick = async () => {
    try {
      await navigator.clipboard.writeText(place.textContent);
    } catch {
      if (!copiedTheOldWay(place))
        return complain("The browser doesn't let a page copy: select the command and copy it.");
    }
    word.textContent = "Copied";
    announce("Copied");
    clearTimeout(timer);
    timer = setTimeout(() => (word.textContent = usual), 2000);
    return undefined;
  };
}

/** Without https a page has no clipboard, but still this. */
function copiedTheOldWay(place) {
  getSelection().selectAllChildren(place);
  const done = document.execCommand("copy");
  getSelection().removeAllRanges();
  return done;
}
