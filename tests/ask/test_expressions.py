"""What may be asked, and what is said of what may not."""

from __future__ import annotations

import pytest

from nsysan.ask.expressions import BadExpression, Change, Expression, Subject, parse
from nsysan.replay.edits import STANDARD

GOOD = {
    "wire=5us": Expression("wire=5us", Subject.WIRE, Change.TIME, ns=5_000),
    "wire[all_gather].x0.5": Expression(
        "wire[all_gather].x0.5", Subject.WIRE, Change.SCALE, kinds=("all_gather",), factor=0.5
    ),
    "kernel[~rms].x0.5": Expression("kernel[~rms].x0.5", Subject.KERNEL, Change.SCALE, contains=("rms",), factor=0.5),
    "kernel[=a<1>]=1.5ms": Expression(
        "kernel[=a<1>]=1.5ms", Subject.KERNEL, Change.TIME, names=("a<1>",), ns=1_500_000
    ),
    'kernel [~"x, [y]", rank 2] = level': Expression(
        'kernel [~"x, [y]", rank 2] = level', Subject.KERNEL, Change.LEVEL, contains=("x, [y]",), ranks=(2,)
    ),
    "gaps=0": Expression("gaps=0", Subject.GAPS, Change.TIME),
    "launch=2µs": Expression("launch=2µs", Subject.LAUNCH, Change.TIME, ns=2_000),
    "host[rank 3].x0.8": Expression("host[rank 3].x0.8", Subject.HOST, Change.SCALE, ranks=(3,), factor=0.8),
    "rank[1, 2]=level": Expression("rank[1, 2]=level", Subject.RANK, Change.LEVEL, ranks=(1, 2)),
    "wire=floor": Expression("wire=floor", Subject.WIRE, Change.FLOOR),
    "no_skew": Expression("no_skew", None),
}
#: An expression, where it is wrong, and what is said of it.
BAD = [
    ("", "at its end", "begins with what is changed"),
    ("wirr=5us", "at 'wirr=5us'", "there is no 'wirr'"),
    ("wire", "at its end", "no change; possible: .x0.5, =5us or =floor"),
    ("wire=5", "at its end", "no unit"),
    ("wire=5s", "at 's'", "'s' is no unit; possible: ns, us, µs or ms"),
    ("wire=level", "at '=level'", "cannot become that"),
    ("wire[rank 2]=0", "at 'rank 2]=0'", "of all ranks"),
    ("kernel[rms].x2", "at 'rms].x2'", "possible: ~text"),
    ("kernel[~].x2", "at '].x2'", "no name"),
    ('kernel[~"a]=0', "at '\"a]=0'", "no end"),
    ("kernel[~a", "at its end", "or ]"),
    ("kernel[~a].y2", "at '.y2'", "no change"),
    ("kernel[~a].x5000", "at '.x5000'", "more than 1000"),
    ("host=5us", "at '=5us'", "possible: .x0.5 or =level"),
    ("gaps[~a]=0", "at '~a]=0'", "has no names"),
    ("rank[2].x2", "at '.x2'", "possible: =level"),
    ("no_skew.x2", "at '.x2'", "stands alone"),
    ("wire=floor wire=0", "at 'wire=0'", "several --set"),
    ("wire=11111ms", "at '=11111ms'", "more than 10 s"),
    ("a" * 5_000, "", "longer than"),
    ("wire\n\x1b[2J=5", "", "possible"),
]


@pytest.mark.parametrize("text", GOOD)
def test_what_may_be_asked(text: str) -> None:
    assert parse(text, STANDARD) == GOOD[text]


@pytest.mark.parametrize(("text", "where", "said"), BAD)
def test_what_may_not(text: str, where: str, said: str) -> None:
    with pytest.raises(BadExpression) as told:
        parse(text, STANDARD)
    message = str(told.value)
    assert where in message
    assert said in message
    assert message.isprintable()
    assert len(message) < 400
