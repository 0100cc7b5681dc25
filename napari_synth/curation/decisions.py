"""What people decided of images: one decision, those of several people together, and how well two people agree."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from enum import StrEnum

GRADES = range(1, 6)


class Verdict(StrEnum):
    """What is to become of an image."""

    ACCEPT = "accept"
    REJECT = "reject"
    FLAG = "flag"


@dataclass(frozen=True)
class Decision:
    """What one person thinks of one image; a later one takes the place of an earlier one.

    Attributes
    ----------
    image : str
        Its name in the set, see `napari_synth.curation.images.CuratedImage`.
    by : str
        Who decided.
    when : str
        ISO 8601 in UTC.
    verdict : Verdict or None
        None where it is still open.
    grade : int or None
        1 (worst) to 5 (best).
    comment : str
        The reason.
    better_than : str
        The name of another result of the same source that it was preferred to.
    blind : bool
        Whether name and measures of the image were hidden.
    """

    image: str
    by: str
    when: str
    verdict: Verdict | None = None
    grade: int | None = None
    comment: str = ""
    better_than: str = ""
    blind: bool = False

    def to_json(self) -> str:
        """Return it as one line of JSON, without its end."""
        return json.dumps(asdict(self), ensure_ascii=False)

    @classmethod
    def from_json(cls, line: str) -> Decision | None:
        """Read what `to_json` wrote; None where the line is torn, or is something else."""
        try:
            content = json.loads(line)
            known = {one.name: content[one.name] for one in fields(cls) if one.name in content}
            verdict = None if known.get("verdict") is None else Verdict(known["verdict"])
            decision = cls(**{**known, "verdict": verdict})
        except (ValueError, TypeError, KeyError):
            return None
        texts = (decision.image, decision.by, decision.when, decision.comment, decision.better_than)
        is_sound = all(isinstance(text, str) for text in texts) and decision.grade in (None, *GRADES)
        return decision if is_sound else None

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from all others."""
        return self.image, self.by, self.when

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing: all was taken back."""
        return self.verdict is None and self.grade is None and not self.comment and not self.better_than


@dataclass(frozen=True)
class Combined:
    """What one or several people decided of an image.

    Attributes
    ----------
    verdict : Verdict or None
        What all of them say who decided; None where nobody did, or where they do not agree.
    is_disputed : bool
        Whether they do not agree.
    grade : float or None
        The mean of the grades.
    by, comments : tuple of str
        Who decided, and what they wrote.
    when : str
        When the last of them decided.
    """

    verdict: Verdict | None = None
    is_disputed: bool = False
    grade: float | None = None
    by: tuple[str, ...] = ()
    comments: tuple[str, ...] = ()
    when: str = ""


def combined(decisions: Iterable[Decision]) -> dict[str, Combined]:
    """Return for each image what people decided of it together.

    Parameters
    ----------
    decisions : iterable of Decision
        The last of each person and image.
    """
    of_image: dict[str, list[Decision]] = {}
    for decision in decisions:
        if not decision.is_empty:
            of_image.setdefault(decision.image, []).append(decision)
    return {image: _together(found) for image, found in of_image.items()}


def _together(found: Sequence[Decision]) -> Combined:
    verdicts = {one.verdict for one in found if one.verdict is not None}
    grades = [one.grade for one in found if one.grade is not None]
    return Combined(
        verdict=next(iter(verdicts)) if len(verdicts) == 1 else None,
        is_disputed=len(verdicts) > 1,
        grade=sum(grades) / len(grades) if grades else None,
        by=tuple(dict.fromkeys(one.by for one in found)),
        comments=tuple(one.comment for one in found if one.comment),
        when=max(one.when for one in found),
    )


@dataclass(frozen=True)
class Agreement:
    """How well two people agree.

    Attributes
    ----------
    first, second : str
        Who they are.
    count : int
        How many images both decided on.
    equal : float
        The share of those on which they said the same.
    kappa : float
        Cohen's kappa: 1 for the same decisions, 0 for what chance would give, NaN where chance alone explains any (both said the
        same of every image) or no image was decided on by both.
    """

    first: str
    second: str
    count: int
    equal: float
    kappa: float

    def __str__(self) -> str:
        """Return it as a sentence."""
        if not self.count:
            return f"{self.first} and {self.second} decided on no image in common."
        kappa = "not defined, since they used one decision only" if math.isnan(self.kappa) else f"{self.kappa:.2f}"
        return (
            f"{self.first} and {self.second} said the same of {100 * self.equal:.0f} % of {self.count} images;"
            f" Cohen's kappa is {kappa}."
        )


def agreement(decisions: Iterable[Decision]) -> tuple[Agreement, ...]:
    """Return how well each two people agree in their verdicts.

    Parameters
    ----------
    decisions : iterable of Decision
        The last of each person and image.
    """
    verdicts: dict[str, dict[str, Verdict]] = {}
    for one in decisions:
        if one.verdict is not None:
            verdicts.setdefault(one.by, {})[one.image] = one.verdict
    people = sorted(verdicts)
    return tuple(
        _agreement_of(first, second, verdicts[first], verdicts[second])
        for index, first in enumerate(people)
        for second in people[index + 1 :]
    )


def _agreement_of(first: str, second: str, ours: Mapping[str, Verdict], theirs: Mapping[str, Verdict]) -> Agreement:
    both = sorted(ours.keys() & theirs.keys())
    pairs = [(ours[image], theirs[image]) for image in both]
    equal = sum(one == other for one, other in pairs) / len(pairs) if pairs else math.nan
    return Agreement(first, second, len(pairs), equal, cohens_kappa(pairs))


def cohens_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float:
    """Return how far two people agree beyond chance (Cohen, Educational and Psychological Measurement 1960).

    Parameters
    ----------
    pairs : sequence of (hashable, hashable)
        What each of the two said of the same thing.

    Returns
    -------
    float
        At most 1; NaN where it is not defined.
    """
    if not pairs:
        return math.nan
    n = len(pairs)
    observed = sum(one == other for one, other in pairs) / n
    first, second = Counter(one for one, _ in pairs), Counter(other for _, other in pairs)
    by_chance = sum(first[kind] * second[kind] for kind in first) / n**2
    return math.nan if by_chance == 1 else (observed - by_chance) / (1 - by_chance)
