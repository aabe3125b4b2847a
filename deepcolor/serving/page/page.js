// The page: photos are chosen, versions and votes are listed, everything is listened to.

import { ask, useToken } from "./asking.js";
import { Picture } from "./picture.js";
import { chosen, find, limits, saveAs, say, second } from "./settings.js";
import { zipped } from "./zip.js";

const pictures = [];
let isSaving = false;

// ---- photos

function add(files) {
  const added = [...files].map((file) => new Picture(file));
  pictures.push(...added);
  for (const picture of added) {
    picture.element.querySelector(".remove").addEventListener("click", () => remove(picture));
    picture.colour();
  }
  if (added.length) added[0].element.scrollIntoView({ block: "nearest" });
}

function remove(picture) {
  const index = pictures.indexOf(picture);
  pictures.splice(index, 1);
  picture.remove();
  const neighbour = pictures[index] || pictures[index - 1];
  (neighbour ? neighbour.part(".remove") : find("#files")).focus();
  tell();
}

function removeAll() {
  for (const picture of pictures.splice(0)) picture.remove();
  find("#files").focus();
  tell();
}

async function saveAll() {
  const files = [], taken = new Set(), all = pictures.filter((picture) => picture.layers.first);
  let failed = 0;
  isSaving = true;
  find("#all").disabled = true;
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
  isSaving = false;
  tell();
  if (failed) say(`${failed} of ${all.length} could not be coloured at full size and are left out.`);
}

function tell() {
  const working = pictures.filter((picture) => picture.isWorking).length;
  const failed = pictures.filter((picture) => picture.failure).length;
  find("#for-all").hidden = !pictures.length;
  if (isSaving) return;
  find("#all").disabled = !pictures.some((picture) => picture.layers.first);
  if (!pictures.length) say("");
  else if (working) say(`Colouring … ${pictures.length - working} of ${pictures.length} done`);
  else say(`${pictures.length} photo${pictures.length > 1 ? "s" : ""}${failed ? `, ${failed} with a problem` : ""}`);
}

// ---- versions and votes

function option(model) {
  const element = document.createElement("option");
  element.value = model.model;
  element.textContent = [model.model, (model.aliases || []).join(", "), model.data].filter(Boolean).join(" · ");
  element.selected = model.default;
  return element;
}

async function showModels() {
  const said = await (await ask("models")).json();
  Object.assign(limits, said.limits);
  find("#version").replaceChildren(...said.models.map(option));
  find("#second").replaceChildren(new Option("nothing", ""), ...said.models.map((model) => option({ ...model, default: false })));
  find("#settings").hidden = false;
  find("#comparing").hidden = said.models.length < 2;
  find("#votes").hidden = said.models.length < 2;
}

async function showVotes() {
  const { pairs } = await (await ask("votes")).json();
  find("#votes .scrolls").hidden = find("#export").hidden = !pairs.length;
  find("#no-votes").hidden = Boolean(pairs.length);
  find("#votes tbody").replaceChildren(...pairs.map((pair) => {
    const row = document.createElement("tr");
    for (const text of [pair.one, pair.one_better, pair.neither, pair.other_better, pair.other]) row.insertCell().textContent = text;
    return row;
  }));
}

async function begin() {
  try {
    await showModels();
    await showVotes();
    find("#access").hidden = true;
    tell();
    for (const picture of pictures) if (picture.failure && picture.failure.again) picture.colour();
  } catch (error) {
    const isLetIn = error.status !== 401;
    say(isLetIn ? error.message : "");
    find("#reload").hidden = !isLetIn;
    find("#token-said").textContent = isLetIn || !find("#token").value ? "" : error.message;
  }
}

function again() {
  const canVote = Boolean(second()) && second() !== chosen();
  find(".check").hidden = !canVote;
  if (!canVote) find("#blind").checked = false;
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
find("#none").addEventListener("click", removeAll);
find("#reload").addEventListener("click", () => { find("#reload").hidden = true; begin(); });
find("#export").addEventListener("click", async () => {
  try { saveAs(await (await ask("votes.csv")).blob(), "votes.csv"); } catch (error) { say(error.message); }
});
find("#access").addEventListener("submit", (event) => {
  event.preventDefault();
  useToken(find("#token").value.trim());
  begin();
});
for (const input of [find("#files"), find("#camera")]) {
  input.addEventListener("change", () => { add(input.files); input.value = ""; });
}
document.addEventListener("token-wanted", () => { find("#access").hidden = false; });
document.addEventListener("picture-changed", tell);
document.addEventListener("voted", () => showVotes().catch((error) => say(error.message)));
document.addEventListener("paste", (event) => add([...event.clipboardData.files].filter((file) => file.type.startsWith("image/"))));
for (const kind of ["dragover", "dragleave", "drop"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    find("#drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop") add(event.dataTransfer.files);
  });
}
begin();
