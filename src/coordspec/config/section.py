"""What every section of a config is built from: strict and frozen models, settings with a unit and a source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Final, NamedTuple, TypeAlias, cast, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field
from pydantic.fields import FieldInfo

HF: Final = "transformers TrainingArguments"
GENERATION: Final = "transformers GenerationConfig"
PEFT: Final = "peft LoraConfig"
OWN: Final = "coordspec"


class Section(BaseModel):
    """One mapping of a config: known keys only, exact types, finite numbers, and nothing changes afterwards.

    A whole number is a float, a bool is no number, and text is never read as anything else. A model is built when it
    is first used, since importing one must cost next to nothing.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False, defer_build=True)


class Facts(NamedTuple):
    """What is said of a setting beside its description."""

    unit: str | None
    source: str


def setting(description: str, *, source: str, unit: str | None = None, default: Any = ...) -> Any:
    """One field of a section.

    Args:
        description: What it does, in sentences.
        source: Where its name and its meaning come from.
        unit: What its number counts; None for what is no quantity.
        default: Its value where a config says nothing; without one the setting is required.
    """
    return Field(default, description=description, json_schema_extra=Facts(unit, source)._asdict())


def facts(field: FieldInfo) -> Facts:
    """Unit and source of a setting."""
    extra = field.json_schema_extra
    assert isinstance(extra, dict), "a setting is made by setting()"
    return Facts(*(cast(Any, extra[name]) for name in Facts._fields))


def section(of: type[Section]) -> Any:
    """A section that may be left out: all of its settings have defaults. Its docstring says what it is."""
    return Field(default_factory=of)


def section_text(of: type[Section]) -> str:
    """What a section is: its docstring on one line."""
    return " ".join((of.__doc__ or "").split())


@dataclass(frozen=True, slots=True)
class IsPath:
    """Marks text that is a path: relative to the folder of the YAML file in which it stands."""


def _tuple_of_list(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


AsTuple: Final = BeforeValidator(_tuple_of_list)
"""A YAML list becomes a tuple, so that a config is frozen throughout. Nothing else becomes one."""

Text: TypeAlias = Annotated[str, Field(min_length=1)]
PathText: TypeAlias = Annotated[str, Field(min_length=1), IsPath()]
Count: TypeAlias = Annotated[int, Field(ge=1)]
WholeNumber: TypeAlias = Annotated[int, Field(ge=0)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
AtLeastZero: TypeAlias = Annotated[float, Field(ge=0)]
Share: TypeAlias = Annotated[float, Field(ge=0, le=1)]
"""From 0 to 1, both included."""


def section_of(field: FieldInfo) -> type[Section] | None:
    """The section that a field holds, ``Section | None`` included; None for a plain setting."""
    for part in (field.annotation, *get_args(field.annotation)):
        if isinstance(part, type) and issubclass(part, Section):
            return part
    return None
