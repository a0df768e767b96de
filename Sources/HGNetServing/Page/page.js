"use strict";

// Shows what a model of this server makes of a picture. Everything stays on this server: the page loads nothing else.

const element = (name) => document.getElementById(name);
let picture = null; // The file that is looked at.
let bitmap = null; // Its pixels, as the server sees them.
let turn = 0; // Counts requests, so that a late answer does not overwrite a newer one.

async function call(path, options = {}) {
  const token = element("token").value;
  const headers = token ? { authorization: "Bearer " + token } : {};
  const answer = await fetch(path, { ...options, headers });
  if (answer.status === 401) {
    element("token-field").hidden = false;
    element("token").focus();
  }
  if (!answer.ok) {
    let reason = "the server answered " + answer.status;
    try {
      reason = (await answer.json()).error || reason;
    } catch (ignored) {
      // The status says enough.
    }
    throw new Error(reason);
  }
  return answer.json();
}

function say(text) {
  element("status").textContent = text;
}

function complain(error) {
  element("error").textContent = error.message;
  element("error").hidden = false;
  say("");
}

async function listModels() {
  const models = await call("v2/repository/index", { method: "POST", body: "{}" });
  const ready = models.filter((model) => model.state === "READY");
  element("model").replaceChildren(
    ...ready.map((model) => {
      const option = document.createElement("option");
      option.textContent = model.version ? model.name + ", version " + model.version : model.name;
      option.value = new URLSearchParams({ model: model.name, ...(model.version && { version: model.version }) });
      return option;
    })
  );
  if (ready.length === 0) throw new Error("no model is ready; start the server with one, or load one");
}

async function classify(file) {
  const own = ++turn;
  picture = file;
  element("error").hidden = true;
  say("Looking at " + (file.name || "the picture") + " …");
  try {
    const begin = performance.now();
    const answer = await call("v1/classify?top_k=5&" + element("model").value, { method: "POST", body: file });
    const took = performance.now() - begin;
    if (own !== turn) return;
    await showPicture(file, null);
    showClasses(answer.predictions[0].classes);
    const times = answer.milliseconds;
    element("times").textContent =
      times.total.toFixed(1) + " ms on the server (" + times.decode.toFixed(1) + " decoding, " +
      times.network.toFixed(1) + " network), " + took.toFixed(0) + " ms with the way there and back";
    element("result").hidden = false;
    const best = answer.predictions[0].classes[0];
    say(best ? "Most likely " + name(best) + ", " + percent(best.score) + "." : "No class is above the threshold.");
    if (best) await showHeat(best.index, own);
  } catch (error) {
    if (own !== turn) return;
    element("result").hidden = true;
    complain(error);
  }
}

const name = (entry) => entry.label || "class " + entry.index;
const percent = (score) => (100 * score).toFixed(1) + " %";

function showClasses(classes) {
  element("classes").replaceChildren(
    ...classes.map((entry) => {
      const item = document.createElement("li");
      const button = document.createElement("button");
      button.type = "button";
      button.dataset.index = entry.index;
      button.setAttribute("aria-pressed", "false");
      button.title = "Show where the evidence for " + name(entry) + " is";
      for (const [kind, text] of [["bar", ""], ["label", name(entry)], ["score", percent(entry.score)]]) {
        const part = document.createElement("span");
        part.className = kind;
        part.textContent = text;
        if (kind === "bar") part.style.width = 100 * entry.score + "%";
        button.append(part);
      }
      button.addEventListener("click", () => showHeat(entry.index, turn));
      item.append(button);
      return item;
    })
  );
}

/// Draws the picture; `turned` says whether the server turns it by its EXIF orientation, null where it is unknown yet.
async function showPicture(file, turned) {
  bitmap = await createImageBitmap(file, { imageOrientation: turned === false ? "none" : "from-image" });
  const canvas = element("picture");
  const scale = Math.min(1, 1024 / Math.max(bitmap.width, bitmap.height));
  canvas.width = Math.round(bitmap.width * scale);
  canvas.height = Math.round(bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  element("heat").width = canvas.width;
  element("heat").height = canvas.height;
}

async function showHeat(index, own) {
  for (const button of element("classes").querySelectorAll("button")) {
    button.setAttribute("aria-pressed", String(Number(button.dataset.index) === index));
  }
  element("heat-caption").textContent = "";
  let map;
  try {
    map = await call("v1/heatmap?class=" + index + "&" + element("model").value, { method: "POST", body: picture });
  } catch (error) {
    // The classes are there; a network without such a map is no failure.
    if (own === turn) element("heat-caption").textContent = "No map: " + error.message;
    return;
  }
  if (own !== turn) return;
  if (map.turned === false) await showPicture(picture, false);
  drawHeat(map);
  const label = element("classes").querySelector('button[aria-pressed="true"] .label');
  element("heat-caption").textContent = label ? "for " + label.textContent : "";
}

function drawHeat(map) {
  const canvas = element("heat");
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, canvas.width, canvas.height);
  canvas.dataset.map = JSON.stringify(map);
  if (!element("show-heat").checked) return;
  // From the weakest place to the strongest, as far as it speaks for the class at all.
  const least = Math.max(0, Math.min(...map.values));
  const range = Math.max(Math.max(...map.values) - least, 1e-12);
  const part = map.part;
  const [left, top] = [part.left * canvas.width, part.top * canvas.height];
  const [width, height] = [part.width * canvas.width, part.height * canvas.height];
  const image = context.createImageData(canvas.width, canvas.height);
  for (let y = Math.ceil(top); y < Math.min(top + height, canvas.height); y++) {
    for (let x = Math.ceil(left); x < Math.min(left + width, canvas.width); x++) {
      const row = ((y - top + 0.5) / height) * map.height - 0.5;
      const column = ((x - left + 0.5) / width) * map.width - 0.5;
      const strength = Math.max(0, (interpolated(map, row, column) - least) / range);
      const place = 4 * (y * canvas.width + x);
      // From clear over yellow to red.
      image.data[place] = 255;
      image.data[place + 1] = Math.round(220 * (1 - strength));
      image.data[place + 2] = 0;
      image.data[place + 3] = Math.round(160 * Math.min(1, 1.2 * strength));
    }
  }
  context.putImageData(image, 0, 0);
  // What the network does not see lies in the shade.
  context.fillStyle = "rgba(0, 0, 0, 0.45)";
  context.fillRect(0, 0, canvas.width, top);
  context.fillRect(0, top + height, canvas.width, canvas.height - top - height);
  context.fillRect(0, top, left, height);
  context.fillRect(left + width, top, canvas.width - left - width, height);
}

function interpolated(map, row, column) {
  const clamp = (value, limit) => Math.min(Math.max(value, 0), limit - 1);
  const [y, x] = [Math.floor(row), Math.floor(column)];
  const at = (r, c) => map.values[clamp(r, map.height) * map.width + clamp(c, map.width)];
  const [v, u] = [row - y, column - x];
  return (at(y, x) * (1 - u) + at(y, x + 1) * u) * (1 - v) + (at(y + 1, x) * (1 - u) + at(y + 1, x + 1) * u) * v;
}

function firstPicture(transfer) {
  return [...transfer.files].find((file) => file.type.startsWith("image/"));
}

element("file").addEventListener("change", (event) => {
  const [file] = event.target.files;
  // The same file may be chosen again.
  event.target.value = "";
  if (file) classify(file);
});
element("model").addEventListener("change", () => picture && classify(picture));
element("show-heat").addEventListener("change", () => {
  const map = element("heat").dataset.map;
  if (map) drawHeat(JSON.parse(map));
});
element("choice").addEventListener("submit", (event) => {
  event.preventDefault();
  element("error").hidden = true;
  listModels().catch(complain);
});
document.addEventListener("paste", (event) => {
  const file = firstPicture(event.clipboardData);
  if (file) classify(file);
});
for (const kind of ["dragenter", "dragover"]) {
  document.addEventListener(kind, (event) => {
    event.preventDefault();
    element("drop").classList.add("over");
  });
}
document.addEventListener("dragleave", () => element("drop").classList.remove("over"));
document.addEventListener("drop", (event) => {
  event.preventDefault();
  element("drop").classList.remove("over");
  const file = firstPicture(event.dataTransfer);
  if (file) classify(file);
  else complain(new Error("expected a picture, found something else"));
});
listModels().catch(complain);
