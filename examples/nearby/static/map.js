// A map without a picture of the earth: a graticule, a scale, and points with
// their trails, in Mercator's projection. It is moved by mouse, touch and keys.

const equator = 40075017; // metres
const steps = [90, 45, 30, 20, 10, 5, 2, 1]; // degrees between lines
for (let unit = 0.1; unit > 1e-6; unit /= 10) steps.push(5 * unit, 2 * unit, unit);

// project returns 0 to 1 eastwards and southwards.
function project({ lat, lon }) {
  const sin = Math.sin(Math.max(-85, Math.min(85, lat)) * Math.PI / 180);
  return { x: lon / 360 + 0.5, y: 0.5 - Math.log((1 + sin) / (1 - sin)) / (4 * Math.PI) };
}

function unproject({ x, y }) {
  return { lon: (x - 0.5) * 360, lat: Math.atan(Math.sinh((0.5 - y) * 2 * Math.PI)) * 180 / Math.PI };
}

// round is a number of 1, 2 or 5 and zeros that is not above n.
function round(n) {
  const unit = 10 ** Math.floor(Math.log10(n));
  return unit * (n >= 5 * unit ? 5 : n >= 2 * unit ? 2 : 1);
}

export class WorldMap {
  points = []; // { name, colour, at: {lat, lon}, trail: [{lat, lon}], you }
  center = { x: 0.5, y: 0.5 };
  width = 1000; // of the world in pixels
  moved = false; // by the user
  #canvas;
  #drawing = false;
  #pointers = new Map();

  constructor(canvas) {
    this.#canvas = canvas;
    new ResizeObserver(() => this.draw()).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    canvas.addEventListener("pointerdown", (e) => { canvas.setPointerCapture(e.pointerId); this.#pointers.set(e.pointerId, e); });
    for (const type of ["pointerup", "pointercancel"]) canvas.addEventListener(type, (e) => this.#pointers.delete(e.pointerId));
    canvas.addEventListener("pointermove", (e) => this.#drag(e));
    canvas.addEventListener("wheel", (e) => { e.preventDefault(); this.zoom(2 ** (-e.deltaY / 300), e.offsetX, e.offsetY); }, { passive: false });
    canvas.addEventListener("keydown", (e) => this.#key(e));
  }

  // zoom keeps the place at the pixel x, y, or the middle, where it is.
  zoom(factor, x = this.#canvas.clientWidth / 2, y = this.#canvas.clientHeight / 2) {
    const width = Math.max(200, Math.min(2 ** 34, this.width * factor));
    this.pan((x - this.#canvas.clientWidth / 2) * (width / this.width - 1), (y - this.#canvas.clientHeight / 2) * (width / this.width - 1), width);
    this.width = width;
  }

  pan(dx, dy, width = this.width) {
    this.moved = true;
    this.center = { x: this.center.x + dx / width, y: Math.max(0, Math.min(1, this.center.y + dy / width)) };
    this.draw();
  }

  // showAll shows all points, and follows them until the user moves the map.
  showAll() {
    const all = this.points.map((p) => project(p.at));
    if (all.length === 0) return;
    const [left, right] = [Math.min(...all.map((p) => p.x)), Math.max(...all.map((p) => p.x))];
    const [top, bottom] = [Math.min(...all.map((p) => p.y)), Math.max(...all.map((p) => p.y))];
    this.center = { x: (left + right) / 2, y: (top + bottom) / 2 };
    this.width = Math.min(this.#canvas.clientWidth * 0.7 / (right - left), this.#canvas.clientHeight * 0.7 / (bottom - top), 2 ** 24);
    this.moved = false;
    this.draw();
  }

  draw() {
    if (this.#drawing) return;
    this.#drawing = true;
    requestAnimationFrame(() => { this.#drawing = false; this.#paint(); });
  }

  #drag(e) {
    const before = this.#pointers.get(e.pointerId);
    if (!before) return;
    if (this.#pointers.size === 1) this.pan(before.offsetX - e.offsetX, before.offsetY - e.offsetY);
    if (this.#pointers.size === 2) {
      const other = [...this.#pointers.values()].find((p) => p.pointerId !== e.pointerId);
      const distance = (p) => Math.hypot(p.offsetX - other.offsetX, p.offsetY - other.offsetY) || 1;
      this.zoom(distance(e) / distance(before), other.offsetX, other.offsetY);
    }
    this.#pointers.set(e.pointerId, e);
  }

  #key(e) {
    const actions = {
      ArrowLeft: () => this.pan(-40, 0), ArrowRight: () => this.pan(40, 0),
      ArrowUp: () => this.pan(0, -40), ArrowDown: () => this.pan(0, 40),
      "+": () => this.zoom(1.5), "=": () => this.zoom(1.5), "-": () => this.zoom(1 / 1.5), 0: () => this.showAll(),
    };
    if (!actions[e.key] || e.ctrlKey || e.metaKey) return;
    e.preventDefault();
    actions[e.key]();
  }

  #pixel(place) {
    const p = project(place);
    return [(p.x - this.center.x) * this.width + this.#canvas.clientWidth / 2, (p.y - this.center.y) * this.width + this.#canvas.clientHeight / 2];
  }

  #paint() {
    const { clientWidth: w, clientHeight: h } = this.#canvas;
    const ratio = devicePixelRatio;
    this.#canvas.width = w * ratio;
    this.#canvas.height = h * ratio;
    const c = this.#canvas.getContext("2d");
    c.scale(ratio, ratio);
    c.font = "12px system-ui, sans-serif";
    const style = getComputedStyle(this.#canvas);
    const text = style.color;
    c.strokeStyle = style.borderTopColor;
    this.#graticule(c, w, h, text);
    for (const point of this.points) this.#point(c, point, text);
    this.#scale(c, h, text);
  }

  #graticule(c, w, h, text) {
    const step = steps.findLast((s) => s / 360 * this.width >= 90) ?? steps[0];
    const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    const half = { x: w / 2 / this.width, y: h / 2 / this.width };
    const from = unproject({ x: this.center.x - half.x, y: Math.min(1, this.center.y + half.y) });
    const to = unproject({ x: this.center.x + half.x, y: Math.max(0, this.center.y - half.y) });
    const label = (degrees, positive, negative) => `${Math.abs(degrees).toFixed(digits)}°${degrees > 0 ? positive : degrees < 0 ? negative : ""}`;
    c.fillStyle = text;
    for (let i = Math.ceil(Math.max(-180, from.lon) / step); i * step <= Math.min(180, to.lon); i++) {
      const [x] = this.#pixel({ lat: 0, lon: i * step });
      c.beginPath(); c.moveTo(x, 0); c.lineTo(x, h); c.stroke();
      c.fillText(label(i * step, "E", "W"), x + 4, h - 6);
    }
    for (let i = Math.ceil(Math.max(-85, from.lat) / step); i * step <= Math.min(85, to.lat); i++) {
      const [, y] = this.#pixel({ lat: i * step, lon: 0 });
      c.beginPath(); c.moveTo(0, y); c.lineTo(w, y); c.stroke();
      c.fillText(label(i * step, "N", "S"), 4, y - 4);
    }
  }

  #point(c, { name, colour, at, trail, you }, text) {
    c.strokeStyle = c.fillStyle = colour;
    c.lineWidth = 2;
    c.beginPath();
    for (const place of trail) c.lineTo(...this.#pixel(place));
    c.lineTo(...this.#pixel(at));
    c.stroke();
    const [x, y] = this.#pixel(at);
    c.beginPath(); c.arc(x, y, you ? 8 : 6, 0, 7); c.fill();
    c.fillStyle = text;
    c.fillText(you ? `${name} (you)` : name, x + 12, y + 4);
  }

  #scale(c, h, text) {
    const { lat } = unproject(this.center);
    const metres = equator * Math.cos(lat * Math.PI / 180) / this.width; // a pixel
    const length = round(120 * metres);
    const name = length >= 1000 ? `${length / 1000} km` : `${length} m`;
    this.#canvas.dataset.scale = name;
    const [x, y] = [12, h - 36];
    c.strokeStyle = c.fillStyle = text;
    c.lineWidth = 1.5;
    c.beginPath(); c.moveTo(x, y - 5); c.lineTo(x, y); c.lineTo(x + length / metres, y); c.lineTo(x + length / metres, y - 5); c.stroke();
    c.fillText(name, x + 6, y - 5);
  }
}
