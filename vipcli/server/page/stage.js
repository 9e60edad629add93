// The picture and the canvas over it: how large they are, and what is painted.

import { announce, get } from "./dom.js";
import { paint } from "./drawing.js";
import { css } from "./palette.js";
import { KINDS, bounds, handles, label } from "./shapes.js";

const LARGEST = 4096; // pixels of the canvas's longer side
const MAGNIFIED = 4; // a small picture is shown at most so many times as large

export class Stage {
  draft = null; // a marker that is being drawn
  brush = null; // a Brush at work

  constructor(board) {
    this.board = board;
    this.frame = get("#frame");
    this.canvas = get("#canvas");
    this.context = this.canvas.getContext("2d");
    new ResizeObserver(() => this.fit()).observe(get("#stage"));
    addEventListener("resize", () => this.fit());
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    board.addEventListener("change", () => this.render());
  }

  /** Pixels of the screen to one of the picture. */
  get scale() {
    return this.frame.clientWidth / this.board.size[0] || 1;
  }

  /** The spot of the picture under a pointer. */
  spot({ clientX, clientY }) {
    const { left, top, width, height } = this.canvas.getBoundingClientRect();
    const [across, down] = this.board.size;
    return [((clientX - left) / width) * across, ((clientY - top) / height) * down];
  }

  render() {
    const { picture } = this.board;
    if (picture && picture !== this.shown) {
      this.shown = picture;
      picture.image.alt = "";
      this.frame.querySelector("img")?.remove();
      this.frame.prepend(picture.image);
      get("#empty").hidden = true;
      this.frame.hidden = false;
      document.body.classList.add("seeing");
      announce(`${picture.name}, ${picture.width} by ${picture.height} pixels`);
      this.fit();
    }
    const { markers } = this.board;
    const said = markers.length
      ? `Markers: ${markers.map((one, i) => `${label(markers, i)}, ${one.color} ${one.kind}`).join("; ")}.`
      : "";
    this.canvas.setAttribute("aria-label", `${picture?.name ?? "The picture"}. ${said || "No markers yet."}`);
    this.canvas.dataset.tool = this.board.tool;
    this.draw();
  }

  /** Make the picture as large as its place allows. */
  fit() {
    if (!this.board.picture) return;
    const place = get("#stage");
    const style = getComputedStyle(place);
    const width = place.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    const height = place.clientHeight - parseFloat(style.paddingTop) - parseFloat(style.paddingBottom);
    const [across, down] = this.board.size;
    const tall = matchMedia("(max-width: 899px)").matches ? innerHeight * 0.6 : height;
    const scale = Math.max(0.001, Math.min(width / across, tall / down, MAGNIFIED));
    this.frame.style.width = `${across * scale}px`;
    this.frame.style.height = `${down * scale}px`;
    this.draw();
  }

  /** Paint before the next frame, however often this is called. */
  draw() {
    this.asked ??= requestAnimationFrame(() => {
      this.asked = null;
      if (this.board.picture) this.#draw();
    });
  }

  #draw() {
    const { context, canvas, board } = this;
    const { clientWidth, clientHeight } = canvas;
    const dense = Math.min(devicePixelRatio, LARGEST / Math.max(clientWidth, clientHeight, 1));
    const [width, height] = [Math.round(clientWidth * dense), Math.round(clientHeight * dense)];
    if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
    const scale = (clientWidth / board.size[0]) * dense;
    context.setTransform(scale, 0, 0, scale, 0, 0);
    context.clearRect(0, 0, ...board.size);
    for (const one of board.markers) {
      if (!(this.brush && this.brushed === one.id)) paint(context, one, board.size);
    }
    if (this.draft) paint(context, this.draft, board.size);
    if (this.brush) {
      context.globalAlpha = KINDS.mask.alpha;
      context.drawImage(this.brush.canvas, 0, 0, ...board.size);
      context.globalAlpha = 1;
    }
    context.setTransform(dense, 0, 0, dense, 0, 0);
    const onScreen = ([x, y]) => [(x * scale) / dense, (y * scale) / dense];
    board.markers.forEach((one, index) => this.#plate(one, label(board.markers, index), onScreen));
    if (board.current && !this.draft && !this.brush) this.#grips(board.current, onScreen);
    if (this.ring) this.#ring(onScreen, scale / dense);
  }

  /** A name beside its marker. */
  #plate(one, text, onScreen) {
    const { context, canvas } = this;
    const [x1, y1] = onScreen(bounds(one));
    context.font = "600 12px system-ui, sans-serif";
    const shown = text.length > 24 ? `${text.slice(0, 23)}…` : text;
    const width = Math.ceil(context.measureText(shown).width) + 12;
    const left = Math.max(2, Math.min(x1 - 1, canvas.clientWidth - width - 2));
    const top = Math.max(2, Math.min(y1 - 24, canvas.clientHeight - 20));
    context.beginPath();
    context.roundRect(left, top, width, 18, 4);
    context.fillStyle = css(one.color);
    context.fill();
    context.fillStyle = ["blue", "purple", "red"].includes(one.color) ? "#fff" : "#000";
    context.textBaseline = "middle";
    context.fillText(shown, left + 6, top + 9.5);
  }

  /** What the selected marker is taken hold of by. */
  #grips(one, onScreen) {
    const { context } = this;
    const [x1, y1, x2, y2] = bounds(one);
    const [[left, top], [right, bottom]] = [onScreen([x1, y1]), onScreen([x2, y2])];
    const room = one.kind === "point" ? 12 : 0;
    context.lineWidth = 1;
    const framed = one.kind !== "arrow" && one.kind !== "triangle"; // those show by their corners what they are
    for (const [color, offset] of framed
      ? [
          ["#000a", 0],
          ["#fff", 4],
        ]
      : []) {
      context.setLineDash([4, 4]);
      context.lineDashOffset = offset;
      context.strokeStyle = color;
      context.strokeRect(left - room, top - room, right - left + 2 * room, bottom - top + 2 * room);
    }
    context.setLineDash([]);
    for (const { x, y } of handles(one)) {
      context.beginPath();
      context.arc(...onScreen([x, y]), 5.5, 0, 2 * Math.PI);
      context.fillStyle = "#fff";
      context.fill();
      context.lineWidth = 1.5;
      context.strokeStyle = "#1b1b19";
      context.stroke();
    }
  }

  /** How large the brush is. */
  #ring(onScreen, scale) {
    const { context } = this;
    for (const [color, width] of [
      ["#000a", 3],
      ["#fff", 1.5],
    ]) {
      context.beginPath();
      context.arc(...onScreen(this.ring.spot), this.ring.radius * scale, 0, 2 * Math.PI);
      context.lineWidth = width;
      context.strokeStyle = color;
      context.stroke();
    }
  }
}
