"""What can be asked, under the same names in a query, a form and a JSON object."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, Strict, ValidationError
from pydantic_core import ErrorDetails

from superres.errors import BadParameter
from superres.faces.restore import check_restorer
from superres.imageio import OutputOptions
from superres.models.catalog import shipped_models
from superres.pipeline import UpscaleOptions
from superres.pipeline.options import MAX_SCALE, MIN_SCALE
from superres.settings import Settings

_MAX_SIDE = 65_535 * 16
_FORMATS = ["png", "jpeg", "webp", "tiff", "jpg", "tif"]

# No enum: models may be added to a server while it runs.
_MODELS = ", ".join(model.name for model in shipped_models())

Truth = Annotated[bool, Strict()]
Scale = Annotated[
    float | None,
    Field(
        ge=MIN_SCALE,
        le=MAX_SCALE,
        description="How many times wider and higher, fractions too; 4 if no size is given "
        "either. 1 repairs the picture at its own size.",
        examples=[4],
    ),
]
Model = Annotated[
    str | None,
    Field(
        description=f"A model's name: {_MODELS}, or one that was added to this server, see "
        "/v1/models; the server's default otherwise.",
        examples=["general"],
    ),
]
Fidelity = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        description="From 0, the model's own look, to 1, nothing but what the picture shows; "
        "the model's default otherwise, less where the picture is damaged.",
        examples=[0.5],
    ),
]
Format = Annotated[
    str | None,
    Field(
        description="Format of the result; otherwise the picture's own where that loses nothing, "
        "else png.",
        json_schema_extra={"enum": _FORMATS},
        examples=["png"],
    ),
]
Tta = Annotated[
    Truth,
    Field(
        description="Enlarge every part in eight orientations and take the mean: a little closer "
        "to the truth, and eight times as slow."
    ),
]
Denoise = Annotated[
    float | None,
    Field(
        ge=0,
        le=1,
        description="How much of a photograph's noise is taken off before it is enlarged, from 0, "
        "none, to 1; otherwise 0.5 to 0.8 if it is plainly noisy and no fidelity is given.",
        examples=[0.8],
    ),
]
Face = Annotated[
    Truth,
    Field(
        description="Find faces and keep them recognisable: they come out closer to the person "
        "than the model alone makes them, and the answer lists them. In drawings (see "
        "/v1/models) none are looked for."
    ),
]
Restore = Annotated[
    str | None,
    Field(
        max_length=64,
        description="A network that makes faces anew, such as gfpgan, if it is installed "
        "here (see /v1/models); implies face, and not for drawings. Details that the picture does "
        "not show are invented: people may look like somebody else.",
    ),
]

_STRENGTH = UpscaleOptions.restore_strength


class Fields(BaseModel):
    """Named values of a request; unknown names are refused."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, protected_namespaces=())
    truths: ClassVar[frozenset[str]] = frozenset()
    """Names of those that are true or false."""

    @classmethod
    def of_text(cls, values: Mapping[str, str]) -> Self:
        """From a query or a form.

        Raises:
            BadParameter: an unknown name or a value that does not fit.
        """
        plain = {"true": True, "false": False}
        read: dict[str, Any] = dict(values)
        for name in cls.truths & read.keys():
            read[name] = plain.get(read[name].lower(), read[name])
        return cls._of(read, strict=None)

    @classmethod
    def of_json(cls, values: Mapping[str, object]) -> Self:
        """From a JSON object: numbers are numbers there, and null stands for nothing.

        Raises:
            BadParameter: an unknown name or a value that does not fit.
        """
        return cls._of({k: v for k, v in values.items() if v is not None}, strict=True)

    @classmethod
    def _of(cls, values: Mapping[str, object], *, strict: bool | None) -> Self:
        check_names(values, cls.model_fields)
        try:
            return cls.model_validate(values, strict=strict)
        except ValidationError as exc:
            raise BadParameter(_sentence(exc.errors()[0])) from None


class UpscaleFields(Fields):
    """How a picture is to be enlarged and stored."""

    truths = frozenset({"lossless", "first_frame", "colour_lock", "tta", "face"})

    scale: Scale = None
    width: Annotated[
        int | None,
        Field(
            ge=1,
            le=_MAX_SIDE,
            description="Width of the result in pixels, instead of scale; with height too, the "
            "largest that fits inside both.",
        ),
    ] = None
    height: Annotated[
        int | None,
        Field(ge=1, le=_MAX_SIDE, description="Height of the result in pixels, see width."),
    ] = None
    megapixels: Annotated[
        float | None,
        Field(
            gt=0, le=1e6, description="Size of the result in millions of pixels, instead of scale."
        ),
    ] = None
    model: Model = None
    fidelity: Fidelity = None
    format: Format = None
    quality: Annotated[
        int | None,
        Field(
            ge=1,
            le=100,
            description="Of JPEG (92 if not given) and WebP that is not lossless (90).",
        ),
    ] = None
    lossless: Annotated[
        Truth | None, Field(description="Whether WebP is to be stored without loss.")
    ] = None
    strip: Annotated[
        Literal["none", "location", "all"],
        Field(
            description="What to leave out of EXIF, XMP and IPTC: nothing, where the picture was "
            "taken, or everything. The colour profile stays."
        ),
    ] = "location"
    first_frame: Annotated[
        Truth, Field(description="Take the first frame of an animation, which is refused else.")
    ] = False
    colour_lock: Annotated[
        Truth, Field(description="Hold the colours of areas to the picture's own.")
    ] = True
    tta: Tta = False
    denoise: Denoise = None
    face: Face = False
    restore: Restore = None
    restore_strength: Annotated[
        float | None,
        Field(
            ge=0,
            le=1,
            description="How much is shown of what that network makes, from 0, nothing, to 1; "
            f"{_STRENGTH:g} if none is given.",
        ),
    ] = None

    def options(self, settings: Settings) -> UpscaleOptions:
        """The same in the pipeline's words.

        Raises:
            BadParameter: values that contradict each other, such as restore with a model for
                drawings.
            ModelNotFound: no such model, or network that restores faces.
            WeightsMissing: that network is not installed.
        """
        options = UpscaleOptions(
            scale=self.scale,
            width=self.width,
            height=self.height,
            megapixels=self.megapixels,
            model=self.model or settings.models.default,
            fidelity=self.fidelity,
            colour_lock=self.colour_lock,
            tta=self.tta,
            denoise=self.denoise,
            face=self.face,
            restore=self.restore,
            restore_strength=_STRENGTH if self.restore_strength is None else self.restore_strength,
            first_frame=self.first_frame,
            output=OutputOptions(
                format=self.format,
                quality=self.quality,
                lossless=self.lossless,
                strip=self.strip == "all",
                strip_location=self.strip == "location",
            ),
        )
        _check_restorer(options, settings)
        return options


Asked = TypeVar("Asked", bound=UpscaleFields)


class EstimateFields(Fields):
    """What an upscale would take is asked for a picture of this size."""

    truths = frozenset({"tta", "face"})

    width: Annotated[
        int, Field(ge=1, le=_MAX_SIDE, description="Of the picture to enlarge.", examples=[800])
    ]
    height: Annotated[
        int, Field(ge=1, le=_MAX_SIDE, description="Of the picture to enlarge.", examples=[600])
    ]
    scale: Scale = None
    model: Model = None
    fidelity: Fidelity = None
    format: Format = None
    tta: Tta = False
    denoise: Denoise = None
    face: Face = False
    restore: Restore = None

    def options(self, settings: Settings) -> UpscaleOptions:
        """The same in the pipeline's words; raises what :meth:`UpscaleFields.options` does."""
        options = UpscaleOptions(
            scale=self.scale,
            model=self.model or settings.models.default,
            fidelity=self.fidelity,
            tta=self.tta,
            denoise=self.denoise,
            face=self.face,
            restore=self.restore,
            output=OutputOptions(format=self.format),
        )
        _check_restorer(options, settings)
        return options


def _check_restorer(options: UpscaleOptions, settings: Settings) -> None:
    if options.restore is not None:
        check_restorer(options.restore, settings)


def once(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """The pairs as a dictionary.

    Raises:
        BadParameter: a name comes twice.
    """
    values: dict[str, str] = {}
    for name, value in pairs:
        if name in values:
            raise BadParameter(f"{quoted(name)} is given twice; give it once.")
        values[name] = value
    return values


def together(query: Mapping[str, str], body: Mapping[str, object], fields: Asked) -> Asked:
    """``fields``, read from ``body``, with what the query says beside.

    Raises:
        BadParameter: something is in both.
    """
    for name in query:
        if name in body:
            raise BadParameter(f"{quoted(name)} is in the address and in the body; give it once.")
    beside = type(fields).of_text(query)
    return fields.model_copy(update={name: getattr(beside, name) for name in query})


def check_names(given: Iterable[str], known: Iterable[str]) -> None:
    """Raise BadParameter if a name is not known; the message has the closest one that is."""
    names = list(known)
    for name in given:
        if name not in names:
            near = difflib.get_close_matches(name[:64], names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(names)}."
            raise BadParameter(f"There is no parameter {quoted(name)}; {hint}")


def with_format(options: UpscaleOptions, file_format: str) -> UpscaleOptions:
    """``options`` for a result of that format."""
    return replace(options, output=replace(options.output, format=file_format))


def quoted(value: object) -> str:
    """For a message: short, and without characters that could not be sent or would confuse."""
    return ascii(value) if len(str(value)) <= 64 else ascii(str(value)[:60]) + "…"


def _sentence(error: ErrorDetails) -> str:
    name = ".".join(str(part) for part in error["loc"])
    if error["type"] == "missing":
        return f"{name} is missing; give it."
    said = error["msg"].rstrip(".")
    said = said.replace("Input should be", "it should be")
    return f"{name} is {quoted(error['input'])}; {said[0].lower()}{said[1:]}."
