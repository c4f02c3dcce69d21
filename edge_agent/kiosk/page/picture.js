// The live picture, a motion JPEG; requested only while a person is present.

const RETRY_MS = 500;

export class Picture {
  #frame;
  #image;
  #wanted = false;

  constructor(frame, image) {
    this.#frame = frame;
    this.#image = image;
    image.addEventListener("load", () => this.#show());
    image.addEventListener("error", () => this.#retry());
  }

  want(wanted) {
    if (wanted === this.#wanted) return;
    this.#wanted = wanted;
    if (wanted) this.#ask();
    else this.#forget();
  }

  #ask() {
    this.#image.src = "picture.mjpg";
  }

  // Called for every picture; one transparent pixel means that the camera gives none.
  #show() {
    const { naturalWidth: width, naturalHeight: height } = this.#image;
    this.#image.hidden = !this.#wanted;
    if (width > 1) this.#frame.style.setProperty("--ratio", width / height);
  }

  #forget() {
    this.#image.hidden = true;
    this.#image.removeAttribute("src");
  }

  #retry() {
    this.#image.hidden = true;
    setTimeout(() => this.#wanted && this.#ask(), RETRY_MS);
  }
}
