// The stream of views: always reconnects, and reports when the view on screen is stale.

const SILENT_MS = 5_000; // two heartbeats missed
const CUT_MS = 1_000; // connection lost: longer than a mere reconnection takes
const RETRY_MS = 1_000;
const CHECK_MS = 250;

export class Stream {
  #url;
  #onView;
  #onStale;
  #edition = null;
  #receivedAt = performance.now();
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
    source.addEventListener("edition", (event) => this.#received(() => this.#compare(JSON.parse(event.data))));
    source.addEventListener("heartbeat", () => this.#received(() => {}));
    source.addEventListener("view", (event) => this.#received(() => this.#onView(JSON.parse(event.data))));
    source.addEventListener("error", () => {
      source.close();
      this.#connected = false;
      setTimeout(() => this.#connect(), RETRY_MS);
    });
  }

  #received(handle) {
    this.#receivedAt = performance.now();
    this.#connected = true;
    handle();
    this.#check();
  }

  // The agent was updated: load the new page.
  #compare(edition) {
    this.#edition ??= edition;
    if (edition !== this.#edition) location.reload();
  }

  #check() {
    const stale = performance.now() - this.#receivedAt > (this.#connected ? SILENT_MS : CUT_MS);
    if (stale !== this.#stale) this.#onStale((this.#stale = stale));
  }
}
