"""The container: what is packed comes back, and nothing that is wrong is believed."""

from __future__ import annotations

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support import FIELDS, MODES, assert_no_torch, chunk, examples, flips, pack, with_body, with_fields

from vaecodec.errors import BitstreamError, Corrupt, LimitError, NotAVaeFile, Truncated, Unsupported
from vaecodec.format import container
from vaecodec.format.container import (
    ALPHA,
    CHUNK_TYPES,
    EXACT,
    HEADER_BYTES,
    MAX_SIDE,
    QUALITY_MAX,
    SOFT_ALPHA,
    read_header,
    unpack,
)

PLAIN = pack()
WITH_CHUNKS = pack(mode="RGBA", chunks={ALPHA: b"alpha", b"ICCP": b"profile", b"EXIF": b"", b"XMP ": b"<x/>"})
FILES = {"plain": PLAIN, "chunks": WITH_CHUNKS, "no payload": pack(payload=b"")}


@st.composite
def fields(draw) -> dict:
    """Arguments of `container.pack` that belong together."""
    mode = draw(st.sampled_from(MODES))
    kinds = set(draw(st.lists(st.sampled_from(sorted(set(CHUNK_TYPES) - {ALPHA, SOFT_ALPHA, EXACT})), unique=True)))
    kinds |= {ALPHA} if mode in ("LA", "RGBA", "PA") else set()
    return {
        "width": draw(st.integers(1, MAX_SIDE)),
        "height": draw(st.integers(1, MAX_SIDE)),
        "mode": mode,
        "quality": draw(st.integers(0, QUALITY_MAX)),
        "coding": 0,
        "model_id": draw(st.binary(min_size=4, max_size=4).filter(any)),
        "symbols_crc": draw(st.integers(0, 2**32 - 1)),
        "payload": draw(st.binary(max_size=15)) * 4,
        "chunks": {kind: draw(st.binary(max_size=20)) for kind in sorted(kinds)},
    }


@given(fields())
@examples(500)
def test_what_is_packed_comes_back(given_fields: dict) -> None:
    file = unpack(container.pack(**given_fields), max_pixels=None)
    expected = {k: v for k, v in given_fields.items() if k not in ("payload", "chunks")}
    assert {name: getattr(file.header, name) for name in expected} == expected
    assert file.payload == given_fields["payload"]
    assert file.chunks == given_fields["chunks"]


def test_the_modes_of_the_format_are_frozen() -> None:
    assert container.MODES == MODES


def test_header_is_36_bytes_with_fields_where_the_format_says() -> None:
    data = pack(width=0x030201, height=0x060504, quality=0x0807, payload=b"wordWORD", mode="LA", chunks={ALPHA: b"a"})
    assert HEADER_BYTES == 36
    values = {name: data[where] for name, where in FIELDS.items()}
    assert values == {
        "magic": b"\x89VAE", "version": b"\1", "coding": b"\0", "mode": b"\2", "chunks": b"\1", "model_id": b"\1\2\3\4",
        "width": b"\1\2\3", "height": b"\4\5\6", "quality": b"\7\x08", "payload_bytes": b"\x08\0\0\0",
        "payload_crc": zlib.crc32(b"wordWORD").to_bytes(4, "little"), "symbols_crc": b"\x78\x56\x34\x12",
        "header_crc": zlib.crc32(data[:32]).to_bytes(4, "little"),
    }  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_every_truncation_is_refused(name: str) -> None:
    data = FILES[name]
    for length in range(len(data)):
        with pytest.raises(NotAVaeFile if length == 0 else Truncated):
            unpack(data[:length])


@pytest.mark.parametrize("name", FILES)
def test_every_flipped_bit_is_refused(name: str) -> None:
    for damaged in flips(FILES[name]):
        with pytest.raises(BitstreamError):
            unpack(damaged)


def test_every_flipped_bit_of_the_header_is_refused_by_the_header_alone() -> None:
    for damaged in flips(PLAIN[:HEADER_BYTES]):
        with pytest.raises(BitstreamError):
            read_header(damaged)


def test_the_header_alone_can_be_read() -> None:
    assert read_header(PLAIN[:HEADER_BYTES]) == unpack(PLAIN).header


@pytest.mark.parametrize("data", [b"", b"\x89PNG\r\n\x1a\n" + bytes(40), b"vae", b"\x89VA\0", b"hello, world" * 10])
def test_other_files_are_not_vae_files(data: bytes) -> None:
    with pytest.raises(NotAVaeFile):
        read_header(data)


@pytest.mark.parametrize(
    ("changes", "error", "says"),
    [
        ({"version": 0}, Unsupported, "version 0"),
        ({"version": 2}, Unsupported, "version 2"),
        ({"version": 255}, Unsupported, "version 255"),
        ({"coding": 2}, Unsupported, "coding mode 2"),
        ({"mode": len(MODES)}, Unsupported, f"mode {len(MODES)}"),
        ({"mode": 255}, Unsupported, "mode 255"),
        ({"width": 0}, Corrupt, "0x10"),
        ({"height": 0}, Corrupt, "20x0"),
        ({"quality": QUALITY_MAX + 1}, Corrupt, "quality"),
        ({"chunks": 17}, Corrupt, "17 chunks"),
        ({"payload_bytes": 23}, Corrupt, "multiple of 4"),
        ({"payload_bytes": 28}, Truncated, "24 of 28"),
        ({"payload_bytes": 20}, Corrupt, "4 bytes follow"),
        ({"payload_bytes": 2**32 - 4}, Truncated, "payload"),
        ({"payload_crc": 0}, Corrupt, "payload"),
        ({"chunks": 1}, Truncated, "chunk 0"),
    ],
)
def test_a_header_with_a_fitting_checksum_is_still_checked(changes: dict, error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        unpack(with_fields(PLAIN, **changes))


def test_the_largest_quality_code_is_read() -> None:
    assert read_header(with_fields(PLAIN, quality=QUALITY_MAX)).quality == QUALITY_MAX


@pytest.mark.parametrize("extra", [b"\0", b"\0\0\0\0", PLAIN])
def test_bytes_after_the_end_are_refused(extra: bytes) -> None:
    with pytest.raises(Corrupt, match=f"{len(extra)} bytes follow"):
        unpack(PLAIN + extra)


def deflated(kind: bytes, content: bytes, *, size: int | None = None, after: bytes = b"") -> bytes:
    """A deflated chunk whose CRC fits, that states a size, and after whose stream something stands."""
    length = (len(content) if size is None else size).to_bytes(4, "little")
    return chunk(kind, length + zlib.compress(content) + after)


ALPHA_CHUNK, ICC_CHUNK, EXIF_CHUNK = chunk(ALPHA, b"a"), chunk(b"ICCP", b"i"), chunk(b"EXIF", b"e")


@pytest.mark.parametrize(
    ("mode", "chunks", "error", "says"),
    [
        ("RGB", [chunk(b"NEW ", b"?")], Unsupported, "unknown type b'NEW '"),
        ("RGB", [chunk(b"\xff\0\n\r", b"")], Unsupported, "unknown type"),
        ("RGB", [ICC_CHUNK, ICC_CHUNK], Corrupt, "twice or in the wrong place"),
        ("RGB", [EXIF_CHUNK, ICC_CHUNK], Corrupt, "twice or in the wrong place"),
        ("RGBA", [ALPHA_CHUNK, ALPHA_CHUNK], Corrupt, "twice or in the wrong place"),
        ("RGBA", [ICC_CHUNK, ALPHA_CHUNK], Corrupt, "twice or in the wrong place"),
        ("RGB", [ALPHA_CHUNK], Corrupt, "mode RGB has an alpha chunk"),
        ("RGBA", [ICC_CHUNK], Corrupt, "mode RGBA lacks an alpha chunk"),
        ("PA", [], Corrupt, "mode PA lacks an alpha chunk"),
        ("LA", [], Corrupt, "mode LA lacks an alpha chunk"),
        ("RGB", [ICC_CHUNK[:-1] + b"?"], Corrupt, "chunk 0 is damaged"),
        ("RGB", [ICC_CHUNK[:4] + b"\xff\xff\xff\xff" + ICC_CHUNK[8:]], Truncated, "chunk 0"),
        ("RGB", [ICC_CHUNK, deflated(b"ICCZ", b"i")], Corrupt, "twice or in the wrong place"),
        ("RGB", [deflated(b"XMPZ", b"x"), deflated(b"EXIZ", b"x")], Corrupt, "twice or in the wrong place"),
        ("RGB", [chunk(b"EXIZ", b"123")], Corrupt, "too short"),
        ("RGB", [chunk(b"EXIZ", b"\1\0\0\0no zlib")], Corrupt, "does not unpack"),
        ("RGB", [deflated(b"EXIZ", b"exif", size=3)], Corrupt, "3 bytes that it states"),
        ("RGB", [deflated(b"EXIZ", b"exif", size=5)], Corrupt, "5 bytes that it states"),
        ("RGB", [deflated(b"EXIZ", b"exif", after=b"?")], Corrupt, "4 bytes that it states"),
        ("RGB", [deflated(b"EXIZ", bytes(2**26 + 1))], LimitError, "67108865 bytes"),
        ("RGB", [deflated(b"EXIZ", bytes(2**26 + 1), size=2**26)], Corrupt, "67108864 bytes that it states"),
    ],
)
def test_chunks_are_checked(mode: str, chunks: list[bytes], error: type, says: str) -> None:
    with pytest.raises(error, match=says):
        unpack(with_body(with_fields(PLAIN, mode=MODES.index(mode)), chunks, b"word"))


def test_all_chunks_in_their_order_are_read() -> None:
    kinds = list(unpack(WITH_CHUNKS).chunks)
    assert kinds == [b"ALPH", b"ICCP", b"EXIF", b"XMP "]


@pytest.mark.parametrize("side", [65535, MAX_SIDE])
def test_bombs_meet_the_limit(side: int) -> None:
    with pytest.raises(LimitError, match=f"{side}x{side}"):
        unpack(pack(width=side, height=side, payload=b""))


def test_the_limit_is_the_callers() -> None:
    assert unpack(PLAIN, max_pixels=200).header.pixels == 200
    with pytest.raises(LimitError, match="199"):
        unpack(PLAIN, max_pixels=199)


def test_a_limit_is_no_bitstream_error() -> None:
    assert not issubclass(LimitError, BitstreamError)


def test_container_and_coder_import_no_torch() -> None:
    assert_no_torch(
        "import vaecodec.cli.main, vaecodec.pictures.images\nfrom vaecodec.format import ans, catalog, container"
    )


def test_metadata_are_deflated_where_that_is_smaller() -> None:
    long, short = b"<x/>" * 100, b"<x/>"
    for kind, name in ((b"ICCP", b"ICCZ"), (b"EXIF", b"EXIZ"), (b"XMP ", b"XMPZ"), (b"iptc", b"iptz")):
        small, large = pack(chunks={kind: short}), pack(chunks={kind: long})
        assert (small[36:40], large[36:40]) == (kind, name)
        assert (unpack(small).chunks, unpack(large).chunks) == ({kind: short}, {kind: long})
        assert len(large) < len(PLAIN) + 60


def test_chunks_that_may_be_skipped_are_left_out() -> None:
    known = chunk(b"ICCP", b"i")
    new = chunk(b"news", b"?")
    assert unpack(with_body(PLAIN, [new, known, new, new], b"word")).chunks == {b"ICCP": b"i"}
    with pytest.raises(Corrupt, match="chunk 0 is damaged"):
        unpack(with_body(PLAIN, [new[:-1] + b"!"], b"word"))
