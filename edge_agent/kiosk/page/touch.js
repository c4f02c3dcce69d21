// What a person can do by touch or key: ask the box for something, or make this page easier to read.

// A way of reading ends when nobody stood here for this long; the box does the same with a chosen language.
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

// Asks for something that shows in the next view; where the box does not answer, the page says so anyway.
export function ask(path, body) {
  post(path, body).catch(() => {});
}

export class Modes {
  #buttons;
  #onChange;
  #visit = 0;
  #somebody = false;
  #somebodyAt = 0;
  #chosenFor = 0;

  constructor(buttons, onChange) {
    this.#buttons = buttons;
    this.#onChange = onChange;
    for (const button of buttons) {
      button.addEventListener("click", () => {
        this.#chosenFor = this.#somebody ? this.#visit : this.#visit + 1;
        this.#somebodyAt = performance.now();
        this.#set(button, button.getAttribute("aria-pressed") !== "true");
      });
    }
  }

  // Forgets the modes once the person who chose them is gone.
  follow(visit, somebody, now) {
    [this.#visit, this.#somebody] = [visit, somebody];
    if (somebody) this.#somebodyAt = now;
    if (visit > this.#chosenFor || now - this.#somebodyAt > MODE_HOLD_MS) {
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

// Staff press long, or use a key: a finger that slips opens nothing.
export function onStaffPress(element, open) {
  let timer = null;
  const end = () => clearTimeout(timer);
  element.addEventListener("pointerdown", () => (timer = setTimeout(open, STAFF_PRESS_MS)));
  for (const name of ["pointerup", "pointerleave", "pointercancel"]) element.addEventListener(name, end);
  element.addEventListener("contextmenu", (event) => event.preventDefault());
  element.addEventListener("click", (event) => event.detail === 0 && open());
}
