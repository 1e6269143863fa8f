"""Speak a sentence and write it to a file.

    python examples/speak.py
    python examples/speak.py --text "How are you?" --output how.wav
    python examples/speak.py --voice TEXT_TO_SPEC --vocoder SPEC_TO_WAV

Without --voice, the bundled starter voice speaks.
"""

import argparse

import retimbre


def main() -> None:
    """Read the arguments, speak, save."""
    parser = argparse.ArgumentParser(description="Speak a sentence.")
    parser.add_argument("--voice", help="text-to-spec checkpoint, or a folder with both")
    parser.add_argument("--vocoder", help="spec-to-wav checkpoint; default: the one in the folder")
    parser.add_argument("--text", default="Good morning.")
    parser.add_argument("--output", default="spoken.wav")
    arguments = parser.parse_args()

    voice = retimbre.load_voice(arguments.voice, vocoder=arguments.vocoder)
    audio = voice.speak(arguments.text)
    audio.save(arguments.output)
    print(f"{arguments.output}: {audio.duration_s:.2f} s at {audio.sample_rate_hz:,} Hz")


if __name__ == "__main__":
    main()
