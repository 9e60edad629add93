// The nine colours that ViP-LLaVA was trained on, and which of them vip takes where none is asked for: the choice of
// vipcli/markers/palette.py, so that what is drawn here is what vip draws.

import { outline } from "./shapes.js";

export const TRAINED = {
  red: [255, 0, 0],
  lime: [0, 255, 0],
  blue: [0, 0, 255],
  yellow: [255, 255, 0],
  fuchsia: [255, 0, 255],
  aqua: [0, 255, 255],
  orange: [255, 165, 0],
  purple: [128, 0, 128],
  gold: [255, 215, 0],
};
const VISIBLE = 25; // in Lab
const SAMPLES = 64; // along a marker's line

/** `rgb(...)` of a trained name. */
export function css(name) {
  return `rgb(${(TRAINED[name] ?? TRAINED.red).join(" ")})`;
}

/** Every marker with a colour. `pixelAt(x, y)` is the picture's [r, g, b] there. */
export function colored(markers, pixelAt) {
  const done = [...markers];
  done.forEach((one, index) => {
    if (one.color === null) done[index] = { ...one, color: choice(done, one.kind, samples(one, pixelAt).map(lab)) };
  });
  return done;
}

function choice(others, kind, under) {
  const taken = others.filter(({ color }) => color !== null);
  const used = new Set(taken.map(({ color }) => color));
  const usedByKind = new Set(taken.filter((other) => other.kind === kind).map(({ color }) => color));
  const apart = [...used].map((name) => lab(TRAINED[name]));
  const all = Object.keys(TRAINED);
  let best = all[0];
  for (const names of [all.filter((n) => !used.has(n)), all.filter((n) => !usedByKind.has(n)), all]) {
    if (!names.length) continue;
    const judged = names.map((name) => judge(name, under, apart));
    const visible = judged.filter(({ seen }) => seen >= VISIBLE);
    best = (visible.length ? visible : judged).reduce((one, other) => (other.score > one.score ? other : one)).name;
    if (visible.length) break;
  }
  return best;
}

/** How well a colour stands out from the worst tenth of what lies under it, and from the colours in use. */
function judge(name, under, apart) {
  const color = lab(TRAINED[name]);
  const distances = under.map((other) => distance(color, other)).sort((one, other) => one - other);
  const seen = distances[Math.floor(under.length / 10)];
  if (!apart.length) return { name, seen, score: seen };
  return { name, seen, score: Math.min(seen, 100) + Math.min(60, ...apart.map((other) => distance(color, other))) };
}

function samples(one, pixelAt) {
  const line = outline(one);
  return Array.from({ length: SAMPLES }, (_, step) => {
    const at = (step / (SAMPLES - 1)) * (line.length - 1);
    const [from, to] = [line[Math.floor(at)], line[Math.ceil(at)]];
    const share = at % 1;
    return pixelAt(from[0] + (to[0] - from[0]) * share, from[1] + (to[1] - from[1]) * share);
  });
}

function distance(one, other) {
  return Math.hypot(one[0] - other[0], one[1] - other[1], one[2] - other[2]);
}

/** sRGB in 0..255 to CIE Lab, where distance is about what an eye sees. */
function lab(rgb) {
  const [r, g, b] = rgb.map((value) => {
    const srgb = value / 255;
    return srgb <= 0.04045 ? srgb / 12.92 : ((srgb + 0.055) / 1.055) ** 2.4;
  });
  const xyz = [
    (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
    0.2126 * r + 0.7152 * g + 0.0722 * b,
    (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
  ];
  const [x, y, z] = xyz.map((ratio) => (ratio > 0.008856 ? Math.cbrt(ratio) : 7.787 * ratio + 16 / 116));
  return [116 * y - 16, 500 * (x - y), 200 * (y - z)];
}
