// A WebSocket that comes back after it was lost.
//
// It dispatches "state" whenever its state changes, "open" for every new
// connection and "message" for what comes. The states:
//
//   connecting    for the first time
//   connected
//   lost          until the next attempt, at retryAt
//   reconnecting
//   closed        by close, for good
export class Connection extends EventTarget {
  state = "connecting";
  retryAt = 0; // in the time of Date.now
  reason = ""; // why it was lost
  #url;
  #socket;
  #timer;
  #losses = 0; // since the last connection that held

  // path is relative to the page, or a function that returns it anew for
  // every attempt.
  constructor(path) {
    super();
    this.#url = typeof path === "function" ? path : () => path;
    this.#connect();
    addEventListener("online", () => this.retry());
    // A page that comes out of the browser's cache finds its socket closed.
    addEventListener("pageshow", (event) => event.persisted && this.retry());
  }

  get bufferedAmount() { return this.#socket.bufferedAmount; }

  // send returns whether there was a connection to send on.
  send(data) {
    if (this.state !== "connected") return false;
    this.#socket.send(data);
    return true;
  }

  sendJSON(value) { return this.send(JSON.stringify(value)); }

  // retry does not wait any longer for the next attempt.
  retry() {
    if (this.state !== "lost") return;
    clearTimeout(this.#timer);
    this.#connect();
  }

  close(code = 1000, reason = "") {
    clearTimeout(this.#timer);
    this.#become("closed");
    this.#socket.close(code, reason);
  }

  #connect() {
    if (this.state === "lost") this.#become("reconnecting");
    const url = new URL(this.#url(), location.href);
    url.protocol = url.protocol.replace("http", "ws");
    const socket = new WebSocket(url);
    socket.binaryType = "arraybuffer";
    let opened = 0;
    socket.onopen = () => {
      opened = Date.now();
      this.#become("connected");
      this.dispatchEvent(new Event("open"));
    };
    socket.onmessage = (event) => this.dispatchEvent(new MessageEvent("message", { data: event.data }));
    socket.onclose = (event) => {
      if (this.state === "closed") return;
      // One that was refused right after it was accepted is no success.
      const held = opened && Date.now() - opened > 5000;
      this.#losses = held ? 1 : this.#losses + 1;
      this.reason = event.reason || `code ${event.code}`;
      // Doubling up to 15 s; at random, so that the pages of a server that
      // was restarted do not come back all at once.
      const delay = Math.min(15000, 250 * 2 ** this.#losses) * (0.5 + Math.random() / 2);
      this.retryAt = Date.now() + delay;
      this.#timer = setTimeout(() => this.#connect(), delay);
      this.#become("lost");
    };
    this.#socket = socket;
  }

  #become(state) {
    this.state = state;
    this.dispatchEvent(new Event("state"));
  }
}

// showState keeps an element up to date with a connection: what its state is,
// and a button that ends the waiting.
export function showState(connection, element) {
  const text = document.createElement("span");
  text.setAttribute("role", "status");
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Try now";
  button.addEventListener("click", () => connection.retry());
  element.replaceChildren(text, button);
  let ticking;
  const show = () => {
    const { state } = connection;
    element.dataset.state = state;
    button.hidden = state !== "lost";
    text.textContent = state === "lost" ? `lost (${connection.reason})` : state;
    clearInterval(ticking);
    if (state !== "lost") return;
    // On the button, not in the status: screen readers read that out.
    const tick = () => {
      button.textContent = `Try now (${Math.max(0, Math.ceil((connection.retryAt - Date.now()) / 1000))} s)`;
    };
    tick();
    ticking = setInterval(tick, 1000);
  };
  connection.addEventListener("state", show);
  show();
}
