// Actions by touch or key: requests to the box, and display modes of this page.

// A display mode ends when no person was present for this long, as a chosen language does.
const MODE_HOLD_MS = 15_000;
const STAFF_PRESS_MS = 1_500;

export async function post(path, body = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
  return { status: answer.status, body: isJson ? await answer.json() : null };
}

// Sends a request whose effect shows in the next view; without an answer the page is marked stale anyway.
export function ask(path, body) {
  post(path, body).catch(() => {});
}

export class Modes {
  #buttons;
  #onChange;
  #visit = 0;
  #present = false;
  #presentAt = 0;
  #chosenFor = 0;

  constructor(buttons, onChange) {
    this.#buttons = buttons;
    this.#onChange = onChange;
    for (const button of buttons) {
      button.addEventListener("click", () => {
        this.#chosenFor = this.#present ? this.#visit : this.#visit + 1;
        this.#presentAt = performance.now();
        this.#set(button, button.getAttribute("aria-pressed") !== "true");
      });
    }
  }

  // Resets the modes when the person who chose them has left.
  follow(visit, present, now) {
    [this.#visit, this.#present] = [visit, present];
    if (present) this.#presentAt = now;
    if (visit > this.#chosenFor || now - this.#presentAt > MODE_HOLD_MS) {
      for (const button of this.#buttons) this.#set(button, false);
    }
  }

  #set(button, on) {
    if (button.getAttribute("aria-pressed") === String(on)) return;
    button.setAttribute("aria-pressed", String(on));
    document.body.toggleAttribute(`data-${button.id}`, on);
    this.#onChange();
  }
}

// A long press or a key opens the staff view; an accidental touch does not.
export function onStaffPress(element, open) {
  let timer = null;
  const end = () => clearTimeout(timer);
  element.addEventListener("pointerdown", () => (timer = setTimeout(open, STAFF_PRESS_MS)));
  for (const name of ["pointerup", "pointerleave", "pointercancel"]) element.addEventListener(name, end);
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener("click", (event) => event.detail === 0 && open());
}
