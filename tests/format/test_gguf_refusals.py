"""Each thing that can be wrong with a GGUF file is refused, by name and place, at once."""

from __future__ import annotations

import os
import struct
import time
import tracemalloc
from pathlib import Path

import pytest

from llmpy.dtypes import BY_NAME
from llmpy.errors import ModelFileError, UnsupportedModelError
from llmpy.format import Typed, open_gguf, write_gguf
from tests.format.mutants import ARRAY, BOOL, F32, STRING, U32, Pair, Row, build, scalar, string

HUGE = (1, 2**31, 2**32 - 1, 2**63 - 1, 2**63, 2**64 - 1)


def word(n: int) -> bytes:
    return struct.pack("<Q", n)


def refuse(tmp_path: Path, data: bytes, message: str, *, at: int | None = None) -> ModelFileError:
    path = tmp_path / "bad.gguf"
    path.write_bytes(data)
    with pytest.raises(ModelFileError, match=message) as caught:
        open_gguf(path)
    assert caught.value.path == str(path)
    if at is not None:
        assert caught.value.offset == at
    return caught.value


def row(name: str = "t", dims: tuple[int, ...] = (4,), kind: int = 0, offset: int = 0) -> Row:
    return Row(name, dims, kind, offset)


def pair(key: str, value: tuple[int, bytes]) -> Pair:
    return Pair(key, *value)


GOOD = build([pair("a", scalar(U32, 1))], [row()], bytes(16))


def test_the_pattern_of_these_tests_opens(tmp_path):
    (tmp_path / "good.gguf").write_bytes(GOOD)
    with open_gguf(tmp_path / "good.gguf") as file:
        assert file.metadata == {"a": 1}
        assert file.tensors["t"].size == 16


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        (b"", ModelFileError, "an empty file"),
        (b"G", ModelFileError, "only 1 of its bytes"),
        (b"GGUF", ModelFileError, "version at byte 4"),
        (b"GGUF\3\0", ModelFileError, "version at byte 4"),
        (b"FUGG" + GOOD[4:], ModelFileError, "draft"),
        (b"lmgg" + GOOD[4:], UnsupportedModelError, "a GGML file"),
        (b"fmgg" + GOOD[4:], UnsupportedModelError, "a GGMF file"),
        (b"tjgg" + GOOD[4:], UnsupportedModelError, "a GGJT file"),
        (b"algg" + GOOD[4:], UnsupportedModelError, "adapter"),
        (b"PK\3\4" + bytes(90), UnsupportedModelError, "PyTorch"),
        (b"\x80\x02}q\0", UnsupportedModelError, "pickle"),
        (b"\x1f\x8b" + bytes(90), ModelFileError, "gzip.*Unpack"),
        (word(20) + b'{"__metadata__":{}}', UnsupportedModelError, "safetensors"),
        (b"<!DOCTYPE html><html>", ModelFileError, "web page"),
        (b"\n<HTML><head>", ModelFileError, "web page"),
        (b'{"error":"Not found"}', ModelFileError, "JSON"),
        (b"version https://git-lfs.github.com/spec/v1\n", ModelFileError, "git lfs pull"),
        (b"Entry not found", ModelFileError, "text, 'Entry not found"),
        (bytes(100), ModelFileError, "zeros"),
        (bytes(range(128, 228)), ModelFileError, "no model file that llmpy knows"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path, data, error, message):
    assert type(refuse(tmp_path, data, message)) is error


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="no such file"):
        open_gguf(tmp_path / "absent.gguf")


def test_a_path_with_nul_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="null"):
        open_gguf(f"{tmp_path}/a\0b")


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match="folder"):
        open_gguf(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_without_waiting(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="pipe"):
        open_gguf(tmp_path / "pipe")


@pytest.mark.parametrize("version", [0, 4, 255, 2**31, 4 << 24])
def test_unknown_versions_are_unsupported(tmp_path, version):
    data = GOOD[:4] + struct.pack("<I", version) + GOOD[8:]
    error = refuse(tmp_path, data, "GGUF version 1, 2 or 3", at=4)
    assert type(error) is UnsupportedModelError


@pytest.mark.parametrize("n", HUGE[1:])
def test_absurd_counts_are_refused(tmp_path, n):
    refuse(tmp_path, GOOD[:8] + word(n) + GOOD[16:], "number of tensors", at=8)
    refuse(tmp_path, GOOD[:16] + word(n) + GOOD[24:], "number of metadata keys", at=16)


@pytest.mark.parametrize("n", HUGE)
def test_absurd_lengths_of_keys_and_strings_are_refused(tmp_path, n):
    data = build([pair("a", string("text"))], [row()], bytes(16))
    if n > 1:
        refuse(tmp_path, data[:24] + word(n) + data[32:], "metadata key 0 length", at=24)
        refuse(tmp_path, data[:37] + word(n) + data[45:], "metadata 'a' length", at=37)
    else:
        refuse(tmp_path, data[:37] + word(n) + data[45:], "metadata|tensor")


@pytest.mark.parametrize("n", HUGE[1:])
@pytest.mark.parametrize("member", [0, 4, 7, STRING, ARRAY, 12])
def test_absurd_lengths_of_arrays_are_refused(tmp_path, n, member):
    value = ARRAY, struct.pack("<IQ", member, n) + bytes(64)
    data = build([pair("a", value)], [], b"")
    error = refuse(tmp_path, data, r"metadata 'a' number of members at byte 41", at=41)
    assert error.found == str(n)


def test_a_long_string_inside_an_array_is_refused(tmp_path):
    for n in HUGE[1:]:
        members = word(1) + b"x" + word(n) + b"y"
        data = build([pair("a", (ARRAY, struct.pack("<IQ", STRING, 2) + members))], [], b"")
        refuse(tmp_path, data, r"metadata 'a'\[1\] length", at=58)


def test_an_array_of_strings_that_ends_early_is_refused(tmp_path):
    members = b"".join(word(1) + b"x" for _ in range(10_000))
    data = build([pair("a", (ARRAY, struct.pack("<IQ", STRING, 10_000) + members))], [], b"")
    cut = data[: 24 + 13 + 12 + 9 * 9_000 + 4]
    # The number of members is refused first unless the rest of the file could hold it.
    refuse(tmp_path, cut + bytes(7_000), r"metadata 'a'\[9\d+\] length|number of")
    refuse(tmp_path, cut, r"metadata 'a'\[9000\] length", at=len(cut) - 4)


def test_deep_arrays_are_refused(tmp_path):
    value = struct.pack("<IQ", ARRAY, 1) * 5 + struct.pack("<IQ", U32, 0)
    data = build([pair("a", (ARRAY, value))], [], b"")
    refuse(tmp_path, data, "nested at most 4 deep")
    value = struct.pack("<IQ", ARRAY, 1) * 100_000
    refuse(tmp_path, build([pair("a", (ARRAY, value))], [], b""), "nested at most 4 deep")


def test_many_arrays_in_arrays_are_refused(tmp_path):
    inner = struct.pack("<IQ", U32, 0)
    value = struct.pack("<IQ", ARRAY, 300_000) + inner * 300_000
    data = build([pair("a", (ARRAY, value))], [], b"")
    refuse(tmp_path, data, "at most 262144 .*limit")


@pytest.mark.parametrize("kind", [13, 255, 2**32 - 1])
def test_unknown_value_types_are_refused(tmp_path, kind):
    refuse(tmp_path, build([Pair("a", kind, bytes(8))], [], b""), "metadata 'a' type", at=33)
    value = ARRAY, struct.pack("<IQ", kind, 1) + bytes(8)
    refuse(tmp_path, build([pair("a", value)], [], b""), "type of members", at=37)


def test_bools_are_0_or_1(tmp_path):
    refuse(tmp_path, build([Pair("a", BOOL, b"\2")], [], b""), "0 or 1, found 2", at=37)
    value = ARRAY, struct.pack("<IQ", BOOL, 3) + b"\0\1\3"
    refuse(tmp_path, build([pair("a", value)], [], b""), r"'a'\[2\].*0 or 1", at=51)


def test_doubled_keys_are_refused(tmp_path):
    pairs = [pair("a", scalar(U32, 1)), pair("a", scalar(U32, 1))]
    refuse(tmp_path, build(pairs, [], b""), "metadata 'a' at byte 41.*second time", at=41)


def test_doubled_tensors_are_refused(tmp_path):
    rows = [row("t"), row("t", offset=32)]
    refuse(tmp_path, build([], rows, bytes(64)), "tensor 't' .*second time")


@pytest.mark.parametrize("n", [0, 5, 2**32 - 1])
def test_the_number_of_dimensions_is_1_to_4(tmp_path, n):
    data = GOOD.replace(
        word(1) + b"t" + struct.pack("<I", 1), word(1) + b"t" + struct.pack("<I", n)
    )
    refuse(tmp_path, data, f"tensor 't' number of dimensions.*1 to 4, found {n}", at=50)


@pytest.mark.parametrize("dims", [(0,), (4, 0), (0, 2**63)])
def test_dimensions_of_0_are_refused(tmp_path, dims):
    refuse(tmp_path, build([], [row(dims=dims)], bytes(64)), "tensor 't' dimension . .*above 0")


@pytest.mark.parametrize("dims", [(2**63,), (2**32, 2**31), (2**16,) * 4, (2**64 - 1,) * 4])
def test_dimensions_that_overflow_are_refused(tmp_path, dims):
    refuse(tmp_path, build([], [row(dims=dims)], bytes(64)), r"below 2\*\*63")


@pytest.mark.parametrize("dims", [(2**60,), (2**30, 2**32), (1000,), (1, 1, 1, 25)])
def test_tensors_larger_than_the_file_are_refused(tmp_path, dims):
    refuse(tmp_path, build([], [row(dims=dims)], bytes(32)), "tensor 't' (size|offset)")


@pytest.mark.parametrize(("kind", "length"), [(8, 33), (2, 16), (12, 255), (40, 32)])
def test_rows_are_whole_blocks(tmp_path, kind, length):
    data = build([], [row(dims=(length,), kind=kind)], bytes(1000))
    refuse(tmp_path, data, "row length.*multiple of")


@pytest.mark.parametrize("kind", [4, 5, 31, 33, 36, 38, 43, 1000, 2**32 - 1])
def test_unknown_tensor_types_are_unsupported(tmp_path, kind):
    error = refuse(tmp_path, build([], [row(kind=kind)], bytes(64)), "tensor 't' type")
    assert type(error) is UnsupportedModelError
    assert ("removed" in str(error)) == (kind < 39)


@pytest.mark.parametrize("value", [0, 1, 4, 12, 33, 48, 2**32 - 1])
def test_alignments_are_powers_of_two_from_8(tmp_path, value):
    pairs = [pair("general.alignment", scalar(U32, value))]
    refuse(tmp_path, build(pairs, [], b""), "'general.alignment'.*power of two", at=53)


@pytest.mark.parametrize("value", [string("32"), scalar(F32, 32.0), scalar(BOOL, True)])
def test_alignments_are_integers(tmp_path, value):
    refuse(tmp_path, build([pair("general.alignment", value)], [], b""), "power of two", at=53)


def test_offsets_are_aligned(tmp_path):
    data = build([], [row(offset=16)], bytes(96))
    refuse(tmp_path, data, "tensor 't' offset.*multiple of the alignment 32, found 16", at=49)
    pairs = [pair("general.alignment", scalar(U32, 16))]
    (tmp_path / "good.gguf").write_bytes(build(pairs, [row(offset=16)], bytes(96)))
    open_gguf(tmp_path / "good.gguf").close()


@pytest.mark.parametrize("offset", [32, 2**31, 2**63, 2**64 - 32])
def test_offsets_lie_inside_the_file(tmp_path, offset):
    data = build([], [row(offset=offset)], bytes(32))
    refuse(tmp_path, data, "tensor 't' offset.*at most 16 ", at=49)


def test_tensors_do_not_overlap(tmp_path):
    rows = [row("b", (16,), offset=32), row("a", (9,))]
    error = refuse(tmp_path, build([], rows, bytes(128)), "tensor 'b' offset.*behind those of 'a'")
    assert error.offset == 49
    same = [row("a"), row("b")]
    refuse(tmp_path, build([], same, bytes(128)), "overlap")


def test_messages_can_be_printed_whatever_the_names(tmp_path):
    name = b"\xff\n\x1b[31m" * 2000
    data = build([Pair("x", STRING, word(999))], [], b"").replace(
        word(1) + b"x", word(len(name)) + name
    )
    error = refuse(tmp_path, data, r"metadata '\\udcff\\n\\x1b.*characters\) length")
    str(error).encode("utf-8")
    assert len(str(error)) < 500


@pytest.mark.parametrize("member", [U32, STRING, ARRAY])
def test_huge_counts_are_refused_at_once_and_allocate_nothing(tmp_path, member):
    value = ARRAY, struct.pack("<IQ", member, 2**40) + bytes(64)
    path = tmp_path / "bad.gguf"
    for data in (
        build([pair("a", value)], [], b""),
        GOOD[:8] + word(2**60) + GOOD[16:],
        GOOD[:16] + word(2**60) + GOOD[24:],
        build([pair("a", value)], [], b"")[:49],
    ):
        path.write_bytes(data)
        tracemalloc.start()
        start = time.process_time()
        with pytest.raises(ModelFileError):
            open_gguf(path)
        seconds = time.process_time() - start
        _, peak = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert peak < 1 << 20
        assert seconds < 0.1


def test_big_endian_files_of_types_without_that_form_are_refused(tmp_path):
    path = tmp_path / "m.gguf"
    size = BY_NAME["IQ2_XS"].size
    write_gguf(path, {"k": Typed("u32", 1)}, [("t", BY_NAME["IQ2_XS"], (256,), bytes(size))],
               big_endian=True)  # fmt: skip
    data = path.read_bytes().replace(struct.pack(">IQ", 17, 0), struct.pack(">IQ", 16, 0))
    error = refuse(tmp_path, data, "tensor 't' type.*IQ2_XXS")
    assert type(error) is UnsupportedModelError


@pytest.mark.parametrize(
    "value", [string("2"), scalar(F32, 2.0), scalar(5, -1), scalar(BOOL, True)]
)
def test_the_keys_of_parts_are_integers(tmp_path, value):
    data = build([pair("split.no", scalar(U32, 0)), pair("split.count", value)], [], b"")
    refuse(tmp_path, data, "metadata 'split.count'")
    data = build([pair("split.no", value), pair("split.count", scalar(U32, 2))], [], b"")
    refuse(tmp_path, data, "metadata 'split.no'")
    refuse(tmp_path, build([pair("split.count", scalar(U32, 2))], [], b""), "'split.no'.*no such")


def test_one_part_of_one_needs_no_name(tmp_path):
    pairs = [pair("split.no", scalar(U32, 0)), pair("split.count", scalar(U32, 1))]
    (tmp_path / "m.gguf").write_bytes(build(pairs, [], b""))
    with open_gguf(tmp_path / "m.gguf") as file:
        assert dict(file.metadata) == {}
