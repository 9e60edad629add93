// Markers on a canvas, as vipcli/markers/drawing.py draws them: each painted once, with its own opacity.

import { css } from "./palette.js";
import { KINDS, bounds, lineWidth, outline } from "./shapes.js";

/** Paint one marker; `context` counts in pixels of the picture, which is of `size` ([width, height]). */
export function paint(context, one, size) {
  context.save();
  context.translate(0.5, 0.5); // OpenCV's whole numbers are the middles of pixels
  context.globalAlpha = KINDS[one.kind].alpha;
  context.fillStyle = context.strokeStyle = css(one.color);
  context.lineWidth = drawnWidth(one, size);
  context.lineCap = context.lineJoin = "round";
  if (isFilled(one)) context.fill(path(one, size));
  else context.stroke(path(one, size));
  context.restore();
}

/** Whether a marker's path is filled rather than followed. */
export function isFilled({ kind }) {
  return kind === "point" || kind === "mask" || kind === "arrow";
}

/** What is filled or followed, in pixels of the picture. */
export function path(one, size) {
  const made = new Path2D();
  if (one.kind === "ellipse") {
    const [x1, y1, x2, y2] = bounds(one);
    made.ellipse((x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2, (y2 - y1) / 2, 0, 0, 2 * Math.PI);
  } else if (one.kind === "point") {
    made.arc(...one.points[0], lineWidth(one, size) + 0.5, 0, 2 * Math.PI);
  } else if (one.kind === "arrow") {
    addArrow(made, one.points, lineWidth(one, size), drawnWidth(one, size));
  } else {
    const line = outline(one);
    line.forEach(([x, y], index) => (index ? made.lineTo(x, y) : made.moveTo(x, y)));
    if (one.kind !== "scribble") made.closePath();
  }
  return made;
}

/** How wide OpenCV's line of a width is, measured across: it thickens in steps of two pixels. */
function drawnWidth(one, size) {
  return 2 * Math.floor(Math.round(lineWidth(one, size)) / 2) + 1.44;
}

/** Shaft and head as one filled outline, so that nothing lies twice over anything. */
function addArrow(made, [[x1, y1], [x2, y2]], width, shaft) {
  const length = Math.hypot(x2 - x1, y2 - y1) || 1;
  const [ax, ay] = [(x2 - x1) / length, (y2 - y1) / length];
  const head = Math.min(length, Math.max(2.5 * width, Math.min(length / 3, 6 * width)));
  const half = Math.max(head / 2, Math.min(width, head));
  const [bx, by] = [x2 - ax * head, y2 - ay * head];
  const [sx, sy] = [(-ay * shaft) / 2, (ax * shaft) / 2];
  const angle = Math.atan2(ay, ax);
  made.moveTo(bx - sx, by - sy);
  made.lineTo(bx + ay * half, by - ax * half);
  made.lineTo(x2, y2);
  made.lineTo(bx - ay * half, by + ax * half);
  made.lineTo(bx + sx, by + sy);
  made.arc(x1, y1, shaft / 2, angle + Math.PI / 2, angle + (3 * Math.PI) / 2);
  made.closePath();
}
