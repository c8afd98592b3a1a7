import { Connection, showState } from "./shared/connection.js";
import { element } from "./shared/format.js";
import { WorldMap } from "./map.js";

const $ = (id) => document.getElementById(id);
const trailLength = 60;

const map = new WorldMap($("canvas"));
$("in").addEventListener("click", () => map.zoom(1.5));
$("out").addEventListener("click", () => map.zoom(1 / 1.5));
$("all").addEventListener("click", () => map.showAll());

const connection = new Connection("ws");
showState(connection, document.querySelector(".state"));

// Everybody, by ID. A new connection tells of all again.
const people = new Map();
connection.addEventListener("open", () => { people.clear(); share(); });
connection.addEventListener("message", ({ data }) => {
  for (const { id, name, lat, lon, gone, you } of JSON.parse(data)) {
    if (gone) {
      people.delete(id);
      continue;
    }
    const person = people.get(id) ?? { colour: `hsl(${id * 137 % 360} 65% 50%)`, trail: [] };
    if (person.at) person.trail = [...person.trail, person.at].slice(-trailLength);
    people.set(id, Object.assign(person, { name, you, at: { lat, lon } }));
  }
  map.points = [...people.values()];
  if (map.moved) map.draw();
  else map.showAll();
  list();
});

function metres(a, b) {
  const rad = Math.PI / 180;
  const sin = (x) => Math.sin(x / 2) ** 2;
  const h = sin((b.lat - a.lat) * rad) + Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * sin((b.lon - a.lon) * rad);
  return 2 * 6371000 * Math.asin(Math.sqrt(h));
}

function list() {
  const you = map.points.find((p) => p.you);
  const distance = (p) => (you ? metres(you.at, p.at) : 0);
  $("people").replaceChildren(...map.points.toSorted((a, b) => distance(a) - distance(b)).map((p) => {
    const dot = element("i");
    dot.style.background = p.colour;
    const far = distance(p);
    return element("li", {}, dot, p.name, " ", element("span", { class: "muted" },
      p.you ? "you" : far < 1000 ? `${Math.round(far)} m away` : `${(far / 1000).toFixed(1)} km away`));
  }));
}

// What this page shares.
$("name").value = `Guest ${1 + Math.floor(Math.random() * 999)}`;
const walk = { lat: 52.52 + Math.random() / 200, lon: 13.4 + Math.random() / 200, heading: Math.random() * 7 };
let here = walk;
function share() {
  const name = $("name").value.trim();
  if (name && here) connection.sendJSON({ name, lat: here.lat, lon: here.lon });
}
$("name").addEventListener("change", share);

setInterval(() => {
  if (here !== walk) return;
  walk.heading += (Math.random() - 0.5) / 2;
  walk.lat += Math.cos(walk.heading) * 3e-5;
  walk.lon += Math.sin(walk.heading) * 5e-5;
  share();
}, 500);

let watching;
$("source").addEventListener("change", () => {
  navigator.geolocation?.clearWatch(watching);
  here = $("source").value === "walk" ? walk : undefined;
  if (here) return;
  const failed = (why) => { $("note").textContent = `No position: ${why}`; };
  if (!navigator.geolocation) return failed("this browser knows none, or the page is neither on localhost nor on https");
  watching = navigator.geolocation.watchPosition(({ coords }) => {
    here = { lat: coords.latitude, lon: coords.longitude };
    $("note").textContent = `You share your real position, to ${Math.round(coords.accuracy)} m.`;
    share();
  }, (error) => failed(error.message), { enableHighAccuracy: true });
});
