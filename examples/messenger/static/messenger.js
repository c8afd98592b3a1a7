import { Connection, showState } from "./shared/connection.js";
import { element } from "./shared/format.js";
import { Picture, Uploads } from "./pictures.js";

const $ = (id) => document.getElementById(id);
const silence = 30000; // ms after which who has said nothing has gone

let connection;
let uploads;
let you; // ID of this page, new with every connection
const people = new Map(); // ID to { name, heard }
const shown = new Set(); // IDs of messages: the history repeats what is new
const pictures = new Map(); // by ID, those that are not complete

const params = new URLSearchParams(location.hash.slice(1));
$("name").value = params.get("name") ?? "";
$("room").value = params.get("room") ?? "lobby";

$("join").addEventListener("submit", (event) => {
  event.preventDefault();
  enter(new URLSearchParams({ room: $("room").value, name: $("name").value }));
});

function enter(query) {
  connection?.close();
  for (const map of [people, shown, pictures]) map.clear();
  $("log").replaceChildren();
  location.hash = query;
  connection = new Connection(`ws?${query}`);
  uploads = new Uploads(connection);
  connection.addEventListener("open", () => people.clear());
  connection.addEventListener("message", ({ data }) => {
    if (typeof data === "string") handle(JSON.parse(data));
    else part(data);
  });
  connection.addEventListener("state", () => {
    for (const button of $("compose").elements) button.disabled = connection.state !== "connected";
    if (connection.state !== "lost") return;
    // The history will have them again.
    for (const [id, picture] of pictures) {
      shown.delete(id);
      picture.element.closest("li").remove();
    }
    pictures.clear();
    uploads.cancel();
  });
  const state = document.querySelector(".state");
  state.hidden = $("inside").hidden = false;
  showState(connection, state);
  $("text").focus();
}

const handlers = {
  you({ from }) { you = from; },
  rooms({ rooms }) { $("rooms").replaceChildren(...(rooms ?? []).map((value) => element("option", { value }))); },
  here({ from, name }) { people.set(from, { name, heard: Date.now() }); showPeople(); },
  left({ from }) { people.delete(from); showPeople(); },
  text(message) { add(message, message.text); },
  image(message) {
    const picture = new Picture(message);
    if (!add(message, picture.element)) return;
    if (message.past) picture.load();
    else if (message.from === you) uploads.begin(message.id, picture);
    else pictures.set(message.id, picture);
  },
  progress({ id, size }) { uploads.progress(id, size); },
  cancel({ id }) { pictures.get(id)?.cancel(); pictures.delete(id); },
};

function handle(message) { handlers[message.type]?.(message); }

// part is of a picture, whose ID it begins with.
function part(data) {
  const id = [...new Uint8Array(data, 0, 8)].map((byte) => byte.toString(16).padStart(2, "0")).join("");
  if (pictures.get(id)?.add(data.slice(8))) pictures.delete(id);
}

function add({ id, name, time }, content) {
  if (shown.has(id)) return false;
  shown.add(id);
  const log = $("log");
  const following = log.scrollHeight - log.scrollTop - log.clientHeight < 50;
  const at = new Date(time);
  log.append(element("li", {}, element("time", { datetime: time }, at.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit" })), element("b", {}, name), content));
  if (following) log.scrollTop = log.scrollHeight;
  return true;
}

function showPeople() {
  for (const [id, { heard }] of people) if (Date.now() - heard > silence) people.delete(id);
  $("people").textContent = [...people.values()].map(({ name }) => name).sort().join(", ");
}
setInterval(showPeople, 5000);

$("compose").addEventListener("submit", (event) => {
  event.preventDefault();
  if ($("text").value.trim() && connection.sendJSON({ type: "text", text: $("text").value })) $("text").value = "";
});

async function send(files) {
  for (const file of files) {
    try {
      await uploads.send(file);
      $("note").textContent = "";
    } catch (error) {
      $("note").textContent = `${file.name}: ${error.message}`;
    }
  }
}
$("file").addEventListener("change", async () => {
  await send([...$("file").files]);
  $("file").value = "";
});
addEventListener("paste", (event) => connection && send([...event.clipboardData.files]));
for (const type of ["dragover", "dragleave", "drop"]) {
  addEventListener(type, (event) => {
    event.preventDefault();
    document.body.classList.toggle("dropping", type === "dragover" && !!connection);
    if (type === "drop" && connection) send([...event.dataTransfer.files]);
  });
}
