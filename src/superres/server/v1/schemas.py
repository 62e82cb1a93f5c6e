"""What is answered, for the answers and for their description in ``/openapi.json``."""

from __future__ import annotations

from datetime import datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, field_serializer

from superres.faces import Tier


class Answer(BaseModel):
    """What an answer is made of."""

    model_config = ConfigDict(protected_namespaces=())


class ErrorDetail(Answer):
    """What went wrong."""

    code: str = Field(
        description="For programs; a code never changes its meaning.", examples=["image_too_large"]
    )
    message: str = Field(description="For people: one sentence that says what to do.")
    request_id: str = Field(description="As in the header X-Request-Id and in the server's log.")
    retry_after: int | None = Field(
        default=None, description="Seconds to wait, where coming again may help."
    )


class ErrorAnswer(Answer):
    """The answer to everything that fails."""

    error: ErrorDetail


class Model(Answer):
    """One model."""

    name: str = Field(examples=["general"])
    title: str = Field(
        description="The name its authors gave it.", examples=["realesr-general-x4v3"]
    )
    purpose: str = Field(description="What it is for, in one sentence.")
    scales: list[int] = Field(
        description="Scales that one pass gives; every other from 1 to 16 is made from them.",
        examples=[[1, 2, 4]],
    )
    fidelity: float = Field(description="Taken if none is given.", ge=0, le=1)
    faces: bool = Field(description="Whether it looks for faces if asked to; drawings have none.")
    cost: float = Field(description="Time for a picture, as a multiple of the default model's.")
    licence: str = Field(
        description="Of the weights, as an SPDX identifier; of a model that was added, as its "
        "keeper said it."
    )
    added: bool = Field(description="Whether the server's keeper added it.", examples=[False])


class Restorer(Answer):
    """A network that restores faces, installed on this server."""

    name: str = Field(description="As `restore` takes it.", examples=["gfpgan"])
    title: str = Field(description="The name its authors gave it.", examples=["GFPGAN v1.4"])
    purpose: str = Field(description="What it is for, in one sentence.")
    licence: str = Field(description="Of the weights.", examples=["Apache-2.0"])


class Models(Answer):
    """Every model there is."""

    default: str = Field(description="Taken if none is named.", examples=["general"])
    models: list[Model]
    restorers: list[Restorer] = Field(
        description="Networks that restore faces; none unless the server's keeper installed one."
    )


class Estimate(Answer):
    """What an upscale would take."""

    width: int
    height: int
    out_width: int
    out_height: int
    model: str
    fidelity: float
    passes: list[int] = Field(description="Scale of each pass of the network.")
    format: str
    seconds: float = Field(
        description="From what the server did before, for a usual picture where faces are looked "
        "for; 0 if it did not do the like yet."
    )
    memory_bytes: int
    scratch_bytes: int = Field(description="Room on disk in between, at most.")


class Box(Answer):
    """Where a face is; it may reach over the edges of the picture."""

    x: float = Field(description="Of its left edge.", examples=[171.5])
    y: float = Field(description="Of its upper edge.", examples=[62.0])
    width: float = Field(examples=[104.3])
    height: float = Field(examples=[140.8])


class Face(Answer):
    """A face that was found, and what was done to it."""

    box: Box = Field(description="In pixels of the picture that was sent, turned upright.")
    score: float = Field(description="How sure the detector is.", ge=0, le=1, examples=[0.927])
    tier: Tier = Field(
        description="enhanced: kept recognisable by the faithful model; restored: by the network "
        "that `restore` names; unchanged.",
        examples=["enhanced"],
    )


class Picture(Answer):
    """A finished picture and where to get it."""

    url: str = Field(
        description="Link to the picture, for whoever has it; without a host unless [server] "
        "public_url is set.",
        examples=["/v1/results/3c9d0f3b8f0c4d8e9f7a6b5c4d3e2f10"],
    )
    name: str = Field(examples=["photo_x4.png"])
    format: str = Field(examples=["png"])
    media_type: str = Field(examples=["image/png"])
    width: int
    height: int
    source_width: int
    source_height: int
    bytes: int
    seconds: float = Field(description="The work as a whole, without waiting.")
    inference_seconds: float = Field(description="The network alone.")
    queue_seconds: float = Field(description="Waited before that.")
    model: str
    fidelity: float = Field(description="As it ran; a default is lowered for damaged pictures.")
    scale: float
    faces: list[Face] | None = Field(
        description="Those that were found, largest first; null if they were not looked for."
    )


class Result(Picture):
    """A finished picture, where to get it, and how long."""

    id: str
    expires: AwareDatetime = Field(description="When the link stops working.")

    @field_serializer("expires")
    def _instant(self, value: datetime) -> str:
        return value.isoformat(timespec="seconds").replace("+00:00", "Z")
