// Fewer points for the same line, and the outline of what a brush has painted.

const WAYS = [
  [1, 0],
  [0, 1],
  [-1, 0],
  [0, -1],
];

/** Ramer-Douglas-Peucker: leave out what lies within `tolerance` of the line between its neighbours. */
export function simplified(points, tolerance) {
  if (points.length < 3) return points;
  const kept = new Set([0, points.length - 1]);
  const open = [[0, points.length - 1]];
  while (open.length) {
    const [first, last] = open.pop();
    let [far, most] = [0, tolerance];
    for (let index = first + 1; index < last; index++) {
      const off = distance(points[index], points[first], points[last]);
      if (off > most) [far, most] = [index, off];
    }
    if (far) {
      kept.add(far);
      open.push([first, far], [far, last]);
    }
  }
  return points.filter((_, index) => kept.has(index));
}

/** The same for a closed line, which is cut where it is widest so that no corner is special. */
export function simplifiedRing(points, tolerance) {
  if (points.length < 4) return points;
  const [x0, y0] = points[0];
  let far = 1;
  points.forEach(([x, y], index) => {
    if (Math.hypot(x - x0, y - y0) > Math.hypot(points[far][0] - x0, points[far][1] - y0)) far = index;
  });
  const there = simplified(points.slice(0, far + 1), tolerance);
  const back = simplified([...points.slice(far), points[0]], tolerance);
  return [...there, ...back.slice(1, -1)];
}

function distance([x, y], [x1, y1], [x2, y2]) {
  const [dx, dy] = [x2 - x1, y2 - y1];
  const share = Math.max(0, Math.min(1, ((x - x1) * dx + (y - y1) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(x - x1 - share * dx, y - y1 - share * dy);
}

/** The outer edge of the largest connected patch in `isSet(x, y)`, as corners of its pixels; [] where there is none. */
export function traced(isSet, width, height) {
  const seen = new Uint8Array(width * height);
  let [start, most] = [-1, 0];
  for (let from = 0; from < seen.length; from++) {
    if (seen[from] || !isSet(from % width, Math.floor(from / width))) continue;
    const open = [from];
    seen[from] = 1;
    let count = 0;
    while (open.length) {
      const at = open.pop();
      const [x, y] = [at % width, Math.floor(at / width)];
      count += 1;
      for (const [dx, dy] of WAYS) {
        const [nx, ny] = [x + dx, y + dy];
        if (nx < 0 || ny < 0 || nx >= width || ny >= height || seen[ny * width + nx] || !isSet(nx, ny)) continue;
        seen[ny * width + nx] = 1;
        open.push(ny * width + nx);
      }
    }
    if (count > most) [start, most] = [from, count]; // its first pixel, in rows from the top, is on the edge
  }
  return start < 0 ? [] : followed(isSet, start % width, Math.floor(start / width), width, height);
}

/** Along the cracks between set and unset pixels, the set ones to the right, turning right wherever that goes. */
function followed(isSet, x0, y0, width, height) {
  const set = (x, y) => x >= 0 && y >= 0 && x < width && y < height && isSet(x, y);
  const ahead = [
    [0, 0, 0, -1],
    [-1, 0, 0, 0],
    [-1, -1, -1, 0],
    [0, -1, -1, -1],
  ]; // right and left of each way
  const corners = [];
  let [x, y, way] = [x0, y0, 0];
  do {
    for (const turn of [1, 0, 3]) {
      const next = (way + turn) % 4;
      const [rx, ry, lx, ly] = ahead[next];
      if (set(x + rx, y + ry) && !set(x + lx, y + ly)) {
        if (next !== way || !corners.length) corners.push([x, y]);
        way = next;
        break;
      }
    }
    x += WAYS[way][0];
    y += WAYS[way][1];
  } while (x !== x0 || y !== y0);
  return corners;
}
