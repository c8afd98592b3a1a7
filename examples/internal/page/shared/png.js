// A PNG that is drawn while it arrives: row by row as it inflates, so that
// there is never more of it in memory than two rows and the canvas, which has
// at most maxSide pixels a side.

const maxSide = 768;
const signature = [137, 80, 78, 71, 13, 10, 26, 10];
const channels = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 }; // by colour type

export class PNGSink {
  #canvas;
  #context;
  #pending = new Uint8Array(0); // of a chunk's header, or of a small chunk
  #need = signature.length; // bytes that pending must have
  #next = (b) => this.#signature(b);
  #idat = 0; // bytes left in an IDAT chunk
  #inflate = new DecompressionStream("deflate");
  #input = this.#inflate.writable.getWriter();
  #drawing;

  constructor(canvas) { this.#canvas = canvas; }

  // write returns when the bytes have been taken; it waits for the drawing.
  async write(bytes) {
    while (bytes.length > 0) {
      if (this.#idat > 0) {
        const part = bytes.subarray(0, this.#idat);
        bytes = bytes.subarray(part.length);
        this.#idat -= part.length;
        await Promise.race([this.#input.write(part), this.#drawing]);
        continue;
      }
      const part = bytes.subarray(0, this.#need - this.#pending.length);
      bytes = bytes.subarray(part.length);
      const joined = new Uint8Array(this.#pending.length + part.length);
      joined.set(this.#pending);
      joined.set(part, this.#pending.length);
      this.#pending = joined;
      if (joined.length < this.#need) return;
      this.#pending = new Uint8Array(0);
      this.#next(joined);
    }
  }

  // close checks that the picture was complete.
  async close() {
    const input = this.#input.close();
    await this.#drawing;
    await input;
  }

  #signature(b) {
    if (signature.some((byte, i) => b[i] !== byte)) throw new Error("not a PNG");
    this.#expect(8, (b) => this.#header(b));
  }

  #expect(need, next) {
    this.#need = need;
    this.#next = next;
  }

  #header(b) {
    const length = new DataView(b.buffer).getUint32(0);
    const type = String.fromCharCode(...b.subarray(4));
    const crc = 4; // not checked: the inflated data has a checksum of its own
    if (type === "IDAT") {
      this.#idat = length;
      this.#drawing ??= this.#draw();
      this.#drawing.catch(() => {}); // write and close report it
      return this.#expect(crc, () => this.#expect(8, (b) => this.#header(b)));
    }
    if (length > 1 << 20) throw new Error(`chunk ${type} of ${length} bytes`);
    this.#expect(length + crc, (b) => {
      if (type === "IHDR") this.#start(b);
      if (type === "PLTE") this.palette = b;
      this.#expect(8, (b) => this.#header(b));
    });
  }

  #start(b) {
    const view = new DataView(b.buffer);
    this.width = view.getUint32(0);
    this.height = view.getUint32(4);
    const [depth, colour, , , interlaced] = b.subarray(8);
    if (depth !== 8 || interlaced || !(colour in channels)) throw new Error("only 8 bits a channel, not interlaced");
    this.colour = colour;
    this.scale = Math.ceil(Math.max(this.width, this.height) / maxSide);
    this.#canvas.width = Math.ceil(this.width / this.scale);
    this.#canvas.height = Math.ceil(this.height / this.scale);
    this.#context = this.#canvas.getContext("2d");
  }

  // draw takes rows from what inflates.
  async #draw() {
    const step = channels[this.colour];
    const length = this.width * step;
    let row = new Uint8Array(length);
    let above = new Uint8Array(length);
    let filter = -1; // the first byte of a row
    let filled = 0;
    let y = 0;
    const reader = this.#inflate.readable.getReader();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      for (let at = 0; at < value.length && y < this.height;) {
        if (filter < 0) filter = value[at++];
        const part = value.subarray(at, at + length - filled);
        row.set(part, filled);
        filled += part.length;
        at += part.length;
        if (filled < length) break;
        unfilter(filter, row, above, step);
        if (y % this.scale === 0) this.#drawRow(row, y / this.scale, step);
        [row, above, filter, filled, y] = [above, row, -1, 0, y + 1];
      }
    }
    if (y < this.height) throw new Error(`ends in row ${y} of ${this.height}`);
  }

  #drawRow(row, y, step) {
    const image = new ImageData(this.#canvas.width, 1);
    for (let x = 0; x < image.width; x++) {
      const from = x * this.scale * step;
      let [r, g, b, a] = row.subarray(from, from + step);
      if (this.colour === 3) [r, g, b, a] = [...this.palette.subarray(3 * r, 3 * r + 3), 255];
      if (step === 2) [g, b, a] = [r, r, g];
      if (this.colour === 0) [g, b] = [r, r];
      image.data.set([r, g, b, a ?? 255], 4 * x);
    }
    this.#context.putImageData(image, 0, y);
  }
}

// unfilter: PNG specification, 9.2. a is to the left, b above, c above a.
function unfilter(filter, row, above, step) {
  switch (filter) {
    case 0: return;
    case 1: for (let i = step; i < row.length; i++) row[i] += row[i - step]; return;
    case 2: for (let i = 0; i < row.length; i++) row[i] += above[i]; return;
    case 3: for (let i = 0; i < row.length; i++) row[i] += ((i < step ? 0 : row[i - step]) + above[i]) >> 1; return;
    case 4:
      for (let i = 0; i < row.length; i++) {
        const a = i < step ? 0 : row[i - step], b = above[i], c = i < step ? 0 : above[i - step];
        const pa = Math.abs(b - c), pb = Math.abs(a - c), pc = Math.abs(a + b - 2 * c);
        row[i] += pa <= pb && pa <= pc ? a : pb <= pc ? b : c;
      }
      return;
  }
  throw new Error(`filter ${filter}`);
}
