// A file that a server streams (internal/filestream), shown while it arrives.
// It dispatches "about" when name and size are known, "message" for what else
// the server says, "complete", and "failed" with the error as detail.

import { Connection } from "./connection.js";
import { PNGSink } from "./png.js";
import { WAVSink } from "./wav.js";

const window = 4 << 20; // bytes that may be on their way or wait to be shown

export class FileStream extends EventTarget {
  name = "";
  size = 0;
  received = 0; // an offset in the file: a new connection goes on there
  shown = 0;
  mostHeld = 0; // bytes that have waited to be shown
  #asked = 0; // the offset that the server may send up to
  #paused = false;
  #canvas;
  #sink;
  #showing = Promise.resolve(); // what has arrived is shown in order

  constructor(path, canvas) {
    super();
    this.#canvas = canvas;
    this.connection = new Connection(() => `${path}?from=${this.received}`);
    this.connection.addEventListener("open", () => { this.#asked = this.received; });
    this.connection.addEventListener("message", ({ data }) => {
      if (typeof data !== "string") return this.#take(new Uint8Array(data));
      const message = JSON.parse(data);
      if ("size" in message) this.#begin(message);
      else this.dispatchEvent(new CustomEvent("message", { detail: message }));
      this.#ask();
    });
  }

  get paused() { return this.#paused; }

  set paused(paused) {
    this.#paused = paused;
    this.#ask();
  }

  #ask() {
    if (this.#paused || !this.size) return;
    const room = Math.min(this.size, this.shown + window) - this.#asked;
    if (room < window / 4 && this.#asked + room < this.size) return; // not for every few bytes
    if (room > 0 && this.connection.sendJSON({ bytes: room })) this.#asked += room;
  }

  #begin({ name, size }) {
    if (this.#sink && size !== this.size) return location.reload(); // another file
    Object.assign(this, { name, size });
    if (this.#sink) return;
    if (name.endsWith(".png")) this.#sink = new PNGSink(this.#canvas);
    else if (name.endsWith(".wav")) this.#sink = new WAVSink(this.#canvas, size);
    else this.#sink = { write() {}, close() {} }; // only counted
    this.dispatchEvent(new Event("about"));
    if (size === 0) this.#finish();
  }

  #take(chunk) {
    this.received += chunk.length;
    this.mostHeld = Math.max(this.mostHeld, this.received - this.shown);
    this.#showing = this.#showing.then(() => this.#sink.write(chunk)).then(() => {
      this.shown += chunk.length;
      this.#ask();
      return this.shown === this.size && this.#finish();
    }).catch((error) => {
      this.connection.close();
      this.dispatchEvent(new CustomEvent("failed", { detail: error }));
    });
  }

  async #finish() {
    this.connection.close();
    await this.#sink.close();
    this.dispatchEvent(new Event("complete"));
  }
}
