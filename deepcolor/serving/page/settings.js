// What the page's controls are set to, and where it says what is going on.

export const find = (selector, within = document) => within.querySelector(selector);

export const chosen = () => find("#version").value;
export const second = () => find("#second").value;
export const saturation = () => Number(find("#saturation").value);
export const isBlind = () => find("#blind").checked;

// What the server takes, once it has said so.
export const limits = { request_bytes: Infinity, megapixels: Infinity };

export function say(text) { find("#said").textContent = text; }

export function saveAs(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}
