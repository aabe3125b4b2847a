// What is asked of the server, a few requests at a time.

const MOST_RETRIES = 5;
const AT_A_TIME = 2;
const FAULTS_OF_THE_REQUEST = new Set([400, 404, 413, 415, 422]);

let token = sessionStorage.getItem("deepcolor-token") || "";

export function useToken(given) {
  token = given;
  sessionStorage.setItem("deepcolor-token", token);
}

// Why something was not done. Where `again` is true, the same request may succeed later.
export class Refusal extends Error {
  constructor(text, status = 0) {
    super(text);
    this.status = status;
    this.again = !FAULTS_OF_THE_REQUEST.has(status);
  }
}

export async function ask(path, options = {}) {
  for (let attempt = 0; ; attempt++) {
    const headers = { ...(options.headers || {}), ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    let response;
    try {
      response = await fetch(path, { ...options, headers });
    } catch {
      throw new Refusal("The server does not answer. Is it running, and is this device online?");
    }
    if (response.ok) return response;
    if (response.status === 503 && attempt < MOST_RETRIES) {
      await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("Retry-After") || 1)));
      continue;
    }
    if (response.status === 401) {
      document.dispatchEvent(new Event("token-wanted"));
      throw new Refusal(token ? "The server does not accept this token." : "This server asks for a token.", 401);
    }
    throw new Refusal(await saidBy(response), response.status);
  }
}

async function saidBy(response) {
  let said = "";
  try { said = (await response.json()).detail; } catch { /* It was no JSON. */ }
  if (!said) return `The server answered ${response.status}.`;
  if (typeof said !== "string") return JSON.stringify(said);
  // The page shows each message beside its picture, so its name is not needed.
  const text = said.replace(/^picture: /, "").replace(" (picture)", "");
  return text[0].toUpperCase() + text.slice(1);
}

export async function coloured(file, { model, saturation, size }) {
  const query = new URLSearchParams({ saturation, format: size ? "webp" : "png", quality: 90 });
  if (model) query.set("model", model);
  if (size) query.set("size", size);
  const headers = { "Content-Type": "application/octet-stream" };
  const response = await ask(`colorize?${query}`, { method: "POST", body: file, headers });
  try {
    return { blob: await response.blob(), isGrey: response.headers.get("X-Deepcolor-Grey") === "true" };
  } catch {
    throw new Refusal("The answer broke off on its way. Is this device online?");
  }
}

// The server's queue is for everyone.
let running = 0;
const waiting = [];

export function inTurn(work) {
  return new Promise((done, failed) => {
    waiting.push(async () => {
      try { done(await work()); } catch (error) { failed(error); }
      running--;
      next();
    });
    next();
  });
}

function next() {
  while (running < AT_A_TIME && waiting.length) { running++; waiting.shift()(); }
}
