// Mouse, pen and finger on the picture.

import { announce } from "./dom.js";
import { Brush } from "./brush.js";
import { isFilled, path } from "./drawing.js";
import { colored } from "./palette.js";
import { KINDS, bounds, handles, isWhole, lineWidth, marker, moved, resized, withPoints } from "./shapes.js";
import { drawn } from "./tools.js";

const NEAR = { mouse: 8, pen: 12, touch: 22 }; // pixels of the screen by which a pointer may miss
const CLICK = 3; // pixels of the screen that a click may slip

export class Pointing {
  #gesture = null; // {to(spot), end(), cancel()}

  constructor(board, stage) {
    [this.board, this.stage] = [board, stage];
    const { canvas } = stage;
    canvas.addEventListener("pointerdown", (event) => this.#down(event));
    canvas.addEventListener("pointermove", (event) => this.#move(event));
    canvas.addEventListener("pointerup", (event) => this.#up(event));
    canvas.addEventListener("pointercancel", () => this.cancel());
    canvas.addEventListener("pointerleave", () => this.#ring(null));
    // With the select tool a finger scrolls the page, but for where it takes hold of a marker.
    canvas.addEventListener("touchstart", (event) => this.#touch(event), { passive: false });
    canvas.addEventListener("contextmenu", (event) => this.#gesture && event.preventDefault());
  }

  get isBusy() {
    return this.#gesture !== null;
  }

  /** Give up what is being drawn or dragged. */
  cancel() {
    this.#gesture?.cancel();
    this.#finish();
  }

  #down(event) {
    if (!event.isPrimary) return this.cancel(); // a second finger means something else
    if (event.button !== 0 || !this.board.picture || this.#gesture) return;
    const spot = this.stage.spot(event);
    const near = NEAR[event.pointerType] ?? NEAR.mouse;
    this.stage.canvas.setPointerCapture(event.pointerId);
    this.stage.canvas.focus({ preventScroll: true });
    this.#gesture = this.#begun(spot, near / this.stage.scale);
  }

  #move(event) {
    const spot = this.stage.spot(event);
    if (this.#gesture && event.isPrimary) {
      const events = event.getCoalescedEvents?.() ?? [];
      for (const each of events.length ? events : [event]) this.#gesture?.to(this.stage.spot(each));
    } else {
      this.#hover(spot, (NEAR[event.pointerType] ?? NEAR.mouse) / this.stage.scale);
    }
    this.#ring(event.pointerType === "touch" && !this.#gesture ? null : spot);
    this.stage.draw();
  }

  #up(event) {
    if (!this.#gesture || !event.isPrimary) return;
    this.#gesture.to(this.stage.spot(event));
    this.#gesture.end();
    this.#finish();
  }

  #finish() {
    this.#gesture = null;
    Object.assign(this.stage, { draft: null, brush: null, brushed: null });
    this.stage.draw();
  }

  #touch(event) {
    const [touch] = event.touches;
    if (event.touches.length > 1 || this.board.tool !== "select") return;
    const [spot, near] = [this.stage.spot(touch), NEAR.touch / this.stage.scale];
    if (this.#gripAt(spot, near) || this.#hit(spot, near)) event.preventDefault();
  }

  /** Which gesture begins here. */
  #begun(spot, near) {
    const { board } = this;
    const grip = this.#gripAt(spot, near);
    if (grip && !(board.tool === "mask" && board.current.kind === "mask")) {
      return this.#dragged((one, to) => resized(one, grip.id, to, board.size));
    }
    if (board.tool === "select") {
      const hit = this.#hit(spot, near);
      if (hit?.id !== board.selected) board.set({ selected: hit?.id ?? null });
      return hit ? this.#moving(spot) : idle();
    }
    if (board.tool === "mask") return this.#painting(spot);
    const { current } = board;
    const held = current && current.kind !== "mask" && board.tool !== "point" && this.#isOn(current, spot, near / 2);
    return held ? this.#moving(spot) : this.#drawing(spot);
  }

  #moving([x, y]) {
    return this.#dragged((one, to) => moved(one, to[0] - x, to[1] - y, this.board.size));
  }

  /** The selected marker, changed by where the pointer is. */
  #dragged(changed) {
    const { board } = this;
    const [from, one] = [board.markers, board.current];
    let now = one;
    return {
      to: (spot) => board.preview((now = changed(one, spot))),
      end: () => {
        if (!isWhole(now)) board.set({ markers: from });
        else if (String(now.points) !== String(one.points)) board.settle(from);
      },
      cancel: () => board.set({ markers: from }),
    };
  }

  #drawing(start) {
    const { board, stage } = this;
    const kind = board.tool;
    const line = [start];
    const made = () => {
      const one = marker(kind, drawn(kind, line, 1 / stage.scale), board.style);
      return withPoints(one, one.points, board.size);
    };
    const shown = () => {
      const pixelAt = (x, y) => board.picture.pixelAt(x, y);
      return colored([...board.markers, { ...made(), color: board.style.color }], pixelAt).at(-1);
    };
    stage.draft = kind === "point" ? shown() : null;
    return {
      to: (spot) => {
        const [x, y] = line.at(-1);
        if (x === spot[0] && y === spot[1]) return;
        line.push(spot);
        stage.draft = isWhole(made()) ? shown() : null;
      },
      end: () => {
        const one = made();
        const [x1, y1, x2, y2] = bounds({ points: line });
        const slipped = Math.max(x2 - x1, y2 - y1) * stage.scale <= CLICK;
        if (kind !== "point" && (slipped || !isWhole(one))) return this.#clicked(start);
        board.add(one);
        announce(`${KINDS[kind].title} drawn, ${board.current.color}`);
      },
      cancel: () => {},
    };
  }

  /** A click with a drawing tool selects what is there. */
  #clicked(spot) {
    const hit = this.#hit(spot, NEAR.mouse / this.stage.scale);
    this.board.set({ selected: hit?.id ?? null });
  }

  #painting(start) {
    const { board, stage } = this;
    const { erase } = board.brush;
    const radius = this.#radius();
    const base =
      board.current?.kind === "mask" && (erase || this.#isOn(board.current, start, radius)) ? board.current : null;
    if (erase && !base) return idle();
    const fresh = base ?? marker("mask", [start], board.style);
    const { color } = base ?? colored([...board.markers, fresh], (x, y) => board.picture.pixelAt(x, y)).at(-1);
    const brush = new Brush(board.size, radius, { base: base?.points, color, erase });
    brush.to(start);
    Object.assign(stage, { brush, brushed: base?.id });
    return {
      to: (spot) => brush.to(spot),
      end: () => {
        const outline = brush.outline();
        const one = outline.length > 2 ? withPoints(fresh, outline, board.size) : null;
        if (one && isWhole(one)) base ? board.replace(one) : board.add({ ...one, color });
        else if (base) board.remove(base.id);
        announce(erase ? "Mask erased in part" : "Mask painted");
      },
      cancel: () => {},
    };
  }

  #radius() {
    return Math.max(1, (this.board.brush.radius * Math.max(...this.board.size)) / 336);
  }

  #ring(spot) {
    const shown = spot && this.board.tool === "mask" && this.board.picture;
    this.stage.ring = shown ? { spot, radius: this.#radius() } : null;
    this.stage.draw();
  }

  #hover(spot, near) {
    const { board, stage } = this;
    const grip = this.#gripAt(spot, near);
    const over = !grip && board.tool === "select" && this.#hit(spot, near);
    stage.canvas.style.cursor = grip && board.tool !== "mask" ? grip.cursor : over ? "move" : "";
  }

  #gripAt([x, y], near) {
    const { current } = this.board;
    if (!current) return undefined;
    const away = (grip) => Math.hypot(grip.x - x, grip.y - y);
    const [best] = handles(current).sort((one, other) => away(one) - away(other));
    return best && away(best) <= near * 1.25 ? best : undefined;
  }

  /** The marker at a spot: the selected one, else the smallest. */
  #hit(spot, near) {
    const { markers, selected } = this.board;
    const area = (one) => {
      const [x1, y1, x2, y2] = bounds(one);
      return (x2 - x1 + near) * (y2 - y1 + near);
    };
    const hits = markers.filter((one) => this.#isOn(one, spot, near) || this.#isIn(one, spot));
    return hits.sort((one, other) => (other.id === selected) - (one.id === selected) || area(one) - area(other))[0];
  }

  #isOn(one, [x, y], near) {
    const context = this.#scratch;
    const way = path(one, this.board.size);
    context.lineWidth = Math.max(2 * near, isFilled(one) ? 0 : lineWidth(one, this.board.size));
    return context.isPointInStroke(way, x, y) || (isFilled(one) && context.isPointInPath(way, x, y));
  }

  #isIn(one, [x, y]) {
    return one.kind !== "scribble" && this.#scratch.isPointInPath(path(one, this.board.size), x, y);
  }

  get #scratch() {
    return (this.scratch ??= document.createElement("canvas").getContext("2d"));
  }
}

function idle() {
  return { to: () => {}, end: () => {}, cancel: () => {} };
}
