// Players: all versions of an utterance share one play button and one position, so that switching
// from one to another goes on at the same moment. Without this script the browser's own players show.
"use strict";
document.documentElement.classList.add("scripted");

const players = [...document.querySelectorAll(".player")];
const stops = [];

// Safari plays and seeks in blobs more reliably than in data URIs.
function toBlob(audio) {
  if (!audio.src.startsWith("data:")) return;
  const [head, body] = audio.src.split(",");
  const bytes = Uint8Array.from(atob(body), (letter) => letter.charCodeAt(0));
  audio.preload = "auto";
  audio.src = URL.createObjectURL(new Blob([bytes], { type: head.slice(5).split(";")[0] }));
}

function clockText(seconds) {
  const whole = Math.floor(seconds || 0);
  return Math.floor(whole / 60) + ":" + String(whole % 60).padStart(2, "0");
}

function setUp(player) {
  const choices = () => [...player.querySelectorAll("input[type=radio]")];
  const soundOf = (choice) => choice.closest(".version").querySelector("audio");
  const [transport, play, seek, clock, repeat] =
    [".transport", ".play", ".seek", ".clock", ".repeat"].map((name) => player.querySelector(name));
  if (!choices().length) return;
  let current = null;
  let isPlaying = false;

  function show() {
    const length = current.duration || 0;
    play.textContent = isPlaying ? "Pause" : "Play";
    clock.textContent = clockText(current.currentTime) + " / " + clockText(length);
    if (length) seek.value = String(Math.round((1000 * current.currentTime) / length));
  }
  function stop() {
    isPlaying = false;
    if (current) { current.pause(); show(); }
  }
  function start() {
    stops.forEach((other) => other !== stop && other());
    isPlaying = true;
    current.play().catch(stop);
    show();
  }
  function choose(choice) {
    choices().forEach((each) => toBlob(soundOf(each)));
    const next = soundOf(choice);
    choice.checked = true;
    if (next === current) return;
    const at = current ? current.currentTime : 0;
    if (current) current.pause();
    current = next;
    const jump = () => { current.currentTime = Math.min(at, current.duration || at); show(); };
    if (current.readyState >= 1) jump();
    else current.addEventListener("loadedmetadata", jump, { once: true });
    if (isPlaying) current.play().catch(stop);
  }
  function toggle() {
    if (!current) choose(player.querySelector("input[type=radio]:checked"));
    if (isPlaying) stop(); else start();
  }

  transport.hidden = false;
  choices()[0].checked = true;
  clock.textContent = "";
  stops.push(stop);
  play.addEventListener("click", toggle);
  player.addEventListener("change", (event) => { if (event.target.type === "radio") choose(event.target); });
  seek.addEventListener("input", () => {
    if (!current) choose(player.querySelector("input[type=radio]:checked"));
    if (current.duration) { current.currentTime = (current.duration * seek.value) / 1000; show(); }
  });
  choices().map(soundOf).forEach((sound) => {
    sound.addEventListener("timeupdate", () => { if (sound === current) show(); });
    sound.addEventListener("loadedmetadata", () => { if (sound === current) show(); });
    sound.addEventListener("ended", () => {
      if (sound !== current) return;
      if (repeat.checked) { sound.currentTime = 0; sound.play().catch(stop); } else stop();
    });
  });
  player.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const numbered = choices()[Number(event.key) - 1];
    if (event.key >= "1" && event.key <= "9" && numbered) { choose(numbered); numbered.focus(); }
    else if (event.key === " " && !event.target.closest("button, summary, [type=checkbox]")) toggle();
    else return;
    event.preventDefault();
  });
}
players.forEach(setUp);

// Blind: names, numbers and pictures vanish, versions are shuffled and become A, B, C.
const blind = document.querySelector(".blind-switch");
if (blind) {
  blind.hidden = false;
  blind.addEventListener("click", () => {
    const isBlind = document.body.classList.toggle("blind");
    blind.textContent = isBlind ? "Show the names" : "Listen blind";
    blind.setAttribute("aria-pressed", String(isBlind));
    stops.forEach((stop) => stop());
    players.forEach((player) => {
      const list = player.querySelector(".versions");
      const versions = [...list.children];
      const rank = (version) => Number(version.querySelector("input").value);
      if (isBlind) {
        for (let i = versions.length - 1; i > 0; i--) {
          const j = Math.floor(Math.random() * (i + 1));
          [versions[i], versions[j]] = [versions[j], versions[i]];
        }
      } else versions.sort((a, b) => rank(a) - rank(b));
      versions.forEach((version, i) => {
        const label = version.querySelector("label");
        version.querySelector(".letter").textContent = String.fromCharCode(65 + i);
        if (isBlind) { label.dataset.title = label.title; label.title = ""; }
        else if (label.dataset.title) label.title = label.dataset.title;
        list.append(version);
      });
      if (isBlind && versions.length) versions[0].querySelector("input").click(); // the old choice has a name
    });
  });
}
