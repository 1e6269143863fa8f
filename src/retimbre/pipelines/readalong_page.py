"""A ReadAlong as one HTML file: sound, words and a small player. It opens offline and fetches nothing.

Sound and words also lie in a `<read-along>` element, where EveryVoice's pages have them for other tools.
"""

from base64 import b64encode
from html import escape

from retimbre.audio.mel import MelSpec
from retimbre.pipelines.readalong import readalong_xml, timed_words
from retimbre.pipelines.timing import Times

LONGEST_TITLE = 60
POLICY = "default-src 'none'; media-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"

STYLE = """
:root { color-scheme: light dark; font: 1.4rem/1.9 Georgia, serif; }
body { max-width: 34em; margin: 2rem auto; padding: 0 1rem 6rem; }
.word { cursor: pointer; border-radius: .25em; padding: .08em .12em; }
.word:hover, .word:focus-visible { outline: 2px solid #8a6d00; }
.word[aria-current] { background: #ffd54d; color: #111; }
footer { position: fixed; inset: auto 0 0 0; padding: .6rem 1rem; background: Canvas; border-top: 1px solid; }
audio { display: block; width: 100%; max-width: 48rem; margin: 0 auto; }
"""

SCRIPT = """
const audio = document.querySelector("audio");
const words = [...document.querySelectorAll(".word")];
const starts = words.map(word => Number(word.dataset.start));
let current = null;
audio.src = document.querySelector("read-along").getAttribute("audio");

function wordAt(seconds) {
  let low = 0, high = starts.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (starts[middle] <= seconds + 0.001) low = middle + 1; else high = middle;
  }
  return words[low - 1] || null;
}
function show(word) {
  if (word === current) return;
  if (current) current.removeAttribute("aria-current");
  if (word) { word.setAttribute("aria-current", "true"); word.scrollIntoView({ block: "nearest" }); }
  current = word;
}
function follow() {
  show(audio.ended ? null : wordAt(audio.currentTime));
  if (!audio.paused) requestAnimationFrame(follow);
}
function playFrom(word) {
  audio.currentTime = Number(word.dataset.start);
  audio.play();
}
for (const word of words) {
  word.addEventListener("click", () => playFrom(word));
  word.addEventListener("keydown", event => {
    if (event.key === "Enter" || event.key === " ") { event.preventDefault(); playFrom(word); }
  });
}
audio.addEventListener("play", follow);
audio.addEventListener("seeked", () => show(wordAt(audio.currentTime)));
audio.addEventListener("ended", () => show(null));
"""


def readalong_html(times: Times, mel: MelSpec, *, language: str, wav: bytes) -> str:
    """The text of the page. A word that is clicked, or chosen with the keyboard, plays from there."""
    shown = timed_words(times, mel)
    spans = "\n".join(
        f'<span class="word" role="button" tabindex="0" data-start="{word.start_s:.6f}">{escape(word.text)}'
        "</span>"
        for word in shown
    )
    text = " ".join(word.text for word in shown)
    title = text if len(text) <= LONGEST_TITLE else text[:LONGEST_TITLE].rsplit(" ", 1)[0] + " …"
    xml = readalong_xml(times, mel, language=language)
    return f"""<!DOCTYPE html>
<html lang="{escape(language)}">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{STYLE}</style>
</head>
<body>
<read-along href="{_data("application/readalong+xml", xml.encode())}" audio="{_data("audio/wav", wav)}">
<p>
{spans}
</p>
</read-along>
<footer><audio controls></audio></footer>
<script>{SCRIPT}</script>
</body>
</html>
"""


def _data(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{b64encode(content).decode()}"
