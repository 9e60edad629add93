// The state of the page, in one place: the picture, its markers, which is selected, and how to come back.

import { colored } from "./palette.js";

const TOGETHER = 800; // ms: nudges of one marker within these are one step of undo

/** Tells everybody with the event "change"; whoever listens draws again. */
export class Board extends EventTarget {
  picture = null; // see picture.js
  markers = [];
  selected = null; // id
  tool = "box";
  style = { color: null, width: null }; // of the next marker
  brush = { radius: 8, erase: false }; // radius in 336ths
  #before = [];
  #after = [];
  #last = { what: null, when: 0 };

  get size() {
    return this.picture ? [this.picture.width, this.picture.height] : [1, 1];
  }

  get index() {
    return this.markers.findIndex(({ id }) => id === this.selected);
  }

  /** The selected marker. */
  get current() {
    return this.markers[this.index];
  }

  get canUndo() {
    return this.#before.length > 0;
  }

  get canRedo() {
    return this.#after.length > 0;
  }

  /** Look at another picture, or the first. */
  show(picture) {
    [this.#before, this.#after] = [[], []];
    this.set({ picture, markers: [], selected: null });
  }

  /** Change what undo doesn't bring back: selected, tool, style, brush. */
  set(changes) {
    Object.assign(this, changes);
    this.dispatchEvent(new Event("change"));
  }

  /** Change the markers. `what`: steps that are called the same and follow each other at once are undone at once. */
  change(markers, { selected = this.selected, what = null, from = this.markers } = {}) {
    const now = performance.now();
    const goesOn = what !== null && what === this.#last.what && now - this.#last.when < TOGETHER;
    if (!goesOn) this.#before.push(from);
    this.#last = { what, when: now };
    this.#after = [];
    this.set({ markers: colored(markers, (x, y) => this.picture.pixelAt(x, y)), selected });
  }

  add(one) {
    this.change([...this.markers, one], { selected: one.id });
  }

  /** Put a changed marker in its old one's place. */
  replace(one, what = null) {
    this.change(this.#with(one), { what: what && `${what} ${one.id}` });
  }

  /** The same while a drag goes on, which is one step: `settle` ends it. */
  preview(one) {
    this.set({ markers: this.#with(one) });
  }

  settle(from) {
    this.change(this.markers, { from });
  }

  remove(id) {
    const index = this.markers.findIndex((one) => one.id === id);
    const left = this.markers.filter((one) => one.id !== id);
    this.change(left, { selected: (left[index] ?? left.at(-1))?.id ?? null });
  }

  undo() {
    this.#step(this.#before, this.#after);
  }

  redo() {
    this.#step(this.#after, this.#before);
  }

  #with(one) {
    return this.markers.map((other) => (other.id === one.id ? one : other));
  }

  #step(from, to) {
    if (!from.length) return;
    to.push(this.markers);
    this.#last = { what: null, when: 0 };
    const markers = from.pop();
    const is = markers.some(({ id }) => id === this.selected);
    this.set({ markers, selected: is ? this.selected : (markers.at(-1)?.id ?? null) });
  }
}
