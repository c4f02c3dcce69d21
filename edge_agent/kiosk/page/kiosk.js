// Starts the page: loads the strings, then follows the stream and shows the newest view.

import { Picture } from "./picture.js";
import { find, fitWords, isDown, setPressed, showAge, showClock, showLabels, showStale, showView } from "./screen.js";
import { Stream } from "./stream.js";
import { ask, Modes, onStaffPress } from "./touch.js";
import { Words } from "./words.js";

const PICTURE_STAGES = ["arrival", "measuring"];

const words = new Words(await (await fetch("api/strings")).json());
const picture = new Picture(find("frame"), find("mirror"));
const modes = new Modes([find("large"), find("contrast")], drawSoon);
let view = null;
let receivedAt = 0;
let stale = false;
let drawing = false;
let shownLanguage = null;

const buttons = words.languages.map(([language, name]) => {
  const button = document.createElement("button");
  button.textContent = name;
  button.lang = language;
  button.type = "button";
  button.addEventListener("click", () => ask("touch/language", { language }));
  return button;
});
find("languages").append(...buttons);
find("call").addEventListener("click", () => ask("touch/staff"));
onStaffPress(find("clock"), () => location.assign("staff"));

function draw() {
  drawing = false;
  if (view) words.language = view.language;
  if (words.language !== shownLanguage) {
    shownLanguage = words.language;
    showLabels(words);
    for (const button of buttons) setPressed(button, button.lang === shownLanguage);
  }
  showClock(words, new Date());
  showStale(stale);
  if (view === null) return;
  const sinceS = (performance.now() - receivedAt) / 1000;
  modes.follow(view.visit, !["idle", "starting", "out_of_service"].includes(view.stage), performance.now());
  showView(view, sinceS, words);
  showAge(view.link, sinceS, words);
  fitWords();
  picture.want(!stale && PICTURE_STAGES.includes(view.stage) && !isDown(view, "camera"));
}

// Draws only the newest of the views that arrive between two frames of the display.
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
addEventListener("resize", drawSoon);
setInterval(drawSoon, 1000);
