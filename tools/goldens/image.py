"""Writes tests/image/data: small images in every format with the pixels Pillow sees in them, CRC32s of
its resizes, and what the image processors of transformers, timm and open_clip make of two photographs.
usage: image.py [--sample FOLDER]     (FOLDER: the unpacked imagenet1k-sample; its CRC32s are written too)"""
import argparse
import io
import json
import pathlib
import shutil
import struct
import warnings
import zlib

import numpy as np
from PIL import Image, ImageOps

warnings.filterwarnings("ignore")
parser = argparse.ArgumentParser()
parser.add_argument("--sample", type=pathlib.Path)
args = parser.parse_args()
out = pathlib.Path(__file__).resolve().parents[2] / "tests/image/data"
shutil.rmtree(out / "formats", ignore_errors=True)
(out / "formats").mkdir(parents=True)


def noise(count, seed):
    """Bytes that the C++ tests make again: a hash of their position."""
    v = np.arange(count, dtype=np.uint64) * 2654435761 + seed * 40503 & 0xFFFFFFFF
    v = (v ^ v >> 15) * 0x85EBCA6B & 0xFFFFFFFF
    return ((v ^ v >> 13) >> 8 & 255).astype(np.uint8)


def noise_image(height, width, seed):
    return Image.fromarray(noise(height * width * 3, seed).reshape(height, width, 3))


def photo(height=23, width=29, channels=3):
    """Structure at all scales, and some noise."""
    y, x = np.mgrid[0:height, 0:width]
    base = np.stack([128 + 110 * np.sin(x / (3 + c) + y / 7 + c) for c in range(channels)], -1)
    base += noise(base.size, 1).reshape(base.shape) / 8.0 - 16
    return np.clip(base, 0, 255).astype(np.uint8)


def crc(image):
    return zlib.crc32(np.ascontiguousarray(np.asarray(image)).tobytes())


# ---- formats -----------------------------------------------------------------------------------------
expected, pixels = [], bytearray()


def add(name, data):
    """The pixels as stored and, where they differ, after the EXIF orientation."""
    (out / "formats" / name).write_bytes(data)
    image = Image.open(io.BytesIO(data))
    form = image.format
    image.load()  # TIFF is turned by loading
    plain = image.convert("RGB")
    turned = ImageOps.exif_transpose(image).convert("RGB")
    entry = {"file": name, "format": {"PPM": "pnm"}.get(form, form.lower()), "mode": image.mode,
             "size": list(plain.size), "offset": len(pixels)}
    pixels.extend(plain.tobytes())
    if turned.tobytes() != plain.tobytes() or turned.size != plain.size:
        entry["turned"] = {"size": list(turned.size), "crc": crc(turned)}
    expected.append(entry)


def saved(image, form, **options):
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


rgb = Image.fromarray(photo())
grey = rgb.convert("L")
rgba = Image.fromarray(photo(channels=4), "RGBA")
palette = rgb.quantize(64)
inks = Image.fromarray(photo(channels=4), "CMYK")


def exif(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    return data


def jpeg_segment(data, marker):
    """Where the first segment of this marker lies: begin, end."""
    at = 2
    while data[at + 1] != marker:
        at += 2 + struct.unpack(">H", data[at + 2:at + 4])[0]
    return at, at + 2 + struct.unpack(">H", data[at + 2:at + 4])[0]


def jpegs():
    for name, subsampling in (("444", 0), ("422", 1), ("420", 2)):
        add(f"jpeg_{name}.jpg", saved(rgb, "JPEG", quality=90, subsampling=subsampling))
    add("jpeg_progressive.jpg", saved(rgb, "JPEG", quality=80, progressive=True))
    add("jpeg_progressive_444.jpg", saved(rgb, "JPEG", quality=95, progressive=True, subsampling=0))
    add("jpeg_rough.jpg", saved(rgb, "JPEG", quality=5))
    add("jpeg_restarts.jpg", saved(rgb, "JPEG", restart_marker_blocks=2))
    add("jpeg_optimised.jpg", saved(rgb, "JPEG", optimize=True))
    add("jpeg_rgb.jpg", saved(rgb, "JPEG", keep_rgb=True, quality=90))
    add("jpeg_grey.jpg", saved(grey, "JPEG", quality=85))
    add("jpeg_grey_progressive.jpg", saved(grey, "JPEG", quality=85, progressive=True))
    for height, width in ((1, 1), (1, 9), (9, 1), (8, 8), (16, 17), (3, 2)):
        add(f"jpeg_{height}x{width}.jpg", saved(rgb.crop((0, 0, width, height)), "JPEG", quality=90))
    tall = bytearray(saved(Image.fromarray(photo(32, 32)), "JPEG", quality=90, subsampling=1))
    start = jpeg_segment(tall, 0xC0)[0]
    assert tall[start + 11] == 0x21
    tall[start + 11] = 0x12  # as many blocks, the other way round
    add("jpeg_440.jpg", bytes(tall))
    cmyk = saved(inks, "JPEG", quality=90)
    begin, end = jpeg_segment(cmyk, 0xEE)
    ycck = cmyk[:end - 1] + b"\2" + cmyk[end:]  # Adobe's transform: YCCK
    add("jpeg_cmyk.jpg", cmyk)
    add("jpeg_ycck.jpg", ycck)
    add("jpeg_cmyk_not_adobe.jpg", cmyk[:begin] + cmyk[end:])
    add("jpeg_cmyk_progressive.jpg", saved(inks, "JPEG", quality=90, progressive=True))
    for orientation in range(1, 9):
        add(f"jpeg_exif{orientation}.jpg", saved(rgb, "JPEG", exif=exif(orientation), quality=75))
    add("jpeg_exif_invalid.jpg", saved(rgb, "JPEG", exif=exif(77), quality=75))
    plain = saved(rgb, "JPEG", quality=75)
    add("jpeg_garbage_after.jpg", plain + b"\0garbage" * 9)
    add("jpeg_comment.jpg", saved(rgb, "JPEG", comment=b"x" * 300, icc_profile=b"p" * 70000))


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, depth, kind, interlaced=False, extra=b"", filters=True):
    """Any bit depth and kind; samples [H, W, C]."""
    height, width, channels = samples.shape

    def rows(part):
        data = b""
        before = np.zeros(1)
        for i, row in enumerate(part):
            flat = row.reshape(-1).astype(np.uint32)
            if depth == 16:
                line = flat.astype(">u2").tobytes()
            elif depth == 8:
                line = flat.astype(np.uint8).tobytes()
            else:
                bits = (flat[:, None] >> np.arange(depth - 1, -1, -1)) & 1
                line = np.packbits(bits.reshape(-1).astype(np.uint8)).tobytes()
            line = np.frombuffer(line, np.uint8)
            if filters and i % 2 and len(before) == len(line):  # filter 2: up
                data += b"\2" + (line - before).astype(np.uint8).tobytes()
            else:
                data += b"\0" + line.tobytes()
            before = line
        return data

    if interlaced:
        passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
        parts = [samples[y::dy, x::dx] for y, x, dy, dx in passes]
        body = b"".join(rows(p) for p in parts if p.size)
    else:
        body = rows(samples)
    header = struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, int(interlaced))
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(body, 9)) +
            chunk(b"IEND", b""))


def pngs():
    names = {0: ("grey", 1), 2: ("rgb", 3), 3: ("palette", 1), 4: ("grey_alpha", 2), 6: ("rgba", 4)}
    for kind, depths in ((0, (1, 2, 4, 8, 16)), (2, (8, 16)), (3, (1, 2, 4, 8)), (4, (8, 16)), (6, (8, 16))):
        name, channels = names[kind]
        for depth in depths:
            for interlaced in (False, True):
                wide = photo(19, 23, 4)[:, :, :channels].astype(np.uint32)
                low = noise(wide.size, 5).reshape(wide.shape)
                samples = wide * 256 + low if depth == 16 else wide >> (8 - depth)
                if depth == 16 and kind == 0:
                    samples[:, ::2] >>= 8  # some of the values Pillow does not clip
                colours = chunk(b"PLTE", noise(3 << depth, 2).tobytes()) if kind == 3 else b""
                add(f"png_{name}{depth}{'_interlaced' if interlaced else ''}.png",
                    png(samples, depth, kind, interlaced, colours))
    small = photo(9, 11)
    index = (small[:, :, :1] >> 4).astype(np.uint32)
    colours = chunk(b"PLTE", noise(48, 3).tobytes())
    add("png_palette_alpha.png", png(index, 4, 3, extra=colours + chunk(b"tRNS", bytes(range(0, 160, 10)))))
    add("png_palette_one_clear.png", png(index, 8, 3, extra=colours + chunk(b"tRNS", b"\xff\xff\xff\0")))
    add("png_grey_clear.png", png(small[:, :, :1], 8, 0, extra=chunk(b"tRNS", struct.pack(">H", int(small[0, 0, 0])))))
    add("png_grey2_clear.png", png(small[:, :, :1] >> 6, 2, 0, extra=chunk(b"tRNS", b"\0\1")))
    add("png_grey16_clear.png", png(small[:, :, :1].astype(np.uint32) * 256, 16, 0, extra=chunk(b"tRNS", b"\0\1")))
    add("png_rgb_clear.png", png(small, 8, 2, extra=chunk(b"tRNS", struct.pack(">3H", *map(int, small[0, 0])))))
    add("png_rgb16_clear.png", png(small.astype(np.uint32) * 257, 16, 2, extra=chunk(b"tRNS", b"\0\1\0\1\0\1")))
    add("png_gamma.png", png(small, 8, 2, extra=chunk(b"gAMA", struct.pack(">I", 100000))))
    add("png_profile.png", saved(rgb.crop((0, 0, 9, 9)), "PNG", icc_profile=b"p" * 300, dpi=(72, 72)))
    add("png_1x1.png", png(small[:1, :1], 8, 2, interlaced=True))
    for orientation in (3, 6):
        add(f"png_exif{orientation}.png", saved(rgb.crop((0, 0, 12, 9)), "PNG", exif=exif(orientation)))
    add("png_animated.png", saved(rgb, "PNG", save_all=True, append_images=[rgb.rotate(180)]))


def webps():
    part = rgb.crop((0, 0, 27, 21))
    add("webp_lossy.webp", saved(part, "WEBP", quality=80))
    add("webp_rough.webp", saved(part, "WEBP", quality=5))
    add("webp_lossless.webp", saved(part, "WEBP", lossless=True))
    add("webp_alpha.webp", saved(rgba, "WEBP", quality=80))
    add("webp_alpha_lossless.webp", saved(rgba, "WEBP", lossless=True, exact=True))
    add("webp_exif6.webp", saved(part, "WEBP", exif=exif(6)))
    add("webp_profile.webp", saved(part, "WEBP", icc_profile=b"p" * 50))
    add("webp_animated.webp", saved(part, "WEBP", save_all=True, append_images=[part.rotate(180)], lossless=True))
    add("webp_1x1.webp", saved(rgb.crop((0, 0, 1, 1)), "WEBP", lossless=True))


def gif(width, height, left, top, frame_width, frame_height, index, transparent=None, background=0, local=False):
    """One uncompressed frame, of 8 colours, anywhere on the screen."""
    colours = noise(24, 7).tobytes()
    data = b"GIF89a" + struct.pack("<HHBBB", width, height, 0x70 | (0 if local else 0x82), background, 0)
    if not local:
        data += colours
    if transparent is not None:
        data += b"\x21\xf9\x04\x01\0\0" + bytes([transparent]) + b"\0"
    data += b"," + struct.pack("<HHHHB", left, top, frame_width, frame_height, 0x82 if local else 0)
    if local:
        data += colours
    bits = ""
    for i, value in enumerate(index):  # 4-bit codes, cleared so often that they never widen
        if i % 4 == 0:
            bits = f"{8:04b}" + bits
        bits = f"{value:04b}" + bits
    bits = f"{9:04b}" + bits
    bits = "0" * (-len(bits) % 8) + bits
    stream = int(bits, 2).to_bytes(len(bits) // 8, "little")
    data += b"\3"
    while stream:
        data += bytes([len(stream[:255])]) + stream[:255]
        stream = stream[255:]
    return data + b"\0;"


def gifs():
    add("gif_interlaced.gif", saved(palette, "GIF", interlace=1))
    add("gif_plain.gif", saved(palette, "GIF", interlace=0))
    add("gif_grey.gif", saved(grey, "GIF"))
    add("gif_transparent.gif", saved(palette, "GIF", transparency=3))
    add("gif_animated.gif", saved(palette, "GIF", save_all=True, append_images=[palette.rotate(180)]))
    index = (noise(20, 4) & 7).tolist()
    add("gif_whole.gif", gif(5, 4, 0, 0, 5, 4, index))
    add("gif_part.gif", gif(9, 8, 2, 3, 5, 4, index, background=5))
    add("gif_part_transparent.gif", gif(9, 8, 2, 3, 5, 4, index, transparent=6))
    add("gif_local.gif", gif(9, 8, 4, 4, 5, 4, index, local=True))


def bmp(bits, data, width, height, compression=0, colours=b"", masks=b"", header=40):
    """A BITMAPINFOHEADER or OS/2's of 12 bytes."""
    start = 14 + header + len(masks) + len(colours)
    if header == 12:
        info = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        info = struct.pack("<IiiHHIIiiII", 40, width, height, 1, bits, compression, len(data), 0, 0,
                           len(colours) // 4, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + info + masks + colours + data


def bmps():
    add("bmp_1.bmp", saved(grey.convert("1"), "BMP"))
    add("bmp_grey.bmp", saved(grey, "BMP"))
    add("bmp_8.bmp", saved(palette, "BMP"))
    add("bmp_24.bmp", saved(rgb, "BMP"))
    add("bmp_32.bmp", saved(rgba, "BMP"))
    four = noise(8 * 5, 11).tobytes()  # 15 pixels and padding, 5 rows
    add("bmp_4.bmp", bmp(4, four, 15, 5, colours=noise(64, 12).tobytes()))
    add("bmp_top_down.bmp", bmp(24, noise(24 * 5, 13).tobytes(), 7, -5))
    add("bmp_16.bmp", bmp(16, noise(16 * 5, 14).tobytes(), 7, 5))
    add("bmp_565.bmp", bmp(16, noise(16 * 5, 15).tobytes(), 7, 5, 3, masks=struct.pack("<3I", 0xF800, 0x7E0, 0x1F)))
    add("bmp_fields32.bmp", bmp(32, noise(28 * 5, 16).tobytes(), 7, 5, 3, masks=struct.pack("<3I", 0xFF0000, 0xFF00, 0xFF)))
    add("bmp_os2.bmp", bmp(24, noise(24 * 5, 17).tobytes(), 7, 5, header=12))
    add("bmp_os2_8.bmp", bmp(8, noise(8 * 5, 18).tobytes(), 7, 5, header=12, colours=noise(768, 19).tobytes()))
    runs = b"\5\1" + b"\0\3\7\x09\4\0" + b"\0\0" + b"\2\6" + b"\0\2\3\1" + b"\3\5\0\0" + b"\x08\2\0\0" + b"\x08\3\0\1"
    add("bmp_rle8.bmp", bmp(8, runs, 8, 5, 1, colours=noise(1024, 20).tobytes()))
    runs = b"\5\x12" + b"\0\3\x7a\x90" + b"\0\0" + b"\x08\x61" + b"\0\0" + b"\x08\x55\0\0" + b"\7\x23\1\x90\0\0" + b"\x08\x31\0\1"
    add("bmp_rle4.bmp", bmp(4, runs, 8, 5, 2, colours=noise(64, 21).tobytes()))


def tiff(parts, height, width, order="<", bits=8, rows=None, compression=1, planes=False, tile=None):
    """RGB in strips or tiles; the directory follows them."""
    code = order.replace("<", "II").replace(">", "MM").encode()
    offsets, body = [], b""
    for part in parts:
        offsets.append(8 + len(body))
        body += part + b"\0" * (len(part) % 2)
    sizes = [len(part) for part in parts]
    tags = [(256, 3, [width]), (257, 3, [height]), (258, 3, [bits] * 3), (259, 3, [compression]), (262, 3, [2]),
            (277, 3, [3]), (284, 3, [2 if planes else 1])]
    if tile:
        tags += [(322, 3, [tile[1]]), (323, 3, [tile[0]]), (324, 4, offsets), (325, 4, sizes)]
    else:
        tags += [(273, 4, offsets), (278, 3, [rows or height]), (279, 4, sizes)]
    directory, at = 8 + len(body), 8 + len(body) + 2 + 12 * len(tags) + 4
    entries, rest = b"", b""
    for tag, kind, values in sorted(tags):
        data = struct.pack(order + {3: "H", 4: "I"}[kind] * len(values), *values)
        if len(data) > 4:
            rest, data = rest + data, struct.pack(order + "I", at + len(rest))
        entries += struct.pack(order + "HHI", tag, kind, len(values)) + data.ljust(4, b"\0")
    return (code + struct.pack(order + "HI", 42, directory) + body + struct.pack(order + "H", len(tags)) + entries +
            b"\0" * 4 + rest)


def tiffs():
    add("tiff_rgb.tif", saved(rgb, "TIFF"))
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        add(f"tiff_{compression.replace('tiff_', '')}.tif", saved(rgb, "TIFF", compression=compression))
    add("tiff_lzw_predictor.tif", saved(rgb, "TIFF", compression="tiff_lzw", tiffinfo={317: 2}))
    add("tiff_grey.tif", saved(grey, "TIFF"))
    add("tiff_grey_lzw.tif", saved(grey, "TIFF", compression="tiff_lzw"))
    add("tiff_1.tif", saved(grey.convert("1"), "TIFF"))
    add("tiff_g4.tif", saved(grey.convert("1"), "TIFF", compression="group4"))
    add("tiff_palette.tif", saved(palette, "TIFF"))
    add("tiff_rgba.tif", saved(rgba, "TIFF"))
    add("tiff_grey_alpha.tif", saved(rgba.convert("LA"), "TIFF", compression="tiff_lzw"))
    add("tiff_cmyk.tif", saved(inks, "TIFF", compression="tiff_lzw"))
    wide = np.asarray(grey).astype(np.uint16)
    wide = np.where(np.arange(wide.shape[1]) % 2, wide, wide * 256 + 99).astype(np.uint16)
    add("tiff_grey16.tif", saved(Image.fromarray(wide), "TIFF"))
    add("tiff_float.tif", saved(Image.fromarray(np.asarray(grey).astype(np.float32) * 1.5 - 40), "TIFF"))
    add("tiff_white_is_zero.tif", saved(grey, "TIFF", tiffinfo={262: 0}))
    for orientation in range(1, 9):
        add(f"tiff_exif{orientation}.tif", saved(rgb.crop((0, 0, 12, 9)), "TIFF", tiffinfo={274: orientation}))
    samples = photo(26, 50)
    add("tiff_big_endian.tif", tiff([samples.tobytes()], 26, 50, order=">"))
    add("tiff_big_endian16.tif", tiff([samples.astype(">u2").tobytes()], 26, 50, order=">", bits=16))
    add("tiff_planes.tif", tiff([samples[:, :, c].tobytes() for c in range(3)], 26, 50, planes=True))
    add("tiff_strips.tif", tiff([zlib.compress(samples[y:y + 7].tobytes()) for y in range(0, 26, 7)], 26, 50, rows=7,
                                compression=8))
    framed = np.zeros((32, 64, 3), np.uint8)
    framed[:26, :50] = samples
    tiles = [framed[y:y + 16, x:x + 32].tobytes() for y in range(0, 32, 16) for x in range(0, 64, 32)]
    add("tiff_tiles.tif", tiff(tiles, 26, 50, tile=(16, 32)))
    wide = samples.astype(np.uint16) * 256 + samples[::-1]
    add("tiff_rgb16.tif", tiff([wide.astype("<u2").tobytes()], 26, 50, bits=16))


def pnms():
    flat = rgb.crop((0, 0, 13, 11))
    add("pnm_p6.ppm", saved(flat, "PPM"))
    add("pnm_p5.pgm", saved(flat.convert("L"), "PPM"))
    add("pnm_p4.pbm", saved(flat.convert("1"), "PPM"))
    values = (noise(18, 30) % 100).tolist()
    add("pnm_p1.pbm", b"P1\n# a comment\n5 3\n10110\n1 0 0 1 1\n00111\n")
    add("pnm_p2.pgm", b"P2 6 3 99\n" + " ".join(map(str, values)).encode() + b"\n")
    add("pnm_p3.ppm", b"P3\n3 # wide\n2\n99\n" + "\n".join(map(str, values)).encode())
    add("pnm_p5_15.pgm", b"P5 6 3 15\n" + bytes(v % 16 for v in values))
    add("pnm_p5_99.pgm", b"P5 6 3 99\n" + bytes(values))
    add("pnm_p5_16.pgm", b"P5 5 4 65535\n" + noise(40, 31).tobytes())
    add("pnm_p5_1000.pgm", b"P5 5 4 1000\n" + (noise(20, 32).astype(np.uint16) * 3).astype(">u2").tobytes())
    add("pnm_p6_16.ppm", b"P6 5 4 65535\n" + noise(120, 33).tobytes())
    add("pnm_p6_31.ppm", b"P6 3 2 31\n" + bytes(v % 32 for v in values))


# ---- resize ------------------------------------------------------------------------------------------
def resizes():
    """Lines of height width, new height and width, filter, CRC32; the image is noise of seed height."""
    small = [(1, 1), (1, 9), (9, 1), (2, 3), (17, 23), (64, 48), (101, 77)]
    targets = [(1, 1), (1, 7), (7, 1), (3, 2), (16, 16), (23, 17), (31, 5), (97, 131)]
    pairs = [(a, b) for a in small for b in targets]
    pairs += [((17, 23), (17, 40)), ((17, 23), (40, 23)), ((17, 23), (17, 23)), ((375, 500), (224, 298)),
              ((500, 333), (336, 224)), ((224, 224), (384, 384)), ((900, 1200), (32, 43)), ((3, 2000), (5, 30)),
              ((2000, 3), (30, 5)), ((240, 320), (239, 319)), ((63, 65), (21, 13))]
    pairs += [((50 + i * 7 % 41, 45 + i * 11 % 53), (20 + i * 13 % 61, 15 + i * 17 % 71)) for i in range(40)]
    pairs += [((5000, 50), (100, 40)), ((1, 50), (1, 20)), ((300, 40), (20, 39))]
    lines = []
    for (h, w), (height, width) in pairs:
        image = noise_image(h, w, h)
        for kernel in range(6):
            lines.append(f"{h} {w} {height} {width} {kernel} {crc(image.resize((width, height), kernel))}")
    (out / "resize_crc.txt").write_text("\n".join(lines) + "\n")


def sample(folder):
    """Lines of name, CRC32 of the pixels, CRC32 after the shorter side became 224."""
    lines = []
    for file in sorted(folder.glob("*.jpg")):
        image = Image.open(file).convert("RGB")
        short = min(image.size)
        size = [224 if n == short else int(224 * n / short) for n in image.size]
        lines.append(f"{file.name} {crc(image)} {crc(image.resize(size, Image.BICUBIC))}")
    (out / "imagenet1k_sample_crc.txt").write_text("\n".join(lines) + "\n")


# ---- processors --------------------------------------------------------------------------------------
def processors():
    """Some 300 numbers of each [H, W, 3], f32, in steps that meet every channel; noise images of several shapes."""
    import open_clip
    import timm.data
    import transformers

    cases, numbers = [], bytearray()
    clip = {"image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711]}
    half = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.5, 0.5, 0.5]}
    imagenet = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}

    def record(kind, config, run, **extra):
        for shape in ((61, 97), (120, 50), (33, 20)):
            image = noise_image(*shape, seed=shape[0])
            values = np.asarray(run(image), np.float32)
            values = np.ascontiguousarray(values.transpose(1, 2, 0))
            step = max(values.size // 900 * 3 + 1, 19)
            cases.append({"kind": kind, "config": config, "image": list(shape), "size": list(values.shape[:2]),
                          "offset": len(numbers) // 4, "step": step, **extra})
            numbers.extend(values.reshape(-1)[::step].tobytes())

    def hf(kind, **config):
        cls = getattr(transformers, kind + "Pil")
        config = {"image_processor_type": kind, **config}
        options = {k: v for k, v in config.items() if k != "image_processor_type"}
        record("transformers", config, lambda image: cls(**options)(image)["pixel_values"][0])

    def squared(n):
        return {"height": n, "width": n}

    hf("CLIPImageProcessor", size={"shortest_edge": 48}, crop_size=squared(48), resample=3, **clip)
    hf("CLIPImageProcessor", size={"shortest_edge": 41}, crop_size={"height": 30, "width": 37}, **clip)
    hf("CLIPImageProcessor", size=48, crop_size=48, do_center_crop=True, do_resize=True, resample=3, **clip)
    hf("CLIPImageProcessor", size={"shortest_edge": 30}, crop_size=squared(45), **clip)
    hf("CLIPImageProcessor", do_resize=False, crop_size=squared(45), **clip)
    hf("CLIPImageProcessor", size=squared(40), do_center_crop=False, **clip)
    hf("CLIPImageProcessor")
    hf("ViTImageProcessor", size=48, **half)
    for kernel in range(6):
        hf("ViTImageProcessor", size={"height": 40, "width": 56}, resample=kernel, **half)
    hf("ViTImageProcessor", size=squared(32), do_normalize=False, **half)
    hf("ViTImageProcessor", size=squared(32), do_rescale=False, do_normalize=False)
    hf("ViTImageProcessor", size=squared(32), rescale_factor=1 / 127.5, image_mean=[1, 1, 1], image_std=[1, 1, 1])
    hf("ViTImageProcessor")
    hf("DeiTImageProcessor", size=squared(50), crop_size=squared(44), do_center_crop=True, resample=3, **imagenet)
    hf("DeiTImageProcessor", size=50, crop_size=44, do_center_crop=True, resample=3, **imagenet)
    hf("DeiTImageProcessor")
    hf("SiglipImageProcessor", size=squared(48), resample=3, **half)
    hf("SiglipImageProcessor")
    hf("BitImageProcessor", size={"shortest_edge": 50}, crop_size=squared(44), resample=3, **imagenet)
    hf("BitImageProcessor")
    hf("ConvNextImageProcessor", size={"shortest_edge": 56}, crop_pct=0.875, resample=3, **imagenet)
    hf("ConvNextImageProcessor", size={"shortest_edge": 48}, **imagenet)
    hf("ConvNextImageProcessor", size={"shortest_edge": 384}, crop_pct=0.875, **imagenet)
    hf("EfficientNetImageProcessor", size=squared(48), resample=0, do_center_crop=False, **imagenet)
    hf("EfficientNetImageProcessor", size=squared(60), crop_size=squared(44), do_center_crop=True, include_top=False,
       rescale_offset=True, rescale_factor=1 / 127.5, **half)
    hf("EfficientNetImageProcessor", size=squared(40), resample=3, include_top=True, rescale_offset=True, **imagenet)

    def timm_case(**config):
        data = timm.data.resolve_data_config(pretrained_cfg=config)
        record("timm", config, timm.data.create_transform(**data))

    for mode in ("center", "squash", "border"):
        for crop_pct in (0.875, 0.9, 1.0):
            timm_case(input_size=[3, 48, 48], crop_pct=crop_pct, crop_mode=mode, interpolation="bicubic",
                      mean=imagenet["image_mean"], std=imagenet["image_std"])
        timm_case(input_size=[3, 40, 56], crop_pct=0.95, crop_mode=mode, interpolation="bilinear",
                  mean=half["image_mean"], std=half["image_std"])
    timm_case(input_size=[3, 45, 45], crop_pct=0.875, interpolation="bicubic")
    timm_case(input_size=[3, 37, 37], crop_pct=0.8, interpolation="lanczos")
    timm_case(input_size=[3, 37, 37], interpolation="nearest")
    timm_case(input_size=[3, 37, 37], test_input_size=[3, 45, 45], crop_pct=0.9, test_crop_pct=1.0)
    timm_case(first_conv="stem")

    for mode in ("shortest", "longest", "squash"):
        for size in ((48, 48), (40, 56)):
            for interpolation in ("bicubic", "bilinear"):
                config = {"mean": clip["image_mean"], "std": clip["image_std"], "resize_mode": mode,
                          "interpolation": interpolation}
                cfg = open_clip.transform.PreprocessCfg(size=size, **config)
                record("open_clip", config, open_clip.transform.image_transform_v2(cfg, is_train=False),
                       height=size[0], width=size[1])
    config = {"resize_mode": "longest", "fill_color": 77}
    cfg = open_clip.transform.PreprocessCfg(size=(48, 48), **config)
    record("open_clip", config, open_clip.transform.image_transform_v2(cfg, is_train=False), height=48, width=48)
    (out / "processors.json").write_text(json.dumps(cases, separators=(",", ":")).replace("},{\"kind", "},\n{\"kind"))
    (out / "processors.bin").write_bytes(bytes(numbers))


for write in (jpegs, pngs, webps, gifs, bmps, tiffs, pnms):
    write()
(out / "formats.json").write_text("[" + ",\n".join(map(json.dumps, expected)) + "]\n")
(out / "formats.bin").write_bytes(bytes(pixels))
resizes()
processors()
if args.sample:
    sample(args.sample)
