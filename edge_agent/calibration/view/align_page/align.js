// Four touches of a warm object: polls the state of the box several times a second and sends every touch to it.

const LOOK_MS = 200;
const PICTURE_MS = 80;
const REFUSAL_MS = 4_000; // how long a rejected touch is shown before the current state
const AIM_STEP = 0.02; // of the picture, per key press
const COLD_C = 15;
const HOT_C = 50;

const find = (id) => document.getElementById(id);
const [camera, picture, drawn, marks, warmth, spot] = ["camera", "picture", "drawn", "marks", "warmth", "spot"].map(find);
let state = null;
let refusal = null;
let refusedAt = 0;
let aim = null; // position chosen by the arrow keys
let saved = false;

const HOLD = {
  zh: (n) => `第 ${n} 处：把热水杯或暖手宝拿到圆圈 ${n} 附近`,
  en: (n) => `Place ${n} of 4: hold a cup of hot water or a hand-warmer near circle ${n}`,
};
const READY = {
  zh: () => "拿稳，在画面上点物体的正中",
  en: () => "hold still and touch the middle of the object in the picture",
};
const DONE = {
  zh: (left) => `残差 ${left} 个热像素。请移动物体：圆环跟着它，就保存。`,
  en: (left) => `Residual: ${left} thermal pixels. Move the object: the ring must follow it. If it does, save.`,
};
const SAVED = { zh: () => "已保存。请重新启动 agent。", en: () => "Saved. Restart the agent now." };
const ENDED = { zh: () => "校准程序已结束。", en: () => "The command has ended." };

async function post(path, body = {}) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  const { fault } = await answer.json();
  [refusal, refusedAt] = [fault, performance.now()];
  return answer.ok;
}

function say(mood, words, value) {
  document.body.dataset.mood = mood;
  for (const language of ["zh", "en"]) {
    const text = typeof words[language] === "function" ? words[language](value) : words[language];
    if (find(language).textContent !== text) find(language).textContent = text;
  }
}

function place(element, [x, y]) {
  Object.assign(element.style, { right: `${x * 100}%`, top: `${y * 100}%` }); // the picture is mirrored
}

function mark(at, state, text = "") {
  const element = document.createElement("div");
  element.className = "mark";
  element.dataset.state = state;
  element.textContent = text;
  place(element, at);
  return element;
}

function showMessage() {
  if (refusal && performance.now() - refusedAt < REFUSAL_MS) return say("fault", refusal);
  if (state.residual_px !== null) return say("done", DONE, state.residual_px.toFixed(2));
  if (state.spot) return say("ready", withPlace(READY), state.touches.length + 1);
  say("wait", withFault(HOLD, state.fault), state.touches.length + 1);
}

const withPlace = (words) => ({ zh: (n) => `第 ${n} 处：${words.zh()}`, en: (n) => `Place ${n} of 4: ${words.en()}` });
const withFault = (words, fault) => ({
  zh: (n) => `${words.zh(n)}。${fault.zh}`,
  en: (n) => `${words.en(n)}. ${fault.en}`,
});

function show() {
  showMessage();
  const { touches, places, residual_px: residual } = state;
  document.body.dataset.step = touches.length;
  find("keep").disabled = residual === null;
  find("again").disabled = touches.length === 0;
  const remaining = places.map((at, index) => [at, index]).slice(touches.length);
  marks.replaceChildren(
    ...remaining.map(([at, index]) => mark(at, index === touches.length ? "next" : "ahead", index + 1)),
    ...touches.map((touch, index) => mark(touch.camera, "done", index + 1)),
    ...(state.spot_on_camera ? [mark(state.spot_on_camera, "follows")] : []),
    ...(aim ? [mark(aim, "aim")] : []),
  );
  showOutline();
  showWarmth();
}

// The border of the thermal frame in the camera's picture, once it is known.
function showOutline() {
  const pen = drawn.getContext("2d");
  [drawn.width, drawn.height] = [drawn.clientWidth, drawn.clientHeight];
  if (!state.outline) return;
  pen.lineWidth = 3;
  pen.strokeStyle = "#00e5ff";
  pen.beginPath();
  for (const [x, y] of state.outline) pen.lineTo(x * drawn.width, y * drawn.height);
  pen.closePath();
  pen.stroke();
}

function showWarmth() {
  spot.hidden = !state.spot;
  find("warmer").textContent = state.spot ? `+${state.warmer_c.toFixed(1)} °C` : "";
  if (state.spot) place(spot, state.spot);
  const rows = state.thermal_c;
  if (!rows) return warmth.getContext("2d").clearRect(0, 0, warmth.width, warmth.height);
  [warmth.width, warmth.height] = [rows[0].length, rows.length];
  find("thermal").style.setProperty("--ratio", warmth.width / warmth.height);
  const image = new ImageData(warmth.width, warmth.height);
  rows.flat().forEach((value, index) => image.data.set(colour((value - COLD_C) / (HOT_C - COLD_C)), 4 * index));
  warmth.getContext("2d").putImageData(image, 0, 0);
}

// The usual colours of thermal pictures: black, violet, orange, white.
function colour(share) {
  const level = Math.min(1, Math.max(0, share));
  return [255 * Math.min(1, 2 * level), 255 * Math.max(0, 2 * level - 1), 160 * Math.sin(Math.PI * level), 255];
}

async function touch([x, y]) {
  if (saved || !state || state.residual_px !== null) return;
  await post("touch", { x, y });
  await look();
}

async function look() {
  if (saved) return;
  const answer = await fetch("state");
  if (!answer.ok) return location.reload(); // the agent runs again and serves its own page
  state = await answer.json();
  if (!saved) show();
}

function showNextPicture() {
  setTimeout(() => !saved && (picture.src = `picture.jpg?${performance.now()}`), PICTURE_MS);
}

// After saving: wait for the agent's own page.
async function waitForAgent() {
  const answer = await fetch("state").catch(() => null);
  if (answer && !answer.ok) location.reload();
}

camera.addEventListener("click", (event) => {
  const box = camera.getBoundingClientRect();
  aim = null;
  touch([1 - (event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]).catch(end);
});

camera.addEventListener("keydown", (event) => {
  const step = { ArrowLeft: [AIM_STEP, 0], ArrowRight: [-AIM_STEP, 0], ArrowUp: [0, -AIM_STEP], ArrowDown: [0, AIM_STEP] };
  if (event.key === "Enter" && aim) touch(aim).catch(end);
  if (!(event.key in step) || !state) return;
  event.preventDefault();
  const from = aim ?? state.places[Math.min(state.touches.length, state.places.length - 1)];
  aim = from.map((value, axis) => Math.min(1, Math.max(0, value + step[event.key][axis])));
  show();
});

find("again").addEventListener("click", () => post("again").then(look).catch(end));
find("keep").addEventListener("click", async () => {
  try {
    if (!(await post("keep"))) return await look();
    saved = true;
    find("keep").disabled = find("again").disabled = true;
    say("done", SAVED);
  } catch {
    end();
  }
});

function end() {
  if (!saved) say("fault", ENDED);
}

picture.addEventListener("load", () => {
  camera.style.setProperty("--ratio", picture.naturalWidth / picture.naturalHeight);
  showNextPicture();
});
picture.addEventListener("error", showNextPicture);
showNextPicture();
setInterval(() => (saved ? waitForAgent() : look().catch(end)), LOOK_MS);
