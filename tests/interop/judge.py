"""Judges recorded WAV files: is a tone of a given frequency there, and how loud? Independent of z5's own analysis."""

import math
import struct
import wave


def samples(path):
    """(rate, samples as floats in -1..1) of a mono or stereo 16-bit file; stereo is averaged."""
    with wave.open(str(path), "rb") as f:
        if f.getsampwidth() != 2:
            raise ValueError(f"{path}: {f.getsampwidth() * 8}-bit samples, 16 wanted")
        raw, channels, rate = f.readframes(f.getnframes()), f.getnchannels(), f.getframerate()
    values = struct.unpack(f"<{len(raw) // 2}h", raw)
    return rate, [sum(values[i : i + channels]) / channels / 32768 for i in range(0, len(values), channels)]


def amplitude(values, rate, hz):
    """Amplitude of the component at `hz`, Hann-windowed so that a near miss does not count."""
    n = len(values)
    re = im = weight = 0.0
    for i, v in enumerate(values):
        w = 0.5 - 0.5 * math.cos(2 * math.pi * i / n)
        weight += w
        re += w * v * math.cos(2 * math.pi * hz * i / rate)
        im += w * v * math.sin(2 * math.pi * hz * i / rate)
    return 2 * math.hypot(re, im) / weight


def tone(path, hz, level_dbfs, tolerance_db=1.0, seconds=1.0):
    """None when `path` holds a clean second of a tone of `hz` at `level_dbfs` (RMS of the sine), else what is wrong.

    Any one second will do: set-up and hang-up cut the ends, and a busy machine may tear a hole somewhere.
    """
    rate, values = samples(path)
    if rate >= 32000:
        # fewer samples to judge; the mean of neighbours takes a quarter of a dB off 1 kHz
        step = rate // 8000
        values = [sum(values[at : at + step]) / step for at in range(0, len(values) - step + 1, step)]
        rate //= step
    length = int(rate * seconds)
    if len(values) < length:
        return f"{len(values) / rate:.2f} s recorded, at least {seconds} s wanted"
    verdicts = []
    for first in range(0, len(values) - length + 1, length // 4):
        verdicts.append(fault(values[first : first + length], rate, hz, level_dbfs, tolerance_db))
        if verdicts[-1] is None:
            return None
    return verdicts[len(verdicts) // 2]


def fault(values, rate, hz, level_dbfs, tolerance_db):
    """What is wrong with this stretch, or None."""
    total = math.sqrt(sum(v * v for v in values) / len(values))
    if total < 1e-4:
        return "silence"
    peak = max((hz + offset for offset in range(-12, 13, 4)), key=lambda f: amplitude(values, rate, f))
    found = amplitude(values, rate, peak) / math.sqrt(2)
    level = 20 * math.log10(max(found, 1e-9))
    share = (found / total) ** 2
    if abs(peak - hz) > 4:
        return f"strongest at {peak} Hz, {hz} Hz wanted"
    if abs(level - level_dbfs) > tolerance_db:
        return f"{level:.1f} dBFS at {hz} Hz, {level_dbfs:.1f} wanted"
    if share < 0.9:
        return f"only {share:.0%} of the energy is at {hz} Hz"
    return None
