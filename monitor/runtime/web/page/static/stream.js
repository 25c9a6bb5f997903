// A stream of server-sent events that reconnects after every loss, and pauses while the page is hidden.

const REASONS = {
  401: "the server requires a password",
  404: "there is no channel with these labels at present",
  503: "too many viewers are connected",
};

export class Stream {
  constructor(address, handlers, onTrouble) {
    this.address = address;
    this.handlers = handlers;
    this.onTrouble = onTrouble;
    this.retryMs = 1000;
    this.onVisibility = () => (document.hidden ? this.rest() : this.open());
    document.addEventListener("visibilitychange", this.onVisibility);
    this.open();
  }

  open() {
    this.rest();
    const source = (this.source = new EventSource(this.address));
    source.onopen = () => {
      this.retryMs = 1000;
      this.onTrouble("");
    };
    for (const [kind, handle] of Object.entries(this.handlers)) {
      source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
    }
    source.onerror = () => this.lost(source);
  }

  rest() {
    clearTimeout(this.timer);
    this.source?.close();
  }

  close() {
    this.closed = true;
    this.rest();
    document.removeEventListener("visibilitychange", this.onVisibility);
  }

  async lost(source) {
    source.close();
    const asked = new AbortController();
    let reason = "the monitor does not answer";
    try {
      const answer = await fetch(this.address, { signal: asked.signal });
      reason = REASONS[answer.status] ?? (answer.ok ? "the connection was lost" : `the server answers ${answer.status}`);
    } catch { /* no answer: the default reason stays */ }
    asked.abort();
    if (this.closed || source !== this.source) return;
    this.onTrouble(reason);
    this.timer = setTimeout(() => this.open(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, 15000);
  }
}
