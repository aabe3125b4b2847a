// A copy of a photo that is as large as it is shown: what is coloured again with each move of a slider should not be sent
// in full by a phone. What is downloaded is made from the photo itself.

import { Refusal } from "./asking.js";
import { limits } from "./settings.js";

export const SHOWN_PX = 1400;
const SMALL_BYTES = 2 ** 20;
const QUALITY = 0.95;

// Returns the file to colour, whether the browser can show it, and its width by its height where that is known.
export async function preview(file) {
  if (file.size > limits.request_bytes) {
    throw new Refusal(`Must be at most ${mib(limits.request_bytes)}; got ${mib(file.size)}. Choose a smaller file.`, 413);
  }
  let bitmap;
  try { bitmap = await createImageBitmap(file); } catch { return { file, isShown: false }; }
  const { width, height } = bitmap;
  try {
    if ((width * height) / 1e6 > limits.megapixels) {
      const got = ((width * height) / 1e6).toFixed(1);
      throw new Refusal(`Must have at most ${limits.megapixels} megapixels; got ${got}. Choose a smaller picture.`, 422);
    }
    const isSmall = file.size <= SMALL_BYTES && Math.max(width, height) <= 2 * SHOWN_PX;
    return { file: (isSmall ? null : await smaller(bitmap, file.type)) || file, isShown: true, ratio: width / height };
  } finally { bitmap.close(); }
}

function smaller(bitmap, type) {
  const scale = Math.min(1, SHOWN_PX / Math.max(bitmap.width, bitmap.height));
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  // What is no JPEG may be transparent.
  return new Promise((done) => canvas.toBlob(done, type === "image/jpeg" ? type : "image/webp", QUALITY));
}

const mib = (bytes) => `${(bytes / 2 ** 20).toFixed(bytes < 2 ** 20 ? 2 : 0)} MiB`;
