"""The types of `evals.types`: scores are finite, unions can be decoded, letters are translated in both directions."""

from __future__ import annotations

from itertools import permutations
from math import inf, nan

import msgspec
import pytest

from evals.labels import (
    AsPng,
    AsText,
    Failed,
    Note,
    ProtocolName,
    Refused,
    SentForm,
    parse_sent,
)
from evals.types import (
    Failure,
    Media,
    Message,
    Part,
    Prompt,
    Record,
    Reply,
    Sample,
    Sampling,
    Score,
    Text,
    Usage,
)  # fmt: skip
from tests.support.error_messages import raises


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_score_must_be_finite(value: float) -> None:
    with raises(ValueError):
        Score(value=value, verdict="graded")


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_a_score_part_that_is_not_finite_is_refused_by_name(value: float) -> None:
    with raises(ValueError):
        Score(value=1.0, verdict="graded", parts={"tanimoto": value})


@pytest.mark.parametrize("text", ["NaN", "Infinity", "1e999", '"1.0"', "[]"])
def test_decoding_refuses_a_score_that_is_not_a_finite_number(text: str) -> None:
    line = f'{{"type":"score","value":{text},"verdict":"graded"}}'
    with pytest.raises(msgspec.DecodeError):
        msgspec.json.decode(line, type=Score)


def test_a_score_may_have_no_value() -> None:
    assert Score(value=None, verdict="invalid").value is None


def test_decoding_refuses_an_unknown_verdict() -> None:
    with raises(msgspec.ValidationError):
        msgspec.json.decode(b'{"type":"score","value":1,"verdict":"correct"}', type=Score)


def test_replies_and_failures_keep_their_types_when_encoded_and_decoded() -> None:
    prompt = Prompt(messages=(Message.user("hi"),), order=(1, 0))
    for outcome in (
        Reply(text="", reasoning="hm", stop="length", usage=Usage(output=3, cached=0)),
        Failure(stage="model", kind="timeout", message="no reply within 60 s", attempts=6),
    ):
        record = Record(sample="1", repeat=0, prompt=prompt, outcome=outcome, started=1.0)
        assert msgspec.json.decode(msgspec.json.encode(record), type=Record) == record


@pytest.mark.parametrize("seconds", [float("inf"), float("nan"), -1.0])
def test_an_impossible_duration_of_a_reply_is_unknown(seconds: float) -> None:
    assert Reply(text="A", seconds=seconds).seconds == 0.0


def test_text_and_media_keep_their_types_when_encoded_and_decoded() -> None:
    parts: tuple[Part, ...] = (Text("see"), Media("image", "image/png", "ab"))
    assert msgspec.json.decode(msgspec.json.encode(parts), type=tuple[Part, ...]) == parts


@pytest.mark.parametrize("target", ["B", 0.0, -1.5e-7, ("A", "C"), "42"])
def test_a_target_keeps_its_type_when_encoded_and_decoded(target: str | float | tuple[str, ...]) -> None:
    sample = Sample(id="1", target=target)
    for codec in (msgspec.json, msgspec.msgpack):
        decoded = codec.decode(codec.encode(sample), type=Sample).target
        assert (decoded, type(decoded)) == (target, type(target))


def test_letters_are_translated_in_both_directions_for_every_order() -> None:
    for order in permutations(range(4)):
        prompt = Prompt(order=order)
        assert [prompt.source_letter(prompt.shown_letter(letter)) for letter in "ABCD"] == list("ABCD")


def test_the_order_lists_the_option_at_each_position() -> None:
    prompt = Prompt(order=(2, 0, 1))  # shows the options C, A and B of the data set in this order
    assert [prompt.source_letter(letter) for letter in "ABC"] == ["C", "A", "B"]
    assert prompt.shown_letter("C") == "A"


@pytest.mark.parametrize("letter", ["D", "Z", "a", "@"])
def test_a_letter_that_was_not_shown_stands_for_no_option(letter: str) -> None:
    assert Prompt(order=(2, 0, 1)).source_letter(letter) is None


def test_without_an_order_the_letters_are_those_of_the_data_set() -> None:
    assert Prompt().source_letter("J") == "J"
    assert Prompt().shown_letter("J") == "J"


@pytest.mark.parametrize("value", [Reply(text="A"), Score(value=1.0, verdict="right"), Sampling(), Text("x")])
def test_types_are_immutable(value: msgspec.Struct) -> None:
    field = value.__struct_fields__[0]
    with pytest.raises(AttributeError):
        setattr(value, field, None)


def test_mutable_defaults_are_not_shared() -> None:
    Sample(id="1", target="A").meta["row"] = 1
    assert Sample(id="2", target="A").meta == {}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", None),
        ("png 640x480", AsPng(640, 480)),
        ("text 2814 characters", AsText(2814)),
        ("refused: no CIF: it is no text", Refused("no CIF: it is no text")),
    ],
    ids=["none", "png", "text", "refused"],
)
def test_the_label_of_a_sent_file_is_unchanged_after_parsing_and_formatting(
    text: str, value: SentForm
) -> None:
    assert parse_sent(text) == value
    assert str(value or "") == text


def test_an_unknown_label_of_a_sent_file_is_refused() -> None:
    with raises(ValueError):
        parse_sent("gif 1x1")


@pytest.mark.parametrize("text", ["strict", "intern-s1~", "intern-s1-exact~", ""])
def test_the_name_of_a_protocol_is_unchanged_after_parsing_and_formatting(text: str) -> None:
    assert str(ProtocolName.parse(text)) == text


def test_only_labels_of_failures_and_notes_are_parsed_as_such() -> None:
    assert [Failed.parse(label) for label in ("failed:crash", "wrong", "absent", "unfailed:x")] == [
        Failed("crash"), None, None, None,
    ]  # fmt: skip
    assert str(Note("judge", "agrees")) == "judge: agrees"
    assert Note.parse("judge: agrees: always", "judge") == Note("judge", "agrees: always")
    assert Note.parse("judges differ", "judge") is None
