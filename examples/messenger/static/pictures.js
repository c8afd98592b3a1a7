import { element } from "./shared/format.js";

const window = 256 << 10; // bytes of an upload that may be on their way
const step = 64 << 10; // bytes in a message

// A Picture in the log: its thumbnail at once, then how much of it is there,
// then itself.
export class Picture {
  #message;
  #parts = [];
  #received = 0;
  #image;
  #progress;

  constructor(message) {
    this.#message = message;
    this.#image = element("img", { class: "thumbnail", alt: message.title ?? "" });
    if (message.thumbnail) this.#image.src = message.thumbnail;
    this.#progress = element("progress", { max: message.size, value: 0, "aria-label": `Receiving ${message.title}` });
    this.element = element("figure", {}, this.#image, this.#progress);
  }

  // add adds a part, and returns whether that was the last one.
  add(part) {
    this.#parts.push(part);
    if (!this.advance(part.byteLength)) return false;
    this.#show(URL.createObjectURL(new Blob(this.#parts, { type: this.#message.mime })));
    this.#parts = [];
    return true;
  }

  // advance moves the progress bar and returns whether it is at its end.
  advance(bytes) {
    this.#received += bytes;
    this.#progress.value = this.#received;
    if (this.#received < this.#message.size) return false;
    this.#progress.remove();
    return true;
  }

  // load takes the picture from the history, which may not have all of it yet.
  load(tries = 10) {
    const { id, mime: type, size } = this.#message;
    const again = () => (tries > 0 ? setTimeout(() => this.load(tries - 1), 2000) : this.cancel());
    this.#show(`image/${id}?${new URLSearchParams({ type, size })}`, again);
  }

  // show replaces the thumbnail by the picture, once the browser has it.
  show(file) { this.#show(URL.createObjectURL(file)); }

  #show(url, failed) {
    const full = element("img", { alt: this.#image.alt });
    full.onload = () => {
      this.#image.replaceWith(full);
      this.#progress.remove();
      URL.revokeObjectURL(url);
    };
    full.onerror = failed;
    full.src = url;
  }

  cancel() { this.#progress.replaceWith(element("span", { class: "muted" }, "not complete")); }
}

// Uploads sends files, one after the other and each no faster than the others
// in the room are sent it.
export class Uploads {
  #connection;
  #current; // { file, id, picture, acknowledged, wake, failed }
  #last = Promise.resolve();

  constructor(connection) { this.#connection = connection; }

  send(file) {
    const sent = this.#last.then(() => this.#send(file));
    this.#last = sent.catch(() => {});
    return sent;
  }

  // begin is called when the server has announced the file to all, with its ID.
  begin(id, picture) {
    if (!this.#current) return;
    Object.assign(this.#current, { id, picture });
    this.#current.wake();
  }

  // progress is called when bytes have gone to all.
  progress(id, bytes) {
    if (this.#current?.id !== id) return;
    this.#current.acknowledged += bytes;
    this.#current.picture.advance(bytes);
    this.#current.wake();
  }

  cancel() {
    if (!this.#current) return;
    this.#current.failed = true;
    this.#current.picture?.cancel();
    this.#current.wake();
  }

  async #send(file) {
    const thumbnail = await makeThumbnail(file);
    const upload = { file, acknowledged: 0, wake() {} };
    this.#current = upload;
    const until = async (condition) => {
      while (!upload.failed && !condition()) await new Promise((resolve) => { upload.wake = resolve; });
      if (upload.failed) throw new Error("the connection was lost");
    };
    try {
      if (!this.#connection.sendJSON({ type: "image", title: file.name, mime: file.type, size: file.size, thumbnail })) throw new Error("not connected");
      await until(() => upload.id);
      for (let sent = 0; sent < file.size; sent += step) {
        await until(() => sent - upload.acknowledged < window);
        this.#connection.send(await file.slice(sent, sent + step).arrayBuffer());
      }
      await until(() => upload.acknowledged === file.size);
      upload.picture.show(file);
    } finally {
      this.#current = undefined;
    }
  }
}

// makeThumbnail returns a small picture as a data URL.
async function makeThumbnail(file) {
  const bitmap = await createImageBitmap(file).catch(() => { throw new Error("not a picture"); });
  const scale = Math.min(1, 64 / Math.max(bitmap.width, bitmap.height));
  const canvas = element("canvas");
  canvas.width = Math.max(1, bitmap.width * scale);
  canvas.height = Math.max(1, bitmap.height * scale);
  canvas.getContext("2d").drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  bitmap.close();
  return canvas.toDataURL("image/jpeg", 0.7);
}
