// A stream of server-sent events that reconnects after every loss, and pauses while the page is hidden. A monitor that
// hangs keeps its connections, so silence counts as a loss as well: something comes at least every five seconds.

const SILENCE_MS = 15_000; // shorter: a slow network looks like a loss; longer: figures that stand still look live
const ANSWER_MS = 5000; // longest wait for an answer to the question why a stream was lost

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
    for (const [kind, handle] of Object.entries(this.handlers)) {
      source.addEventListener(kind, (event) => {
        this.listen(source);
        this.retryMs = 1000;
        this.onTrouble("");
        handle(JSON.parse(event.data));
      });
    }
    source.onerror = () => this.lost(source);
    this.listen(source);
  }

  listen(source) {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.lost(source), SILENCE_MS);
  }

  rest() {
    clearTimeout(this.timer);
    clearTimeout(this.silence);
    this.source?.close();
  }

  close() {
    this.closed = true;
    this.rest();
    document.removeEventListener("visibilitychange", this.onVisibility);
  }

  async lost(source) {
    source.close();
    clearTimeout(this.silence);
    const asked = new AbortController();
    const timer = setTimeout(() => asked.abort(), ANSWER_MS);
    let reason = "the monitor does not answer";
    try {
      const answer = await fetch(this.address, { signal: asked.signal });
      reason = REASONS[answer.status] ?? (answer.ok ? "the connection was lost" : `the server answers ${answer.status}`);
    } catch { /* no answer: the default reason stays */ }
    clearTimeout(timer);
    asked.abort();
    if (this.closed || source !== this.source) return;
    this.onTrouble(reason);
    this.timer = setTimeout(() => this.open(), this.retryMs);
    this.retryMs = Math.min(this.retryMs * 2, 15000);
  }
}
