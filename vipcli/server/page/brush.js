// The brush: strokes on a small canvas that become the polygon of a mask.

import { css } from "./palette.js";
import { simplifiedRing, traced } from "./simplify.js";

const SIDE = 720; // of the canvas that is painted on: finer than a brush can be led

const STEP = 1.6; // its pixels: the steps of a slanting edge are smoothed away

export class Brush {
  /** Paint on a picture of `size` with a radius in its pixels, onto the polygon `base`; `erase` takes away. */
  constructor(size, radius, { base = null, color = "red", erase = false } = {}) {
    this.scale = Math.min(1, SIDE / Math.max(...size));
    this.canvas = document.createElement("canvas");
    [this.canvas.width, this.canvas.height] = size.map((side) => Math.max(1, Math.round(side * this.scale)));
    const context = (this.context = this.canvas.getContext("2d", { willReadFrequently: true }));
    context.scale(this.scale, this.scale);
    context.fillStyle = context.strokeStyle = css(color);
    context.lineWidth = 2 * radius;
    context.lineCap = context.lineJoin = "round";
    if (base) {
      context.beginPath();
      base.forEach(([x, y]) => context.lineTo(x, y));
      context.fill();
    }
    if (erase) context.globalCompositeOperation = "destination-out";
  }

  /** Go on to a spot. */
  to(spot) {
    const { context } = this;
    context.beginPath();
    context.moveTo(...(this.last ?? spot));
    context.lineTo(...spot);
    context.stroke();
    this.last = spot;
  }

  /** The outline of what is painted now, in pixels of the picture; [] where nothing is. */
  outline() {
    const { width, height } = this.canvas;
    const { data } = this.context.getImageData(0, 0, width, height);
    const corners = traced((x, y) => data[(y * width + x) * 4 + 3] > 127, width, height);
    return simplifiedRing(corners, STEP).map(([x, y]) => [x / this.scale, y / this.scale]);
  }
}
