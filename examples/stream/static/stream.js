import { showState } from "./shared/connection.js";
import { FileStream } from "./shared/filestream.js";
import { bytes } from "./shared/format.js";

const $ = (id) => document.getElementById(id);

const file = new FileStream("ws", $("canvas"));
showState(file.connection, document.querySelector(".state"));

file.addEventListener("about", () => {
  $("name").textContent = `${file.name}, ${bytes(file.size)}`;
  $("progress").max = file.size;
  if (!/\.(png|wav)$/.test(file.name)) $("note").textContent = "This kind of file is only counted.";
});
file.addEventListener("message", ({ detail }) => { $("memory").textContent = bytes(detail.memory); });
file.addEventListener("failed", ({ detail }) => { $("note").textContent = `Not shown: ${detail.message}`; });
file.addEventListener("complete", () => {
  $("pause").hidden = true;
  $("again").hidden = false;
  $("again").focus();
  document.body.setAttribute("data-complete", "");
});

$("pause").addEventListener("click", () => {
  file.paused = !file.paused;
  $("pause").setAttribute("aria-pressed", file.paused);
  $("pause").textContent = file.paused ? "Go on" : "Pause";
});
$("again").addEventListener("click", () => location.reload());

// The figures, four times a second and at the end.
const started = performance.now();
let last = { at: started, received: 0 };
const figures = setInterval(() => {
  const now = performance.now();
  const complete = "complete" in document.body.dataset;
  const since = complete ? { at: started, received: 0 } : last;
  $("rate").textContent = `${bytes((file.received - since.received) / (now - since.at) * 1000)}/s`;
  last = { at: now, received: file.received };
  $("received").textContent = bytes(file.received);
  $("held").textContent = bytes(file.mostHeld);
  $("held").dataset.bytes = file.mostHeld;
  $("progress").value = file.shown;
  if (complete) clearInterval(figures);
}, 250);
