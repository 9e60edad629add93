// Asking, and what was said.

import { announce, complain, element, get } from "./dom.js";
import { isSame, messages, viewOf } from "./conversation.js";
import { paint } from "./drawing.js";
import { label } from "./shapes.js";
import { ask } from "./server.js";

const THUMB = 96; // pixels of the screen

export class Talk extends EventTarget {
  turns = [];
  model = "";
  #running = null; // an AbortController

  constructor(board) {
    super();
    this.board = board;
    this.box = get("#question");
    this.log = get("#log");
    get("#ask").onsubmit = (event) => {
      event.preventDefault();
      this.ask();
    };
    this.box.onkeydown = (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      this.ask();
    };
    this.box.oninput = () => this.#changed();
    get("#stop").onclick = () => this.#running?.abort();
    get("#forget").onclick = () => this.forget();
    addEventListener("keydown", (event) => {
      const elsewhere = event.defaultPrevented || event.isComposing || document.querySelector("dialog[open]");
      if (event.key === "Escape" && !elsewhere) this.#running?.abort();
    });
    board.addEventListener("change", () => this.render());
    this.render();
  }

  /** The question as it would be asked now. */
  get question() {
    return this.box.value.trim() || this.turns.at(-1)?.question || "What is this?";
  }

  render() {
    const { board } = this;
    get("#send").disabled = !board.picture || !this.box.value.trim();
    get("#send").hidden = this.#running !== null;
    get("#stop").hidden = this.#running === null;
    get("#forget").disabled = !this.turns.length;
    get("#quiet").hidden = this.turns.length > 0 || this.#running !== null;
    this.#chips();
  }

  async ask() {
    const { board } = this;
    const question = this.box.value.trim();
    if (!question || !board.picture || this.#running) return;
    complain();
    const view = viewOf(board);
    const running = (this.#running = new AbortController());
    const turn = { question, view, answer: "", stopped: false, warnings: [] };
    const cut = [];
    const shown = this.#show(turn);
    this.box.value = "";
    this.#changed();
    try {
      const sent = await messages(this.turns, question, view);
      for await (const part of ask(this.model, sent, running.signal)) {
        if (part.text) shown.say((turn.answer += part.text));
        if (part.warnings) turn.warnings.push(...part.warnings);
        if (part.finish === "length") cut.push("The answer was cut off at its longest.");
      }
    } catch (error) {
      if (error.name === "AbortError") turn.stopped = true;
      else turn.error = error.message;
    }
    if (this.#running !== running) return; // it is forgotten
    this.#running = null;
    turn.answer = turn.answer.trim();
    turn.warnings.push(...cut);
    shown.finish();
    if (turn.error === undefined && (turn.answer || !turn.stopped)) this.turns = [...this.turns, turn];
    else if (!this.box.value) this.box.value = question; // to be asked again
    this.#changed();
  }

  /** Begin anew; picture and markers stay. */
  forget() {
    this.#running?.abort();
    this.#running = null;
    this.turns = [];
    this.log.replaceChildren();
    this.lastShown = undefined;
    announce("The conversation is forgotten");
    this.#changed();
    this.box.focus();
  }

  #changed() {
    this.box.style.height = "auto";
    this.box.style.height = `${Math.min(this.box.scrollHeight + 2, 160)}px`;
    this.render();
    this.dispatchEvent(new Event("change"));
  }

  /** Put a turn into the log; returns how to go on writing it. */
  #show(turn) {
    const { log } = this;
    if (!this.lastShown || !isSame(this.lastShown, turn.view)) log.append(about(turn.view, this.lastShown));
    this.lastShown = turn.view;
    const answer = element("p", "answer waiting");
    const made = element("article", "turn", element("p", "asked", turn.question), answer);
    answer.dir = made.firstChild.dir = "auto";
    log.setAttribute("aria-busy", "true"); // a screen reader waits for the whole answer
    log.append(made);
    const follow = () => (log.scrollTop = log.scrollHeight);
    follow();
    return {
      say: (text) => {
        const near = log.scrollHeight - log.scrollTop - log.clientHeight < 48;
        answer.classList.remove("waiting");
        answer.textContent = text.trimStart();
        if (near) follow();
      },
      finish: () => {
        answer.classList.remove("waiting");
        answer.textContent = turn.answer;
        if (!turn.answer && turn.error === undefined) {
          answer.classList.add("none");
          answer.textContent = turn.stopped ? "Stopped before the first word" : "An empty answer";
        } else if (turn.stopped) made.append(element("p", "note", "Stopped"));
        if (turn.error !== undefined) {
          if (!turn.answer) answer.remove();
          made.append(element("p", "error", turn.error));
        }
        for (const warning of turn.warnings) made.append(element("p", "note doubt", warning));
        log.setAttribute("aria-busy", "false");
        follow();
      },
    };
  }

  /** Buttons that put a marker's @name into the question. */
  #chips() {
    const { markers } = this.board;
    const names = markers.map((_, index) => `@${label(markers, index)}`);
    const place = get("#chips");
    if (place.dataset.names === names.join(" ")) return;
    place.dataset.names = names.join(" ");
    place.replaceChildren(
      ...names.map((name) => {
        const button = element("button", "chip", element("bdi", "", name));
        button.type = "button";
        button.setAttribute("aria-label", `Put ${name} into the question`);
        button.onclick = () => this.#insert(name);
        return button;
      }),
    );
  }

  #insert(name) {
    const { box } = this;
    const [before, after] = [box.value.slice(0, box.selectionStart), box.value.slice(box.selectionEnd)];
    const text = `${/[^\s]$/.test(before) ? " " : ""}${name}${/^[\s?.,!]/.test(after) ? "" : " "}`;
    box.focus();
    box.setRangeText(text, box.selectionStart, box.selectionEnd, "end");
    this.#changed();
  }
}

/** A small picture of what the next turns are about. */
function about(view, before) {
  const { picture, markers } = view;
  const scale = Math.min(THUMB / picture.width, THUMB / picture.height);
  const canvas = element("canvas", "thumb");
  canvas.width = Math.max(1, Math.round(picture.width * scale * 2));
  canvas.height = Math.max(1, Math.round(picture.height * scale * 2));
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", "The marked picture");
  const context = canvas.getContext("2d");
  context.fillStyle = "#fff";
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.scale(canvas.width / picture.width, canvas.height / picture.height);
  context.drawImage(picture.image, 0, 0, picture.width, picture.height);
  for (const one of markers) paint(context, one, [picture.width, picture.height]);
  const changed = before?.picture === picture ? "The markers changed" : "Another picture";
  const said = before ? changed : "";
  const count = `${markers.length || "no"} marker${markers.length === 1 ? "" : "s"}`;
  const words = element("p", "note", element("bdi", "", picture.name), ` · ${count}`);
  return element("div", "about", canvas, element("div", "", ...(said ? [element("p", "changed", said)] : []), words));
}
