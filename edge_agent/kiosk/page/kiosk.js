// Starts the page: strings first, then the stream; everything on screen follows the newest view.

import { Picture } from "./picture.js";
import { isDown, showAge, showClock, showLabels, showStale, showView } from "./screen.js";
import { Stream } from "./stream.js";
import { Words } from "./words.js";

const PICTURE_STAGES = ["arrival", "measuring"];

const words = new Words(await (await fetch("api/strings")).json());
const picture = new Picture(document.getElementById("frame"), document.getElementById("mirror"));
let view = null;
let receivedAt = 0;
let stale = false;
let drawing = false;
let shownLanguage = null;

const buttons = words.languages.map(([language, name]) => {
  const button = document.createElement("button");
  button.textContent = name;
  button.lang = language;
  button.addEventListener("click", () => {
    words.choose(language);
    draw();
  });
  return button;
});
document.getElementById("languages").append(...buttons);

function draw() {
  drawing = false;
  if (view) words.follow(view, performance.now());
  if (words.language !== shownLanguage) {
    shownLanguage = words.language;
    showLabels(words);
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.lang === shownLanguage));
  }
  showClock(words, new Date());
  showStale(stale);
  if (view === null) return;
  showView(view, words);
  showAge(view.link, (performance.now() - receivedAt) / 1000, words);
  picture.want(!stale && PICTURE_STAGES.includes(view.stage) && !isDown(view, "camera"));
}

// However many views come between two pictures of the screen, the newest is drawn, once.
function drawSoon() {
  if (!drawing) requestAnimationFrame(draw);
  drawing = true;
}

new Stream(
  "events",
  (newest) => {
    view = newest;
    receivedAt = performance.now();
    drawSoon();
  },
  (isStale) => {
    stale = isStale;
    drawSoon();
  },
).start();

draw();
setInterval(drawSoon, 1000);
