// The list of markers, and what can be said about the selected one: its name and its coordinates.

import { announce, element, get, icon } from "./dom.js";
import { keyOnMarker } from "./keys.js";
import { css } from "./palette.js";
import { KINDS, coordinates, label, typedPoints, withPoints, wrongName } from "./shapes.js";

export class List {
  #rows = new Map(); // id -> its element

  constructor(board) {
    this.board = board;
    this.place = get("#markers");
    this.name = get("#name");
    this.numbers = get("#numbers");
    this.name.oninput = () => this.#rename();
    this.numbers.onchange = () => this.#retype();
    for (const field of [this.name, this.numbers]) {
      field.addEventListener("keydown", (event) => {
        if (event.key !== "Enter" && event.key !== "Escape") return;
        event.preventDefault();
        if (event.key === "Escape") this.#forget(field);
        else if (field === this.numbers) this.#retype();
        this.#rows.get(board.selected)?.querySelector("button").focus();
      });
    }
    board.addEventListener("change", () => this.render());
  }

  /** Put the cursor where the selected marker is named. */
  rename = () => {
    this.name.focus();
    this.name.select();
  };

  render() {
    const { markers, selected } = this.board;
    const gone = new Set(this.#rows.keys());
    let focusLost = false;
    markers.forEach((one, index) => {
      gone.delete(one.id);
      const row = this.#rows.get(one.id) ?? this.#row(one.id);
      if (this.place.children[index] !== row) this.place.insertBefore(row, this.place.children[index] ?? null);
      const [choose, remove] = row.querySelectorAll("button");
      row.classList.toggle("chosen", one.id === selected);
      choose.setAttribute("aria-pressed", one.id === selected);
      const name = label(markers, index);
      row.querySelector(".swatch").style.background = css(one.color);
      row.querySelector(".name").textContent = `@${name}`;
      row.querySelector(".what").textContent = `${one.color} ${KINDS[one.kind].title.toLowerCase()}`;
      remove.setAttribute("aria-label", `Delete ${name}`);
    });
    for (const id of gone) {
      const row = this.#rows.get(id);
      focusLost ||= row.contains(document.activeElement);
      row.remove();
      this.#rows.delete(id);
    }
    if (focusLost) (this.#rows.get(selected)?.querySelector("button") ?? get("#canvas")).focus();
    get("#none").hidden = markers.length > 0;
    get("#count").textContent = markers.length || "";
    get("#inspector").hidden = !this.board.current;
    this.#fill();
  }

  #row(id) {
    const { board } = this;
    const choose = element(
      "button",
      "choose",
      element("span", "swatch"),
      element("bdi", "name"),
      element("span", "what"),
    );
    const remove = element("button", "quiet", icon("trash"));
    choose.type = remove.type = "button";
    choose.setAttribute("aria-describedby", "keys");
    const one = () => board.markers.find((other) => other.id === id);
    choose.onclick = () => board.set({ selected: id });
    choose.onfocus = () => board.selected !== id && choose.matches(":focus-visible") && board.set({ selected: id });
    choose.onkeydown = (event) => {
      if (event.ctrlKey || event.metaKey) return;
      if (event.key === "F2") {
        board.set({ selected: id });
        this.rename();
      } else if (!keyOnMarker(board, one(), event)) return;
      event.preventDefault();
    };
    remove.onclick = () => {
      announce(`${label(board.markers, board.markers.indexOf(one()))} deleted`);
      board.remove(id);
    };
    const row = element("li", "", choose, remove);
    this.#rows.set(id, row);
    return row;
  }

  /** Show the selected marker's name and numbers, but for what is being typed. */
  #fill() {
    const { current, selected } = this.board;
    if (!current) return;
    const same = this.filled === selected;
    this.filled = selected;
    if (!same || document.activeElement !== this.name) this.name.value = current.name;
    if (!same || document.activeElement !== this.numbers) this.numbers.value = coordinates(current);
    this.name.placeholder = label(this.board.markers, this.board.index);
    if (!same) this.#wrong("");
  }

  /** Drop what was typed. */
  #forget(field) {
    const { current } = this.board;
    if (current) field.value = field === this.name ? current.name : coordinates(current);
    this.#wrong("");
  }

  #rename() {
    const { board, name } = this;
    const wrong = wrongName(name.value.trim(), board.selected, board.markers);
    this.#wrong(wrong, this.name);
    if (!wrong) board.replace({ ...board.current, name: name.value.trim() }, "name");
  }

  #retype() {
    const { board, numbers } = this;
    if (!board.current || numbers.value === coordinates(board.current)) return this.#wrong("");
    const points = typedPoints(board.current.kind, numbers.value, board.size);
    if (typeof points === "string") return this.#wrong(points, this.numbers);
    this.#wrong("");
    board.replace(withPoints(board.current, points, board.size));
    numbers.value = coordinates(board.current); // so that leaving the field changes nothing more
    return undefined;
  }

  #wrong(sentence, field) {
    get("#wrong").textContent = sentence ?? "";
    for (const each of [this.name, this.numbers])
      each.setAttribute("aria-invalid", Boolean(sentence) && each === field);
  }
}
