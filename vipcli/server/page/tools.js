// What each tool makes of a drag: `begin` at a spot, `to` where the pointer goes, `points` so far.

import { simplified, simplifiedRing } from "./simplify.js";

/** The tools in the order of the toolbar: a key that chooses each, and what to do with it. */
export const TOOLS = {
  select: { title: "Select", key: "v", hint: "Click a marker to select it, drag it or its handles." },
  box: { title: "Box", key: "b", hint: "Drag from corner to corner." },
  ellipse: { title: "Ellipse", key: "e", hint: "Drag from corner to corner of the box around it." },
  arrow: { title: "Arrow", key: "a", hint: "Drag to the thing: the arrow's tip is where you let go." },
  point: { title: "Point", key: "p", hint: "Click the thing." },
  triangle: { title: "Triangle", key: "t", hint: "Drag from corner to corner of the box around it." },
  contour: { title: "Contour", key: "c", hint: "Draw around the thing: the line closes by itself." },
  mask: { title: "Mask", key: "m", hint: "Paint over the thing; go on in the same mask where you touch it." },
  scribble: { title: "Scribble", key: "s", hint: "Draw a line over the thing." },
};

/** The points of a marker drawn along `line`; `grain`: pixels of the picture that the eye can tell apart. */
export function drawn(kind, line, grain) {
  const [start, end] = [line[0], line.at(-1)];
  if (kind === "point") return [end];
  if (kind === "scribble") return simplified(line, grain);
  if (kind === "contour") return simplifiedRing(line, grain);
  if (kind !== "triangle") return [start, end];
  return [
    [(start[0] + end[0]) / 2, start[1]],
    [end[0], end[1]],
    [start[0], end[1]],
  ];
}

/** A marker's points where it is put by the keyboard: in the middle, a third of the picture large. */
export function placed(kind, [width, height]) {
  const [x, y, rx, ry] = [width / 2, height / 2, width / 6, height / 6];
  if (kind === "point") return [[x, y]];
  if (kind === "arrow")
    return [
      [x - rx, y - ry],
      [x, y],
    ];
  if (kind === "triangle")
    return drawn(
      kind,
      [
        [x - rx, y - ry],
        [x + rx, y + ry],
      ],
      1,
    );
  if (kind === "scribble") {
    return [
      [x - rx, y + ry],
      [x - rx / 3, y - ry],
      [x + rx / 3, y + ry],
      [x + rx, y - ry],
    ];
  }
  if (kind === "box" || kind === "ellipse")
    return [
      [x - rx, y - ry],
      [x + rx, y + ry],
    ];
  return Array.from({ length: 12 }, (_, step) => {
    const angle = (step / 6) * Math.PI;
    return [x + rx * Math.cos(angle), y + ry * Math.sin(angle)];
  });
}
