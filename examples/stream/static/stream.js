import { Connection, showState } from "./shared/connection.js";
import { bytes } from "./shared/format.js";
import { PNGSink } from "./shared/png.js";
import { WAVSink } from "./wav.js";

const $ = (id) => document.getElementById(id);
const window = 4 << 20; // bytes that may be on their way or wait to be shown

let size = 0;
let received = 0; // an offset in the file: a new connection goes on there
let shown = 0;
let asked = 0; // the offset that the server may send up to
let mostHeld = 0;
let sink;
let showing = Promise.resolve(); // what has arrived is shown in order
let paused = false;

const connection = new Connection(() => `ws?from=${received}`);
showState(connection, document.querySelector(".state"));

function ask() {
  if (paused || !size) return;
  const room = Math.min(size, shown + window) - asked;
  if (room < window / 4 && asked + room < size) return; // not for every few bytes
  if (room > 0 && connection.sendJSON({ bytes: room })) asked += room;
}

connection.addEventListener("open", () => { asked = received; });
connection.addEventListener("message", ({ data }) => {
  if (typeof data !== "string") return take(new Uint8Array(data));
  const message = JSON.parse(data);
  if ("size" in message) begin(message);
  if ("memory" in message) $("memory").textContent = bytes(message.memory);
  ask();
});

function begin({ name, size: bytesInAll }) {
  if (sink && bytesInAll !== size) return location.reload(); // another file
  size = bytesInAll;
  $("name").textContent = `${name}, ${bytes(size)}`;
  $("progress").max = size;
  if (!sink && name.endsWith(".png")) sink = new PNGSink($("canvas"));
  if (!sink && name.endsWith(".wav")) sink = new WAVSink($("canvas"), size);
  sink ??= { write() {}, close() { $("note").textContent = "Complete. This kind of file is only counted."; } };
}

function take(chunk) {
  received += chunk.length;
  mostHeld = Math.max(mostHeld, received - shown);
  showing = showing.then(() => sink.write(chunk)).then(() => {
    shown += chunk.length;
    ask();
    if (shown === size) return finish();
  }).catch((error) => {
    $("note").textContent = `Not shown: ${error.message}`;
    connection.close();
  });
}

async function finish() {
  connection.close();
  await sink.close();
  $("pause").hidden = true;
  $("again").hidden = false;
  $("again").focus();
  document.body.setAttribute("data-complete", "");
}

$("pause").addEventListener("click", () => {
  paused = !paused;
  $("pause").setAttribute("aria-pressed", paused);
  $("pause").textContent = paused ? "Go on" : "Pause";
  ask();
});
$("again").addEventListener("click", () => location.reload());

// The figures, twice a second and at the end.
let last = { at: performance.now(), received: 0 };
const started = last.at;
const figures = setInterval(() => {
  const now = performance.now();
  const complete = size && shown === size;
  const since = complete ? { at: started, received: 0 } : last;
  $("rate").textContent = `${bytes((received - since.received) / (now - since.at) * 1000)}/s`;
  last = { at: now, received };
  $("received").textContent = bytes(received);
  $("held").textContent = bytes(mostHeld);
  $("held").dataset.bytes = mostHeld;
  $("progress").value = shown;
  if (complete) clearInterval(figures);
}, 250);
