// One photo: what is shown of it, and what can be done with it.

import { ask, coloured, inTurn } from "./asking.js";
import { SHOWN_PX, preview } from "./preview.js";
import { chosen, find, isBlind, saturation, saveAs, second } from "./settings.js";

export class Picture {
  constructor(file) {
    this.file = file;
    this.layers = {};
    this.left = "grey";
    this.turn = 0;
    this.isWorking = false;
    this.failure = null;
    this.element = find("#picture").content.firstElementChild.cloneNode(true);
    this.part("h2").textContent = file.name || "pasted picture";
    this.part(".divider").setAttribute("aria-label", `Divider between the two pictures of ${file.name || "pasted picture"}`);
    this.listen();
    find("#pictures").append(this.element);
  }

  part(selector) { return find(selector, this.element); }

  listen() {
    // By keyboard the divider is a slider; by finger or mouse, the whole picture is its handle.
    this.part(".divider").addEventListener("input", (event) => this.moveTo(event.target.value));
    const stage = this.part(".stage");
    const follow = (event) => {
      const { left, width } = stage.getBoundingClientRect();
      this.moveTo(Math.min(100, Math.max(0, (100 * (event.clientX - left)) / width)));
    };
    stage.addEventListener("pointerdown", (event) => { stage.setPointerCapture(event.pointerId); follow(event); });
    stage.addEventListener("pointermove", (event) => { if (stage.hasPointerCapture(event.pointerId)) follow(event); });
    const image = this.part("img.right");
    image.addEventListener("load", () => this.hasRatio(image.naturalWidth / image.naturalHeight));
    this.part(".views").addEventListener("click", (event) => this.choose(event.target.dataset.what));
    this.part(".again").addEventListener("click", () => this.colour());
    this.part(".save").addEventListener("click", () => this.save());
    this.part(".vote").addEventListener("click", (event) => this.vote(event.target.dataset.better));
  }

  moveTo(percent) {
    this.part(".divider").value = percent;
    this.part(".stage").style.setProperty("--at", `${percent}%`);
  }

  hasRatio(ratio) {
    if (ratio) this.part(".stage").style.setProperty("--ratio", ratio);
  }

  // ---- colouring

  async colour() {
    const turn = ++this.turn;
    this.isWorking = true;
    this.failure = null;
    this.draw();
    try {
      this.preview ??= await inTurn(() => preview(this.file));
      if (this.preview.isShown && !this.layers.truth) {
        this.keep("truth", { blob: this.preview.file, label: "truth" });
        this.hasRatio(this.preview.ratio);
        this.draw();
      }
      await Promise.all(this.wanted().map((layer) => this.fetch(layer, turn)));
      if (turn === this.turn) this.shuffle();
    } catch (error) {
      if (turn === this.turn) this.failure = error;
    }
    if (turn !== this.turn) return;
    this.isWorking = false;
    this.draw();
  }

  // The layers that are to be fetched: those that are not there yet as they should be.
  wanted() {
    if (!second()) this.drop("second");
    const amount = saturation();
    const layers = [
      { what: "first", model: chosen(), amount, label: chosen() || "coloured" },
      ...(second() ? [{ what: "second", model: second(), amount, label: second() }] : []),
      { what: "grey", model: chosen(), amount: 0, label: "grey" },
    ];
    return layers.filter(({ what, amount, label }) => {
      const has = this.layers[what];
      return !(has && has.label === label && has.amount === amount);
    });
  }

  async fetch({ what, model, amount, label }, turn) {
    const work = () => (turn === this.turn ? coloured(this.preview.file, { model, saturation: amount, size: SHOWN_PX }) : null);
    const result = await inTurn(work);
    if (!result || turn !== this.turn) return;
    this.isGrey = result.isGrey;
    this.keep(what, { blob: result.blob, label, amount });
  }

  keep(what, { blob, label, amount }) {
    this.drop(what);
    this.layers[what] = { url: URL.createObjectURL(blob), label, amount };
  }

  drop(what) {
    if (this.layers[what]) URL.revokeObjectURL(this.layers[what].url);
    delete this.layers[what];
  }

  // ---- what is seen

  get isVote() {
    const { first, second: other } = this.layers;
    return isBlind() && Boolean(first && other) && first.label === chosen() && other.label === second();
  }

  shuffle() {
    this.swapped = Math.random() < 0.5;
    this.voted = "";
    this.part(".verdict").textContent = "";
  }

  choose(what) {
    if (!what) return;
    this.left = what;
    this.draw();
  }

  sides() {
    const { first, second: other } = this.layers;
    if (this.isVote) {
      const sides = this.swapped ? [other, first] : [first, other];
      return this.voted ? sides : [{ ...sides[0], label: "left" }, { ...sides[1], label: "right" }];
    }
    return first ? [this.layers[this.left] || this.layers.grey, first] : [this.layers.truth, undefined];
  }

  draw() {
    const hasColour = Boolean(this.layers.first);
    this.element.classList.toggle("working", this.isWorking);
    this.part(".stage").hidden = !hasColour && !this.layers.truth && !this.isWorking;
    this.part(".stage").classList.toggle("bare", !hasColour);
    this.part(".divider").disabled = !hasColour;
    this.drawViews();
    for (const [index, side] of ["left", "right"].entries()) {
      const { url, label } = this.sides()[index] || {};
      const image = this.part(`img.${side}`);
      if (url) image.src = url; else image.removeAttribute("src");
      image.alt = url ? `${this.file.name || "picture"}: ${label}` : "";
      this.part(`.${side}-label`).textContent = label || "";
    }
    this.part(".vote").hidden = !this.isVote || Boolean(this.voted);
    for (const button of this.part(".vote").children) button.disabled = this.isWorking;
    this.part(".problem").textContent = this.failure ? this.failure.message : "";
    this.part(".problem").hidden = !this.failure;
    this.part(".again").hidden = !(this.failure && this.failure.again);
    this.part(".note").hidden = !hasColour || this.isGrey || this.preview.isShown;
    this.part(".save").disabled = !hasColour || this.isSaving;
    document.dispatchEvent(new Event("picture-changed"));
  }

  drawViews() {
    const views = this.part(".views");
    const hasTruth = this.isGrey === false && this.layers.truth;
    const choices = [["grey", "Grey"], ...(hasTruth ? [["truth", "Truth"]] : []), ...(this.layers.second ? [["second", this.layers.second.label]] : [])];
    if (!choices.some(([what]) => what === this.left)) this.left = "grey";
    // The buttons stay the same ones, so that the keyboard's focus stays where it is.
    while (views.children.length > choices.length) views.lastChild.remove();
    for (const [index, [what, text]] of choices.entries()) {
      const button = views.children[index] || views.appendChild(document.createElement("button"));
      button.type = "button";
      button.dataset.what = what;
      button.textContent = text;
      button.setAttribute("aria-pressed", String(what === this.left));
    }
    views.hidden = this.isVote || !this.layers.first || choices.length < 2;
  }

  // ---- what is done with it

  async vote(better) {
    if (!better || this.isWorking) return;
    const [left, right] = this.swapped ? [second(), chosen()] : [chosen(), second()];
    const vote = { left, right, better: { left, right, neither: null }[better] };
    const verdict = this.part(".verdict");
    try {
      await ask("votes", { method: "POST", body: JSON.stringify(vote), headers: { "Content-Type": "application/json" } });
    } catch (error) {
      verdict.textContent = error.message;
      return;
    }
    this.voted = better;
    verdict.textContent = `Kept: ${vote.better ? `${vote.better} is better` : "no difference"}. Left is ${left}, right is ${right}.`;
    this.draw();
    verdict.focus({ preventScroll: true });
    document.dispatchEvent(new Event("voted"));
  }

  get name() { return `${(this.file.name || "picture").replace(/\.[^.]*$/, "")}-coloured.png`; }

  full() { return inTurn(() => coloured(this.file, { model: chosen(), saturation: saturation() })); }

  async save() {
    const button = this.part(".save");
    this.isSaving = button.disabled = true;
    button.textContent = "Colouring at full size …";
    this.failure = null;
    try { saveAs((await this.full()).blob, this.name); } catch (error) { this.failure = error; }
    this.isSaving = false;
    button.textContent = "Download";
    this.draw();
    if (document.activeElement === document.body) button.focus({ preventScroll: true });
  }

  remove() {
    this.turn++;
    this.element.remove();
    Object.keys(this.layers).forEach((what) => this.drop(what));
  }
}
