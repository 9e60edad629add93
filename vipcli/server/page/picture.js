// A picture: what is shown of it, and the bytes that are sent. Both are the same upright picture, so that what is drawn
// is what is sent: formats that vip and every browser turn upright alike go as they are, all others as what is shown.

const SAMPLED = 1024; // longer side of the copy that colours are chosen by

/** Open a file that the user gave. Raises an Error with a sentence for the user. */
export async function openPicture(file) {
  if (!file.size) throw new Error(`${file.name || "The file"} is empty.`);
  const kind = await alike(file);
  const blob = kind ? new Blob([file], { type: kind }) : await redrawn(file);
  const shown = await loaded(blob, file.name);
  return {
    name: file.name || "pasted.png",
    blob,
    image: shown,
    width: shown.naturalWidth,
    height: shown.naturalHeight,
    pixelAt: sampler(shown),
    address: remembered(() => dataAddress(blob)),
  };
}

/** The picture's type where it goes as it is; undefined where it must be drawn anew. */
async function alike(file) {
  const head = new Uint8Array(await file.slice(0, 2 ** 18).arrayBuffer());
  const text = new TextDecoder("latin1").decode(head); // what matters in it is ASCII
  const begins = (...bytes) => bytes.every((byte, index) => head[index] === byte);
  if (begins(0xff, 0xd8, 0xff)) {
    // An orientation that stands in XMP alone is read by vip and not by browsers.
    return text.includes("Exif\0\0") || !text.includes("tiff:Orientation") ? "image/jpeg" : undefined;
  }
  if (begins(0x89, 0x50, 0x4e, 0x47)) {
    return /eXIf|acTL|tiff:Orientation|Raw profile type/.test(text) || !(await endsPlainly(file))
      ? undefined
      : "image/png";
  }
  if (text.startsWith("RIFF") && text.slice(8, 15) === "WEBPVP8" && "L ".includes(text[15])) return "image/webp";
  return undefined;
}

/** Whether no orientation stands behind a PNG's pixels, where some programs put it. */
async function endsPlainly(file) {
  const end = new TextDecoder("latin1").decode(await file.slice(-(2 ** 16)).arrayBuffer());
  return !/eXIf|tiff:Orientation/.test(end);
}

/** What a browser shows of a file, the first frame of a moving one, as a PNG. */
async function redrawn(file) {
  let frame;
  try {
    frame = await createImageBitmap(file);
  } catch {
    frame = await loaded(file, file.name); // SVG, for one
  }
  const canvas = document.createElement("canvas");
  canvas.width = frame.naturalWidth ?? frame.width;
  canvas.height = frame.naturalHeight ?? frame.height;
  canvas.getContext("2d").drawImage(frame, 0, 0);
  const blob = await new Promise((done) => canvas.toBlob(done, "image/png"));
  if (!blob) throw new Error(`${file.name}: this picture is too large for the browser.`);
  return blob;
}

async function loaded(blob, name) {
  const image = new Image();
  image.src = URL.createObjectURL(blob);
  try {
    await image.decode();
  } catch {
    URL.revokeObjectURL(image.src);
    throw new Error(`${name || "What was pasted"} is not a picture that this browser can show.`);
  }
  if (!image.naturalWidth) throw new Error(`${name}: the picture has no size.`);
  return image;
}

/** The picture as a data: address, which is how it goes to the server. */
function dataAddress(blob) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result);
    reader.onerror = () => failed(new Error("The picture can't be read any more: choose it again."));
    reader.readAsDataURL(blob);
  });
}

/** [r, g, b] at a spot of the picture, from a copy that is small enough to keep. */
function sampler(image) {
  const scale = Math.min(1, SAMPLED / Math.max(image.naturalWidth, image.naturalHeight));
  const width = Math.max(1, Math.round(image.naturalWidth * scale));
  const height = Math.max(1, Math.round(image.naturalHeight * scale));
  const pixels = remembered(() => {
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [width, height];
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.fillStyle = "#fff"; // vip lays see-through parts on white
    context.fillRect(0, 0, width, height);
    context.drawImage(image, 0, 0, width, height);
    return context.getImageData(0, 0, width, height).data;
  });
  return (x, y) => {
    const column = Math.max(0, Math.min(width - 1, Math.round(x * scale)));
    const row = Math.max(0, Math.min(height - 1, Math.round(y * scale)));
    return [...pixels().subarray((row * width + column) * 4, (row * width + column) * 4 + 3)];
  };
}

function remembered(make) {
  let made;
  return () => (made ??= make());
}
