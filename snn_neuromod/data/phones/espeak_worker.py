"""Speech synthesis in a process of its own, as espeak-ng keeps global state.

Run as a script; imports nothing of this package. Each line of standard input is one request, a JSON
object {"text", "voice", "seed", "parameters": {number: value}}. The answer on standard output is a
line of JSON {"rate", "samples", "phonemes": [[sample, mnemonic], ...]}, then the samples as 16-bit
integers of the machine.

References:
    espeak-ng 1.52, `speak_lib.h`: the calls, constants and structures used here.
"""

from __future__ import annotations

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any

_SYNCHRONOUS, _PHONEME_EVENTS, _DONT_EXIT = 2, 1, 0x8000
_UTF8 = 1
_EVENT_END, _EVENT_PHONEME = 0, 7


class _Id(ctypes.Union):
    _fields_ = (
        ("number", ctypes.c_int),
        ("name", ctypes.c_char_p),
        ("string", ctypes.c_char * 8),
    )


class _Event(ctypes.Structure):
    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


_Callback = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(_Event)
)


class Synthesiser:
    """The one espeak-ng of this process."""

    def __init__(self) -> None:
        import espeakng_loader

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self._data = Path(espeakng_loader.get_data_path())
        data = str(self._data).encode()
        flags = _PHONEME_EVENTS | _DONT_EXIT
        self.rate = self._library.espeak_Initialize(_SYNCHRONOUS, 0, data, flags)
        if self.rate <= 0:
            raise RuntimeError(f"espeak-ng cannot be initialised, error {self.rate}")
        self._samples = bytearray()
        self._phonemes: list[tuple[int, str]] = []
        # The library keeps the pointer only: the object must live as long.
        self._callback = _Callback(self._receive)
        self._library.espeak_SetSynthCallback(self._callback)

    def _receive(self, samples: Any, count: int, events: Any) -> int:
        if samples and count > 0:
            self._samples += ctypes.string_at(samples, 2 * count)
        index = 0
        while events[index].type != _EVENT_END:
            if events[index].type == _EVENT_PHONEME:
                mnemonic = events[index].id.string.decode("utf-8", "replace")
                self._phonemes.append((events[index].sample, mnemonic))
            index += 1
        return 0

    def speak(
        self, text: str, voice: str, seed: int, parameters: dict[str, int]
    ) -> tuple[bytes, list[tuple[int, str]]]:
        """Samples and phoneme events of a text."""
        self._samples.clear()
        self._phonemes.clear()
        # The library takes the plain voice for one with an unknown variant.
        variant = self._data / "voices" / "!v" / voice.partition("+")[2]
        if not variant.exists() or self._library.espeak_SetVoiceByName(voice.encode()):
            raise RuntimeError(f"espeak-ng has no voice {voice!r}")
        for number, value in parameters.items():
            self._library.espeak_SetParameter(int(number), value, 0)
        self._library.espeak_ng_SetRandSeed(ctypes.c_long(seed))
        raw = text.encode()
        status = self._library.espeak_Synth(raw, len(raw) + 1, 0, 1, 0, _UTF8, None, None)
        if status:
            raise RuntimeError(f"espeak-ng cannot speak {text!r}, error {status}")
        self._library.espeak_Synchronize()
        return bytes(self._samples), list(self._phonemes)


def main() -> None:
    """Answer requests until standard input ends."""
    # Whatever the library prints goes to standard error.
    output = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    synthesiser = Synthesiser()
    for line in sys.stdin.buffer:
        samples, phonemes = synthesiser.speak(**json.loads(line))
        head = {"rate": synthesiser.rate, "samples": len(samples) // 2, "phonemes": phonemes}
        output.write(json.dumps(head).encode() + b"\n" + samples)
        output.flush()


if __name__ == "__main__":
    main()
