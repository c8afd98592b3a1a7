import { Connection, showState } from "./shared/connection.js";
import { FileStream } from "./shared/filestream.js";
import { element } from "./shared/format.js";

const $ = (id) => document.getElementById(id);

// The picture.
const file = new FileStream("file", $("canvas"));
file.addEventListener("about", () => { $("progress").max = file.size; });
file.addEventListener("message", ({ detail: { worker, host } }) => {
  if (worker) $("file-worker").textContent = `${worker} on ${host}`;
});
file.addEventListener("complete", () => document.body.setAttribute("data-complete", ""));
setInterval(() => { $("progress").value = file.shown; }, 200);
$("pause").addEventListener("click", () => {
  file.paused = !file.paused;
  $("pause").setAttribute("aria-pressed", file.paused);
  $("pause").textContent = file.paused ? "Go on" : "Pause";
});

// The messages: their numbers have no gap, or one was lost.
let last = 0;
let stream = "";
let lost = 0;
const connection = new Connection(() => `messages?last=${last}&stream=${stream}`);
showState(connection, document.querySelector(".state"));

// What is not acknowledged is sent again with the next connection.
const pending = new Map(); // from ID to { text, line }
connection.addEventListener("open", () => {
  for (const [id, { text }] of pending) connection.sendJSON({ id, text });
});

connection.addEventListener("message", ({ data }) => {
  const message = JSON.parse(data);
  if (message.worker) {
    if (message.stream !== stream) [last, stream] = [0, message.stream];
    $("messages-worker").textContent = `${message.worker} on ${message.host}`;
  }
  if (message.ack) {
    pending.get(message.ack)?.line.remove();
    pending.delete(message.ack);
  }
  if (message.seq) {
    if (last) lost += message.seq - last - 1;
    last = message.seq;
    $("lost").textContent = lost;
    show(element("li", {}, `${message.seq}. ${message.text}`));
  }
});

function show(line) {
  $("log").append(line);
  if ($("log").childElementCount > 500) $("log").firstElementChild.remove();
  $("log").scrollTop = $("log").scrollHeight;
}

$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  const text = $("text").value.trim();
  if (!text) return;
  const id = [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("-");
  const line = element("li", { class: "pending" }, `${text} (not sent yet)`);
  pending.set(id, { text, line });
  show(line);
  connection.sendJSON({ id, text });
  $("text").value = "";
});

let opened = 0;
for (const c of [connection, file.connection]) {
  let first = true;
  c.addEventListener("open", () => {
    if (!first) $("reconnected").textContent = ++opened;
    first = false;
  });
}
