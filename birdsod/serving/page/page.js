"use strict";

// What the server takes: an image above this is made smaller here.
const MOST_BYTES = 6291456;
const MOST_PIXELS = 50000000;
const COLORS = ["#ffb000", "#4ea8ff", "#ff6f91", "#5bd1a5", "#c69cff", "#ff8a3d", "#7be0e0", "#d6d64a"];

const at = (id) => document.getElementById(id);
const state = { names: [], bitmap: null, found: [], marked: null, name: "", turn: 0 };

const threshold = () => Number(at("threshold").value) / 100;
const shown = () => state.found.filter((each) => each.score >= threshold());
const nameOf = (id) => state.names[id] ?? `class ${id}`;
const colorOf = (id) => COLORS[id % COLORS.length];
const percent = (share) => `${Math.round(share * 100)} %`;

async function begin() {
  try {
    state.names = await (await fetch("/classes")).json();
    const few = state.names.length <= 8;
    at("knows").textContent = few ? `Knows ${state.names.join(", ")}.` : `Knows ${state.names.length} classes.`;
  } catch {
    complain("The server does not answer. Is it still running?");
  }
}

async function look(file) {
  const turn = ++state.turn;
  complain("");
  at("status").textContent = "Looking …";
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image" }).catch(() => null);
  if (turn !== state.turn) return;
  if (!bitmap) {
    complain(`${file.name || "This"} is no image that can be read here. Choose a JPEG or PNG.`);
    return;
  }
  Object.assign(state, { bitmap, found: [], marked: null, name: file.name || "pasted picture" });
  at("drop").hidden = true;
  at("figure").hidden = false;
  at("results").hidden = false;
  at("name").textContent = `${state.name}, ${bitmap.width} × ${bitmap.height}`;
  draw();
  try {
    const found = await ask(await fitting(file, bitmap));
    if (turn !== state.turn) return;
    state.found = found;
    tell();
  } catch (error) {
    if (turn !== state.turn) return;
    at("status").textContent = "";
    complain(error.message);
  }
}

async function ask(image) {
  let answer;
  try {
    answer = await fetch("/invocations", { method: "POST", headers: { "Content-Type": image.type }, body: image });
  } catch {
    throw new Error("The server does not answer. Is it still running?");
  }
  const said = await answer.json().catch(() => ({ error: `it answered ${answer.status}` }));
  if (!answer.ok) throw new Error(`The server refused: ${said.error}.`);
  return said.prediction.map(([id, score, ...box]) => ({ id, score, box })).sort((a, b) => b.score - a.score);
}

// Boxes are relative to the picture, so a smaller one changes nothing.
async function fitting(file, bitmap) {
  const taken = ["image/jpeg", "image/png"].includes(file.type);
  const pixels = bitmap.width * bitmap.height;
  if (taken && file.size <= MOST_BYTES && pixels <= MOST_PIXELS) return file;
  let scale = Math.min(1, Math.sqrt(4e6 / pixels));
  for (;;) {
    const image = await encoded(bitmap, scale);
    if (image.size <= MOST_BYTES) return image;
    scale *= 0.7;
  }
}

async function encoded(bitmap, scale) {
  const canvas = document.createElement("canvas");
  canvas.width = Math.max(1, Math.round(bitmap.width * scale));
  canvas.height = Math.max(1, Math.round(bitmap.height * scale));
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  return new Promise((done) => canvas.toBlob(done, "image/jpeg", 0.92));
}

function tell() {
  const list = shown();
  const counts = new Map();
  for (const { id } of list) counts.set(nameOf(id), (counts.get(nameOf(id)) ?? 0) + 1);
  const words = [...counts].map(([name, count]) => (count > 1 ? `${count} × ${name}` : name)).join(", ");
  at("shown").textContent = percent(threshold());
  at("status").textContent = words ? `Found: ${words}` : "Nothing found at this confidence.";
  at("picture").setAttribute("aria-label", words ? `Photograph with boxes around ${words}` : "Photograph without boxes");
  at("rows").replaceChildren(...list.map(row));
  draw();
}

function row(found) {
  const line = document.createElement("tr");
  const mark = document.createElement("button");
  mark.type = "button";
  mark.textContent = nameOf(found.id);
  mark.style.setProperty("--color", colorOf(found.id));
  mark.addEventListener("focus", () => emphasize(found));
  mark.addEventListener("blur", () => emphasize(null));
  line.addEventListener("mouseenter", () => emphasize(found));
  line.addEventListener("mouseleave", () => emphasize(null));
  const [left, top, right, bottom] = inPixels(found.box).map(Math.round);
  line.append(cell(mark), cell(percent(found.score)), cell(`${left}, ${top} to ${right}, ${bottom}`));
  return line;
}

function cell(content) {
  const made = document.createElement("td");
  made.append(content);
  return made;
}

function emphasize(found) {
  state.marked = found;
  draw();
}

const inPixels = ([left, top, right, bottom]) => [
  left * state.bitmap.width, top * state.bitmap.height, right * state.bitmap.width, bottom * state.bitmap.height,
];

function draw() {
  const { bitmap } = state;
  if (!bitmap) return;
  const canvas = at("picture");
  const context = canvas.getContext("2d");
  canvas.width = bitmap.width;
  canvas.height = bitmap.height;
  context.drawImage(bitmap, 0, 0);
  const unit = Math.max(bitmap.width, bitmap.height) / 400;
  for (const found of shown().reverse()) drawBox(context, found, unit);
}

function drawBox(context, found, unit) {
  const [left, top, right, bottom] = inPixels(found.box);
  const faded = state.marked && state.marked !== found;
  context.globalAlpha = faded ? 0.3 : 1;
  context.lineJoin = "round";
  for (const [width, color] of [[unit * 3.4, "#000"], [unit * 2, colorOf(found.id)]]) {
    context.lineWidth = width;
    context.strokeStyle = color;
    context.strokeRect(left, top, right - left, bottom - top);
  }
  drawName(context, found, unit, left, top);
  context.globalAlpha = 1;
}

function drawName(context, found, unit, left, top) {
  const size = Math.max(10, unit * 10);
  context.font = `600 ${size}px system-ui, sans-serif`;
  const words = `${nameOf(found.id)} ${percent(found.score)}`;
  const width = context.measureText(words).width + size * 0.8;
  const x = Math.max(0, Math.min(left, state.bitmap.width - width));
  const y = Math.max(0, top - size * 1.4);
  context.fillStyle = colorOf(found.id);
  context.fillRect(x, y, width, size * 1.4);
  context.fillStyle = "#000";
  context.textBaseline = "middle";
  context.fillText(words, x + size * 0.4, y + size * 0.72);
}

function complain(words) {
  at("error").textContent = words;
}

function save() {
  at("picture").toBlob((blob) => {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = `${state.name.replace(/\.[^.]*$/, "")}-boxes.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

function takeFirst(files) {
  const file = [...files].find((each) => each.type.startsWith("image/")) ?? files[0];
  if (file) look(file);
}

for (const id of ["choose", "again"]) at(id).addEventListener("click", () => at("file").click());
at("save").addEventListener("click", save);
at("threshold").addEventListener("input", tell);
at("file").addEventListener("change", (event) => {
  takeFirst(event.target.files);
  event.target.value = "";
});
document.addEventListener("paste", (event) => takeFirst(event.clipboardData.files));
document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.add("over");
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("over");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("over");
  takeFirst(event.dataTransfer.files);
});
begin();
