// A WAV (16 bits) whose wave form is drawn while it arrives. It keeps of the
// file no more than a column of the canvas needs.

const headerSize = 44; // of the plain form, which is all that is understood

export class WAVSink {
  #context;
  #size;
  #header = [];
  #at = 0; // offset in the file
  #odd; // half a sample, when a chunk ends there
  #column = -1;
  #low = 0;
  #high = 0;

  constructor(canvas, size) {
    canvas.height = 200;
    this.#context = canvas.getContext("2d");
    this.#context.fillStyle = "#3b82d6";
    this.#size = size;
  }

  write(bytes) {
    for (const byte of bytes) {
      const at = this.#at++;
      if (at < headerSize) {
        this.#header.push(byte);
        if (at === headerSize - 1) this.#check();
      } else if (this.#odd === undefined) {
        this.#odd = byte;
      } else {
        this.#sample(((byte << 24) | (this.#odd << 16)) >> 16);
        this.#odd = undefined;
      }
    }
  }

  close() { this.#draw(); }

  #check() {
    const view = new DataView(new Uint8Array(this.#header).buffer);
    if (view.getUint32(8) !== 0x57415645 || view.getUint32(36) !== 0x64617461 || view.getUint16(34, true) !== 16) {
      throw new Error("only plain WAV of 16 bits");
    }
  }

  #sample(v) {
    const { canvas } = this.#context;
    const column = Math.floor((this.#at - headerSize) / (this.#size - headerSize) * canvas.width);
    if (column !== this.#column) {
      this.#draw();
      [this.#column, this.#low, this.#high] = [column, v, v];
    }
    this.#low = Math.min(this.#low, v);
    this.#high = Math.max(this.#high, v);
  }

  #draw() {
    const scale = this.#context.canvas.height / 65536;
    this.#context.fillRect(this.#column, (32768 - this.#high) * scale, 1, Math.max(1, (this.#high - this.#low) * scale));
  }
}
