import { Connection, showState } from "./shared/connection.js";
import { bytes, element } from "./shared/format.js";

const $ = (id) => document.getElementById(id);
const kept = 200; // rows of a list

// A second connection brings the headers of the frames of the first.
const id = [...crypto.getRandomValues(new Uint32Array(4))].map((n) => n.toString(36)).join("");
const watch = new Connection(`watch?id=${id}`);
const connection = new Connection(`ws?id=${id}`);
showState(connection, document.querySelector(".state"));

function add(list, child) {
  list.prepend(child);
  while (list.childElementCount > kept) list.lastElementChild.remove();
}

watch.addEventListener("message", ({ data }) => {
  const h = JSON.parse(data);
  if (h === "ready") return document.body.setAttribute("data-watching", "");
  const cells = [h.direction === "in" ? "server" : "page", h.opcode, h.fin ? "yes" : "no", String(h.length), h.key || "none"];
  add($("frames"), element("tr", { class: h.direction }, ...cells.map((text) => element("td", {}, text))));
});

const sent = []; // when, of what has not come back
connection.addEventListener("state", () => {
  for (const button of $("form").querySelectorAll("button")) button.disabled = connection.state !== "connected";
  if (connection.state === "lost") sent.length = 0;
});
connection.addEventListener("message", ({ data }) => {
  const took = `${(performance.now() - sent.shift()).toFixed(1)} ms`;
  const what = typeof data === "string" ? data : `${bytes(data.byteLength)} of bytes`;
  add($("messages"), element("li", {}, what, " ", element("span", { class: "muted" }, took)));
});

function send(data) {
  if (connection.send(data)) sent.push(performance.now());
}
$("form").addEventListener("submit", (event) => {
  event.preventDefault();
  send($("text").value);
  $("text").select();
});
$("binary").addEventListener("click", () => send(new Uint8Array(1 << 20)));
