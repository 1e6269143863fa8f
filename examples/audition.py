"""One sentence through several vocoders, to compare by ear: unmatched, control, matched.

    python examples/audition.py
    python examples/audition.py --voice TEXT_TO_SPEC UNMATCHED CONTROL MATCHED

The text-to-spec model is deterministic, so that all vocoders hear the same spec. Without --voice, the bundled
starter voice speaks.
"""

import argparse
from pathlib import Path

import retimbre


def main() -> None:
    """One file per vocoder, numbered in the order given."""
    parser = argparse.ArgumentParser(description="One sentence, several vocoders.")
    parser.add_argument("vocoders", nargs="*", help="spec-to-wav checkpoints; default: the voice's own")
    parser.add_argument("--voice", help="text-to-spec checkpoint, or a folder with both")
    parser.add_argument("--text", default="Good morning.")
    parser.add_argument("--output-dir", type=Path, default=Path("audition"))
    arguments = parser.parse_args()

    arguments.output_dir.mkdir(parents=True, exist_ok=True)
    for number, vocoder in enumerate(arguments.vocoders or [None], start=1):
        if vocoder is not None:
            print(retimbre.identify(vocoder).to_text())
        voice = retimbre.load_voice(arguments.voice, vocoder=vocoder)
        path = arguments.output_dir / f"{number}.wav"
        voice.speak(arguments.text).save(path)
        print(f"{path}: {vocoder or 'its own vocoder'}")


if __name__ == "__main__":
    main()
