// What a marker is: its geometry, and its text in vip's grammar. Coordinates are pixels of the upright picture.
// A marker is a plain object that never changes: {id, kind, points, name, color, automatic, width}.

/** Every kind: what it is called, its width in 336ths, and its opacity, as in vipcli/markers/shapes.py. */
export const KINDS = {
  box: { title: "Box", width: 3, alpha: 128 / 255 },
  ellipse: { title: "Ellipse", width: 3, alpha: 128 / 255 },
  arrow: { title: "Arrow", width: 3, alpha: 128 / 255 },
  point: { title: "Point", width: 8, alpha: 128 / 255 },
  triangle: { title: "Triangle", width: 3, alpha: 128 / 255 },
  contour: { title: "Contour", width: 2, alpha: 128 / 255 },
  mask: { title: "Mask", width: 3, alpha: 96 / 255 },
  scribble: { title: "Scribble", width: 3, alpha: 128 / 255 },
};

const PHRASES = {
  box: "within the {color} rectangle",
  ellipse: "within the {color} ellipse",
  arrow: "pointed to by the {color} arrow",
  point: "at the {color} point",
  triangle: "with the {color} triangle",
  contour: "with the {color} mask contour",
  mask: "with the {color} mask",
  scribble: "with the {color} scribble",
};
const COUNT = { box: 2, ellipse: 2, arrow: 2, point: 1, triangle: 3 };
const LEAST = { contour: 3, mask: 3, scribble: 2 };
const NAME = /^[\p{L}\p{N}_][\p{L}\p{N}_-]{0,63}$/u;

let made = 0;

/** A new marker; `color` and `width` may be left to vip (null). */
export function marker(kind, points, { name = "", color = null, width = null } = {}) {
  return { id: ++made, kind, points, name, color, automatic: color === null, width };
}

/** What `@name` calls the marker at a place in the list: its name, or its number. */
export function label(markers, index) {
  return markers[index].name || String(index + 1);
}

/** Why a name can't be used for a marker; undefined where it can. */
export function wrongName(name, id, markers) {
  if (!name) return undefined;
  if (!NAME.test(name)) return "Use letters, digits, _ and -, at most 64 of them, with no - in front.";
  if (/^\p{N}+$/u.test(name)) return "A number alone is what a marker without a name is called.";
  if (markers.some((other) => other.id !== id && other.name === name)) return "Another marker has this name.";
  return undefined;
}

/** The coordinates as the grammar writes them. */
export function coordinates({ points }) {
  return points.flat().join(",");
}

/** What stands behind a marker's flag: `dog=40,30,200,180@blue,width=4`. */
export function value(one) {
  const style = [one.color, one.width === null ? null : `width=${one.width}`].filter((part) => part !== null);
  return `${one.name ? `${one.name}=` : ""}${coordinates(one)}${style.length ? "@" : ""}${style.join(",")}`;
}

/** The whole grammar: `box:dog=40,30,200,180@blue`. */
export function grammar(one) {
  return `${one.kind}:${value(one)}`;
}

/** The words that the model reads in a marker's place: `the dog within the blue rectangle`. */
export function phrase(markers, index) {
  const { kind, color, name } = markers[index];
  const noun = name ? name.replaceAll("_", " ") : "object";
  return `the ${noun} ${PHRASES[kind].replace("{color}", color ?? "")}`.replace(/\s+/g, " ");
}

/** The line width in pixels of a picture of `size` ([width, height]); of a point the radius. */
export function lineWidth({ kind, width }, size) {
  return Math.max(1, ((width ?? KINDS[kind].width) * Math.max(...size)) / 336);
}

/** The box around the geometry: [x1, y1, x2, y2]. */
export function bounds({ points }) {
  const [xs, ys] = [points.map(([x]) => x), points.map(([, y]) => y)];
  const least = (values) => values.reduce((one, other) => Math.min(one, other));
  const most = (values) => values.reduce((one, other) => Math.max(one, other));
  return [least(xs), least(ys), most(xs), most(ys)];
}

/** Where a marker's line runs, closed shapes back to their beginning. */
export function outline(one) {
  if (one.kind === "box" || one.kind === "ellipse") {
    const [x1, y1, x2, y2] = bounds(one);
    if (one.kind === "box")
      return [
        [x1, y1],
        [x2, y1],
        [x2, y2],
        [x1, y2],
        [x1, y1],
      ];
    return Array.from({ length: 65 }, (_, step) => {
      const angle = (step / 32) * Math.PI;
      return [(x1 + x2 + (x2 - x1) * Math.cos(angle)) / 2, (y1 + y2 + (y2 - y1) * Math.sin(angle)) / 2];
    });
  }
  return ["triangle", "contour", "mask"].includes(one.kind) ? [...one.points, one.points[0]] : one.points;
}

/** Whole pixels, which no eye tells apart; tenths on a tiny picture. All within the picture. */
export function settled(points, [width, height]) {
  const grain = Math.max(width, height) < 200 ? 10 : 1;
  const within = (value, limit) => Math.round(Math.min(Math.max(value, 0), limit) * grain) / grain;
  return points.map(([x, y]) => [within(x, width), within(y, height)]);
}

/** The marker with other points, put in order and on the picture. */
export function withPoints(one, points, size) {
  const placed = settled(points, size);
  if (one.kind !== "box" && one.kind !== "ellipse") return { ...one, points: placed };
  const [x1, y1, x2, y2] = bounds({ points: placed });
  return {
    ...one,
    points: [
      [x1, y1],
      [x2, y2],
    ],
  };
}

/** The marker moved by pixels, as far as the edges of the picture let it. */
export function moved(one, dx, dy, [width, height]) {
  const [x1, y1, x2, y2] = bounds(one);
  const [right, down] = [Math.max(-x1, Math.min(dx, width - x2)), Math.max(-y1, Math.min(dy, height - y2))];
  return withPoints(
    one,
    one.points.map(([x, y]) => [x + right, y + down]),
    [width, height],
  );
}

/** Where a marker can be taken hold of: {id, x, y, cursor}. */
export function handles(one) {
  if (one.kind === "point") return [];
  if (one.kind === "arrow" || one.kind === "triangle") {
    return one.points.map(([x, y], index) => ({ id: index, x, y, cursor: "crosshair" }));
  }
  const [x1, y1, x2, y2] = bounds(one);
  const [x, y] = [(x1 + x2) / 2, (y1 + y2) / 2];
  const spots = {
    nw: [x1, y1],
    n: [x, y1],
    ne: [x2, y1],
    e: [x2, y],
    se: [x2, y2],
    s: [x, y2],
    sw: [x1, y2],
    w: [x1, y],
  };
  return Object.entries(spots).map(([id, [left, top]]) => ({ id, x: left, y: top, cursor: `${id}-resize` }));
}

/** The marker with one handle dragged to a spot. */
export function resized(one, id, [x, y], size) {
  if (typeof id === "number") {
    return withPoints(
      one,
      one.points.map((point, index) => (index === id ? [x, y] : point)),
      size,
    );
  }
  const [x1, y1, x2, y2] = bounds(one);
  const [left, right] = [id.includes("w") ? x : x1, id.includes("e") ? x : x2];
  const [top, bottom] = [id.includes("n") ? y : y1, id.includes("s") ? y : y2];
  const along = (value, from, to, newFrom, newTo) => newFrom + ((value - from) / (to - from || 1)) * (newTo - newFrom);
  const points = one.points.map(([px, py]) => [along(px, x1, x2, left, right), along(py, y1, y2, top, bottom)]);
  return withPoints(one, points, size);
}

/** The marker with its right lower end dragged by pixels: what the keyboard resizes. */
export function stretched(one, dx, dy, size) {
  if (one.kind === "point") return one;
  const [id, x, y] =
    one.kind === "arrow" || one.kind === "triangle"
      ? [one.points.length - 1, ...one.points.at(-1)]
      : ["se", ...bounds(one).slice(2)];
  return resized(one, id, [x + dx, y + dy], size);
}

/** Whether there is something to see: an area or a length. */
export function isWhole({ kind, points }) {
  const [x1, y1, x2, y2] = bounds({ points });
  if (kind === "point") return true;
  if (kind === "arrow" || kind === "scribble") return points.length > 1 && (x1 !== x2 || y1 !== y2);
  if (x1 === x2 || y1 === y2) return false;
  if (kind === "box" || kind === "ellipse") return true;
  const [[ax, ay]] = points;
  const off = ([bx, by], [cx, cy]) => Math.abs((bx - ax) * (cy - ay) - (by - ay) * (cx - ax)) > 1;
  return points.length > 2 && points.some((one, index) => index > 0 && off(one, points[index - 1]));
}

/** The points of numbers that were typed, or a sentence about what is wrong with them. */
export function typedPoints(kind, text, [width, height]) {
  const parts = text.split(",").map((part) => part.trim());
  const numbers = parts.map((part, index) => {
    const [, digits, percent] = /^([+-]?\d+(?:\.\d*)?|[+-]?\.\d+)(%?)$/.exec(part) ?? [];
    return percent ? (Number(digits) * (index % 2 ? height : width)) / 100 : Number(digits ?? NaN);
  });
  const wanted = kind in COUNT ? `${COUNT[kind] * 2} numbers` : `at least ${LEAST[kind] * 2} numbers, x and y by turns`;
  const enough = kind in COUNT ? numbers.length === COUNT[kind] * 2 : numbers.length >= LEAST[kind] * 2;
  if (!enough || numbers.length % 2 || numbers.some(Number.isNaN))
    return `${KINDS[kind].title}: ${wanted}, with commas.`;
  const points = Array.from({ length: numbers.length / 2 }, (_, index) => numbers.slice(index * 2, index * 2 + 2));
  if (points.some(([x, y]) => x < 0 || y < 0 || x > width || y > height)) return `The picture is ${width} × ${height}.`;
  return isWhole(withPoints({ kind }, points, [width, height])) ? points : `${KINDS[kind].title}: that has no extent.`;
}
