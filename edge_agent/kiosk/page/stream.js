// The stream of views: reconnects for ever and says when what is on screen can no longer be trusted.

const SILENT_MS = 5_000; // two heartbeats missed
const CUT_MS = 1_000; // connection lost: long enough for a restart of nothing but the connection
const RETRY_MS = 1_000;
const CHECK_MS = 250;

export class Stream {
  #url;
  #onView;
  #onStale;
  #edition = null;
  #heardAt = performance.now();
  #connected = true;
  #stale = false;

  constructor(url, onView, onStale) {
    this.#url = url;
    this.#onView = onView;
    this.#onStale = onStale;
  }

  start() {
    this.#connect();
    setInterval(() => this.#check(), CHECK_MS);
  }

  #connect() {
    const source = new EventSource(this.#url);
    source.addEventListener("edition", (event) => this.#heard(() => this.#compare(JSON.parse(event.data))));
    source.addEventListener("heartbeat", () => this.#heard(() => {}));
    source.addEventListener("view", (event) => this.#heard(() => this.#onView(JSON.parse(event.data))));
    source.addEventListener("error", () => {
      source.close();
      this.#connected = false;
      setTimeout(() => this.#connect(), RETRY_MS);
    });
  }

  #heard(handle) {
    this.#heardAt = performance.now();
    this.#connected = true;
    handle();
    this.#check();
  }

  // The agent was updated under this page: take the new one.
  #compare(edition) {
    this.#edition ??= edition;
    if (edition !== this.#edition) location.reload();
  }

  #check() {
    const stale = performance.now() - this.#heardAt > (this.#connected ? SILENT_MS : CUT_MS);
    if (stale !== this.#stale) this.#onStale((this.#stale = stale));
  }
}
