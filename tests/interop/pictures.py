"""Judges video files and snapshots: size and rate by ffprobe, and the stamp of z5's test pattern in decoded pictures.

The stamp is read from scratch here, from what ffmpeg decodes: 4 rows of 20 cells, light or dark, in the upper left corner;
32 bits of number, 32 of milliseconds, a check sum and a mark. Independent of z5's own reading.
"""

import json
import subprocess
from pathlib import Path

FILM = Path(__file__).resolve().parents[2] / "z5-media/assets/film.h264"
COLUMNS, CELLS, ROWS = 22, 20, 4
MARK = 0b10110010


def probe(path):
    """Codec, width, height and pictures that ffprobe could decode."""
    out = subprocess.run(
        ["ffprobe", "-v", "error", "-count_frames", "-select_streams", "v:0", "-show_entries",
         "stream=codec_name,width,height,nb_read_frames", "-of", "json", path],
        check=True, capture_output=True, text=True,
    )
    stream = json.loads(out.stdout)["streams"][0]
    return stream["codec_name"], stream["width"], stream["height"], int(stream.get("nb_read_frames", 0))


def stamps(path):
    """The numbers stamped into the pictures of a film or image; None for a picture without a stamp."""
    _, width, height, _ = probe(path)
    raw = subprocess.run(
        ["ffmpeg", "-v", "error", "-i", path, "-f", "rawvideo", "-pix_fmt", "gray", "-"], check=True, capture_output=True
    ).stdout
    size = width * height
    return [stamp(raw[at : at + size], width) for at in range(0, len(raw) - size + 1, size)]


def stamp(luma, width):
    cell = width // COLUMNS
    bits = 0
    for n in range(CELLS * ROWS):
        left, top = n % CELLS * cell + cell // 4, n // CELLS * cell + cell // 4
        lines = [luma[line * width + left :][: cell // 2] for line in range(top, top + cell // 2)]
        bits = bits << 1 | (sum(map(sum, lines)) > 128 * (cell // 2) ** 2)
    body, check, mark = bits >> 16, bits >> 8 & 0xFF, bits & 0xFF
    wanted = 0x5A
    for byte in body.to_bytes(8, "big"):
        wanted = ((wanted << 3 | wanted >> 5) & 0xFF) ^ byte
    return body >> 32 if (check, mark) == (wanted, MARK) else None


def film_to_send(target):
    """The built-in film of z5, long enough for a call, as a file that baresip plays."""
    long = target.with_suffix(".h264")
    long.write_bytes(FILM.read_bytes() * 10)
    subprocess.run(["ffmpeg", "-v", "error", "-y", "-r", "25", "-i", long, "-c", "copy", target], check=True)
    return target


def moving(numbers):
    """What is wrong with the stamps of a recording, or None: most must be readable, and they must go on."""
    read = [n for n in numbers if n is not None]
    if len(numbers) < 10 or len(read) < 0.9 * len(numbers):
        return f"{len(read)} of {len(numbers)} pictures have a readable stamp"
    changes = sum(a != b for a, b in zip(read, read[1:]))
    if changes < 0.8 * (len(read) - 1):
        return f"only {changes} of {len(read)} pictures differ from the one before"
    return None
