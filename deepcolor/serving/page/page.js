"use strict";
// One picture after another is sent to /colorize; what is shown is small, what is downloaded has its full size.

const SHOWN_PX = 1400;
const MOST_RETRIES = 5;
const AT_A_TIME = 2;
const find = (selector, within = document) => within.querySelector(selector);
const pictures = [];
let models = [];
let token = sessionStorage.getItem("deepcolor-token") || "";

// ---- asking the server

async function ask(path, options = {}) {
  for (let attempt = 0; ; attempt++) {
    const headers = { ...(options.headers || {}), ...(token ? { Authorization: `Bearer ${token}` } : {}) };
    const response = await fetch(path, { ...options, headers });
    if (response.ok) return response;
    if (response.status === 503 && attempt < MOST_RETRIES) {
      await new Promise((done) => setTimeout(done, 1000 * Number(response.headers.get("Retry-After") || 1)));
      continue;
    }
    if (response.status === 401) find("#access").hidden = false;
    let said = `the server answered ${response.status}`;
    try { said = (await response.json()).detail || said; } catch { /* It was no JSON. */ }
    throw new Error(typeof said === "string" ? said : JSON.stringify(said));
  }
}

async function coloured(file, { model, saturation, full = false }) {
  const query = new URLSearchParams({ saturation, format: full ? "png" : "webp", quality: 90 });
  if (model) query.set("model", model);
  if (!full) query.set("size", SHOWN_PX);
  const headers = { "Content-Type": "application/octet-stream" };
  const response = await ask(`colorize?${query}`, { method: "POST", body: file, headers });
  return { blob: await response.blob(), grey: response.headers.get("X-Deepcolor-Grey") === "true" };
}

// A few at a time: the server's queue is for everyone.
let running = 0;
const waiting = [];
function inTurn(work) {
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

// ---- a picture

class Picture {
  constructor(file) {
    this.file = file;
    this.urls = {};
    this.left = "grey";
    this.turn = 0;
    this.element = find("#picture").content.firstElementChild.cloneNode(true);
    this.part("h2").textContent = file.name || "pasted picture";
    // By keyboard the divider is a slider; by finger or mouse, the whole picture is its handle.
    this.part(".divider").addEventListener("input", (event) => this.moveTo(event.target.value));
    const stage = this.part(".stage");
    const follow = (event) => {
      const { left, width } = stage.getBoundingClientRect();
      this.moveTo(Math.min(100, Math.max(0, (100 * (event.clientX - left)) / width)));
    };
    stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); follow(event); });
    stage.addEventListener("pointermove", (event) => { if (stage.hasPointerCapture(event.pointerId)) follow(event); });
    this.part(".save").addEventListener("click", () => this.save());
    this.part(".remove").addEventListener("click", () => this.remove());
    this.part(".vote").addEventListener("click", (event) => this.vote(event.target.dataset.better));
    find("#pictures").append(this.element);
    this.show("truth", URL.createObjectURL(file));
  }

  part(selector) { return find(selector, this.element); }

  moveTo(percent) {
    this.part(".divider").value = percent;
    this.part(".stage").style.setProperty("--at", `${percent}%`);
  }

  show(what, url) {
    if (this.urls[what]) URL.revokeObjectURL(this.urls[what]);
    this.urls[what] = url;
  }

  async colour() {
    const turn = ++this.turn;
    const saturation = Number(find("#saturation").value);
    const wanted = [["first", chosen(), saturation], ["second", second(), saturation]];
    if (!this.urls.grey) wanted.push(["grey", chosen(), 0]);
    this.element.classList.add("working");
    this.part(".problem").hidden = true;
    try {
      await Promise.all(wanted.map(async ([what, model, amount]) => {
        if (what === "second" && !model) return;
        const result = await inTurn(() => (turn === this.turn ? coloured(this.file, { model, saturation: amount }) : null));
        if (!result || turn !== this.turn) return;
        this.isGrey = result.grey;
        this.show(what, URL.createObjectURL(result.blob));
      }));
      if (turn === this.turn) this.shuffle();
    } catch (error) {
      this.part(".problem").textContent = error.message;
      this.part(".problem").hidden = false;
    }
    if (turn !== this.turn) return;
    this.element.classList.remove("working");
    this.draw();
  }

  // ---- what is seen

  get isVote() { return find("#blind").checked && Boolean(second()) && Boolean(this.urls.second); }

  shuffle() {
    this.swapped = Math.random() < 0.5;
    this.voted = "";
    this.part(".verdict").textContent = "";
  }

  sides() {
    const [one, other] = [{ url: this.urls.first, label: chosen() }, { url: this.urls.second, label: second() }];
    if (this.isVote) {
      const sides = this.swapped ? [other, one] : [one, other];
      return this.voted ? sides : [{ ...sides[0], label: "left" }, { ...sides[1], label: "right" }];
    }
    const lefts = { grey: { url: this.urls.grey, label: "grey" }, truth: { url: this.urls.truth, label: "truth" }, second: other };
    return [lefts[this.left] || lefts.grey, one];
  }

  draw() {
    const choices = [["grey", "Grey"], ...(this.isGrey === false ? [["truth", "Truth"]] : []), ...(second() ? [["second", second()]] : [])];
    if (!choices.some(([what]) => what === this.left)) this.left = "grey";
    this.part(".views").replaceChildren(...choices.map(([what, text]) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = text;
      button.setAttribute("aria-pressed", String(what === this.left));
      button.addEventListener("click", () => { this.left = what; this.draw(); });
      return button;
    }));
    this.part(".views").hidden = this.isVote;
    this.part(".vote").hidden = !this.isVote || Boolean(this.voted);
    for (const [side, { url, label }] of this.sides().map((each, index) => [["left", "right"][index], each])) {
      const image = this.part(`img.${side}`);
      if (url) image.src = url; else image.removeAttribute("src");
      image.alt = `${this.file.name || "picture"}: ${label}`;
      this.part(`.${side}-label`).textContent = label;
    }
  }

  // ---- what is done with it

  async vote(better) {
    if (!better) return;
    const [left, right] = this.swapped ? [second(), chosen()] : [chosen(), second()];
    const vote = { left, right, better: { left, right, neither: null }[better] };
    try {
      await ask("votes", { method: "POST", body: JSON.stringify(vote), headers: { "Content-Type": "application/json" } });
    } catch (error) {
      this.part(".verdict").textContent = error.message;
      return;
    }
    this.voted = better;
    this.part(".verdict").textContent = `Kept. Left is ${left}, right is ${right}.`;
    this.draw();
    showVotes();
  }

  get name() { return `${(this.file.name || "picture").replace(/\.[^.]*$/, "")}-coloured.png`; }

  full() {
    return inTurn(() => coloured(this.file, { model: chosen(), saturation: Number(find("#saturation").value), full: true }));
  }

  async save() {
    try { saveAs((await this.full()).blob, this.name); } catch (error) { say(error.message); }
  }

  remove() {
    this.turn++;
    pictures.splice(pictures.indexOf(this), 1);
    this.element.remove();
    Object.values(this.urls).forEach((url) => URL.revokeObjectURL(url));
    find("#all").disabled = !pictures.length;
  }
}

function add(files) {
  for (const file of files) {
    const picture = new Picture(file);
    pictures.push(picture);
    picture.draw();
    picture.colour();
  }
  find("#all").disabled = !pictures.length;
}

function saveAs(blob, name) {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
}

function say(text) { find("#said").textContent = text; }

// ---- all in one file: a ZIP that stores them as they are, for PNG is small already

const CRC_TABLE = Uint32Array.from({ length: 256 }, (_, n) => {
  for (let bit = 0; bit < 8; bit++) n = n & 1 ? (n >>> 1) ^ 0xedb88320 : n >>> 1;
  return n;
});

function crc32(bytes) {
  let crc = -1;
  for (const byte of bytes) crc = (crc >>> 8) ^ CRC_TABLE[(crc ^ byte) & 255];
  return (crc ^ -1) >>> 0;
}

function zipped(files) {
  const parts = [], directory = [];
  let place = 0;
  const numbers = (...pairs) => {
    const view = new DataView(new ArrayBuffer(pairs.reduce((sum, [size]) => sum + size, 0)));
    let at = 0;
    for (const [size, value] of pairs) {
      if (size === 2) view.setUint16(at, value, true); else view.setUint32(at, value, true);
      at += size;
    }
    return new Uint8Array(view.buffer);
  };
  for (const { name, bytes } of files) {
    const title = new TextEncoder().encode(name);
    // Version 2.0, UTF-8 names, stored, 1 January 1980.
    const about = [[2, 20], [2, 0x800], [2, 0], [2, 0], [2, 0x21], [4, crc32(bytes)], [4, bytes.length], [4, bytes.length], [2, title.length], [2, 0]];
    parts.push(numbers([4, 0x04034b50], ...about), title, bytes);
    directory.push(numbers([4, 0x02014b50], [2, 20], ...about, [2, 0], [2, 0], [2, 0], [4, 0], [4, place]), title);
    place += 30 + title.length + bytes.length;
  }
  const size = directory.reduce((sum, part) => sum + part.length, 0);
  const end = numbers([4, 0x06054b50], [2, 0], [2, 0], [2, files.length], [2, files.length], [4, size], [4, place], [2, 0]);
  return new Blob([...parts, ...directory, end], { type: "application/zip" });
}

async function saveAll() {
  const files = [], taken = new Set(), all = [...pictures];
  let failed = 0;
  for (const [index, picture] of all.entries()) {
    say(`Colouring ${index + 1} of ${all.length} at full size …`);
    try {
      const bytes = new Uint8Array(await (await picture.full()).blob.arrayBuffer());
      let name = picture.name;
      for (let number = 2; taken.has(name); number++) name = picture.name.replace(/\.png$/, `-${number}.png`);
      taken.add(name);
      files.push({ name, bytes });
    } catch { failed++; }
  }
  if (files.length === 1) saveAs(new Blob([files[0].bytes], { type: "image/png" }), files[0].name);
  else if (files.length) saveAs(zipped(files), "coloured.zip");
  say(failed ? `${failed} of ${all.length} could not be coloured and are left out.` : "");
}

// ---- versions and votes

const chosen = () => find("#version").value;
const second = () => find("#second").value;

function option(model) {
  const element = document.createElement("option");
  element.value = model.model;
  element.textContent = [model.model, (model.aliases || []).join(", "), model.data].filter(Boolean).join(" · ");
  element.selected = model.default;
  return element;
}

async function showModels() {
  models = (await (await ask("models")).json()).models;
  find("#version").replaceChildren(...models.map(option));
  find("#second").replaceChildren(new Option("nothing", ""), ...models.map((model) => option({ ...model, default: false })));
  find("#second").disabled = models.length < 2;
}

async function showVotes() {
  const { pairs } = await (await ask("votes")).json();
  find("#votes table").hidden = !pairs.length;
  find("#no-votes").hidden = Boolean(pairs.length);
  find("#votes tbody").replaceChildren(...pairs.map((pair) => {
    const row = document.createElement("tr");
    for (const text of [`${pair.one} / ${pair.other}`, pair.one_better, pair.neither, pair.other_better]) {
      row.insertCell().textContent = text;
    }
    return row;
  }));
}

async function begin() {
  try {
    await showModels();
    await showVotes();
    find("#access").hidden = true;
    say("");
  } catch (error) { say(error.message); }
}

function again() {
  find("#blind").disabled = !second() || second() === chosen();
  if (find("#blind").disabled) find("#blind").checked = false;
  for (const picture of pictures) picture.colour();
}

// ---- listening

let soon = 0;
find("#saturation").addEventListener("input", (event) => {
  find("#saturation-shown").textContent = Number(event.target.value).toFixed(1);
  clearTimeout(soon);
  soon = setTimeout(again, 250);
});
find("#version").addEventListener("change", again);
find("#second").addEventListener("change", again);
find("#blind").addEventListener("change", () => pictures.forEach((picture) => { picture.shuffle(); picture.draw(); }));
find("#all").addEventListener("click", saveAll);
find("#export").addEventListener("click", async () => {
  try { saveAs(await (await ask("votes.csv")).blob(), "votes.csv"); } catch (error) { say(error.message); }
});
find("#access").addEventListener("submit", (event) => {
  event.preventDefault();
  token = find("#token").value;
  sessionStorage.setItem("deepcolor-token", token);
  begin();
});
for (const input of [find("#files"), find("#camera")]) {
  input.addEventListener("change", () => { add(input.files); input.value = ""; });
}
document.addEventListener("paste", (event) => add([...event.clipboardData.files].filter((file) => file.type.startsWith("image/"))));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    find("#drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
begin();
