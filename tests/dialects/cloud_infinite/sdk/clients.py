"""Tencent's SDKs for Python and Node under one set of names, so that a test can ask both.

What they do not have in common a test does with :attr:`PythonSdk.client` or :attr:`NodeSdk.call`.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any
from unittest import mock

import qcloud_cos
import requests
from qcloud_cos.cos_exception import CosServiceError

from tests.dialects.cloud_infinite.sdk.node import Node, NodeError
from tests.dialects.cloud_infinite.sdk.terms import (
    REGION,
    SUPER_RESOLUTION,
    Identity,
    Page,
    Refusal,
)
from tests.dialects.conftest import RunningServer


@dataclass
class PythonSdk:
    """cos-python-sdk-v5.

    Args:
        bucket: that all calls are about.
        retries: how often it tries again.
        config: of CosConfig, instead of IP and Port of the server.
    """

    server: RunningServer
    who: Identity
    bucket: str
    retries: int = 1
    config: dict[str, Any] | None = None
    name: str = field(default="python", init=False)

    def __post_init__(self) -> None:
        host, _, port = self.server.host.partition(":")
        place = self.config or {"EnableOldDomain": True, "IP": host, "Port": int(port)}
        signs: dict[str, Any] = {"SecretId": self.who.id, "SecretKey": self.who.secret}
        if self.who.anonymous:
            signs = {"Anonymous": True}
        self.session = requests.Session()
        self.session.trust_env = False
        conf = qcloud_cos.CosConfig(
            Region=REGION, Scheme="http", Token=self.who.token, Timeout=60, **signs, **place
        )
        self.client = qcloud_cos.CosS3Client(conf, retry=self.retries, session=self.session)

    def close(self) -> None:
        self.session.close()

    def on(self, bucket: str) -> PythonSdk:
        """The same with another bucket; closed with it."""
        other = PythonSdk(self.server, self.who, bucket, self.retries, self.config)
        other.session.close()
        other.session = other.client._session = self.session
        return other

    def do(self, method: str, **params: Any) -> Any:
        """Call a method of the client on the bucket; Refusal."""
        return self._do(getattr(self.client, method), Bucket=self.bucket, **params)

    def _do(self, call: Callable[..., Any], **params: Any) -> Any:
        before = self.client.get_retry_exe_times()
        with _clock(self.who.clock):
            try:
                return call(**params)
            except CosServiceError as error:
                fields = error.get_digest_msg()
                assert not isinstance(fields, str), fields
                raise Refusal(
                    fields.get("code", ""),
                    fields.get("message", ""),
                    error.get_status_code(),
                    fields.get("requestid") or fields.get("x-cos-request-id"),
                    1 + self.client.get_retry_exe_times() - before,
                    fields,
                ) from error

    # Buckets.

    def create_bucket(self) -> None:
        self.do("create_bucket")

    def head_bucket(self) -> dict[str, str]:
        return self.do("head_bucket")

    def delete_bucket(self) -> None:
        self.do("delete_bucket")

    # Objects.

    def put(self, key: str, body: bytes, **headers: str) -> dict[str, str]:
        """``headers``: ContentType, CacheControl, ContentMD5, PicOperations …; meta: Metadata."""
        meta = headers.pop("meta", None)
        if meta:
            headers["Metadata"] = {f"x-cos-meta-{name}": each for name, each in meta.items()}
        return self.do("put_object", Key=key, Body=body, **headers)

    def get(self, key: str, **headers: str) -> tuple[bytes, dict[str, str]]:
        found = self.do("get_object", Key=key, KeySimplifyCheck=False, **headers)
        return _read(found), {name.lower(): each for name, each in found.items() if name != "Body"}

    def head(self, key: str, **headers: str) -> dict[str, str]:
        found = self.do("head_object", Key=key, **headers)
        return {name.lower(): each for name, each in found.items()}

    def delete(self, key: str) -> None:
        self.do("delete_object", Key=key)

    def delete_many(self, keys: Sequence[str], quiet: bool = False) -> tuple[list[str], list[Any]]:
        """Keys that were deleted, and errors."""
        asked = {"Quiet": str(quiet).lower(), "Object": [{"Key": key} for key in keys]}
        found = self.do("delete_objects", Delete=asked)
        return [each["Key"] for each in found.get("Deleted", [])], found.get("Error", [])

    def list(
        self, prefix: str = "", delimiter: str = "", marker: str = "", limit: int = 1000
    ) -> Page:
        found = self.do(
            "list_objects", Prefix=prefix, Delimiter=delimiter, Marker=marker, MaxKeys=limit
        )
        return _page(found)

    # Super-resolution.

    def super_resolve(
        self, key: str = "", magnify: object = None, url: str | None = None, process: str = ""
    ) -> tuple[bytes, dict[str, str]]:
        """Method 1; without magnify as the SDK's own method asks."""
        if magnify is None and not process:
            found = self.do("ci_super_resolution_process", Key=key or None, Url=url)
            headers = {name.lower(): each for name, each in found.items() if name != "Body"}
            return _read(found), headers
        params = {} if magnify is None else {"magnify": str(magnify)}
        headers, data = self.do(
            "ci_process",
            Key=key,
            CiProcess=process or SUPER_RESOLUTION,
            Params=params,
            NeedHeader=True,
        )
        return data, {name.lower(): each for name, each in headers.items()}

    def put_processed(self, key: str, body: bytes, header: str, **more: Any) -> dict[str, Any]:
        """Method 2: the UploadResult."""
        _, result = self.do("ci_put_object", Key=key, Body=body, PicOperations=header, **more)
        return result

    def process(self, key: str, header: str) -> dict[str, Any]:
        """Method 3: the UploadResult."""
        _, result = self.do("ci_image_process", Key=key, PicOperations=header)
        return result

    # Uploads in parts.

    def initiate(self, key: str, **headers: Any) -> str:
        return self.do("create_multipart_upload", Key=key, **headers)["UploadId"]

    def upload_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        found = self.do("upload_part", Key=key, UploadId=upload, PartNumber=number, Body=body)
        return found["ETag"]

    def list_parts(self, key: str, upload: str) -> list[tuple[int, int, str]]:
        found = self.do("list_parts", Key=key, UploadId=upload)
        return [(int(p["PartNumber"]), int(p["Size"]), p["ETag"]) for p in found.get("Part", [])]

    def list_uploads(self, prefix: str = "") -> list[tuple[str, str]]:
        found = self.do("list_multipart_uploads", Prefix=prefix)
        return [(each["Key"], each["UploadId"]) for each in found.get("Upload", [])]

    def complete(
        self, key: str, upload: str, parts: Sequence[tuple[int, str]], **headers: Any
    ) -> dict[str, Any]:
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        return self.do(
            "complete_multipart_upload",
            Key=key,
            UploadId=upload,
            MultipartUpload={"Part": listed},
            **headers,
        )

    def abort(self, key: str, upload: str) -> None:
        self.do("abort_multipart_upload", Key=key, UploadId=upload)

    def presigned(
        self, method: str, key: str, expires: int = 300, query: dict[str, str] | None = None
    ) -> str:
        """A link at the bucket's own host; made with ``IP`` it would have no bucket in it."""
        direct = PythonSdk(self.server, self.who, self.bucket, config={"EnableOldDomain": True})
        direct.close()
        with _clock(self.who.clock):
            return direct.client.get_presigned_url(
                self.bucket, key, method, Expired=expires, Params=query or {}
            )


@dataclass
class NodeSdk:
    """cos-nodejs-sdk-v5; arguments as :class:`PythonSdk`, ``config`` is of the constructor."""

    node: Node
    server: RunningServer
    who: Identity
    bucket: str
    config: dict[str, Any] | None = None
    name: str = field(default="node", init=False)

    def __post_init__(self) -> None:
        self.options: dict[str, Any] = {
            "SecretId": self.who.id,
            "SecretKey": self.who.secret,
            "Protocol": "http:",
            **(self.config or {"Ip": self.server.host}),
        }
        if self.who.token is not None:
            self.options["SecurityToken"] = self.who.token
        if self.who.clock:
            self.options["$clock"] = self.who.clock
        if self.who.anonymous:
            self.options["$anonymous"] = True

    def close(self) -> None:
        """Nothing of its own."""

    def on(self, bucket: str) -> NodeSdk:
        """The same with another bucket."""
        return NodeSdk(self.node, self.server, self.who, bucket, self.config)

    def do(self, method: str, **params: Any) -> dict[str, Any]:
        """Call a method of the client on the bucket; Refusal."""
        try:
            return self.node.call(self.options, method, Bucket=self.bucket, Region=REGION, **params)
        except NodeError as error:
            raise Refusal(
                error.code, error.message, error.status, error.request_id, error.sent, error.error
            ) from error

    def create_bucket(self) -> None:
        self.do("putBucket")

    def head_bucket(self) -> dict[str, str]:
        return self.do("headBucket")["headers"]

    def delete_bucket(self) -> None:
        self.do("deleteBucket")

    def put(self, key: str, body: bytes, **headers: Any) -> dict[str, str]:
        meta = headers.pop("meta", None) or {}
        headers.update({f"x-cos-meta-{name}": each for name, each in meta.items()})
        return self.do("putObject", Key=key, Body=body, **headers)

    def get(self, key: str, **headers: str) -> tuple[bytes, dict[str, str]]:
        found = self.do("getObject", Key=key, **headers)
        return found["Body"], found["headers"]

    def head(self, key: str, **headers: str) -> dict[str, str]:
        return self.do("headObject", Key=key, **headers)["headers"]

    def delete(self, key: str) -> None:
        self.do("deleteObject", Key=key)

    def delete_many(self, keys: Sequence[str], quiet: bool = False) -> tuple[list[str], list[Any]]:
        found = self.do("deleteMultipleObject", Objects=[{"Key": k} for k in keys], Quiet=quiet)
        return [each["Key"] for each in found["Deleted"]], found["Error"]

    def list(
        self, prefix: str = "", delimiter: str = "", marker: str = "", limit: int = 1000
    ) -> Page:
        return _page(
            self.do("getBucket", Prefix=prefix, Delimiter=delimiter, Marker=marker, MaxKeys=limit)
        )

    def super_resolve(
        self, key: str = "", magnify: object = None, url: str | None = None, process: str = ""
    ) -> tuple[bytes, dict[str, str]]:
        """Method 1, as the vendor's samples do it: getObject, or request without a key."""
        query = {"ci-process": process or SUPER_RESOLUTION}
        if magnify is not None:
            query["magnify"] = str(magnify)
        if url is not None:
            query["detect-url"] = url
        if key:
            found = self.do("getObject", Key=key, Query=query)
        else:
            found = self.do("request", Method="GET", Key="", Query=query, RawBody=True)
        return found["Body"], found["headers"]

    def put_processed(self, key: str, body: bytes, header: str, **more: Any) -> dict[str, Any]:
        found = self.do("putObject", Key=key, Body=body, PicOperations=header, **more)
        return found["UploadResult"]

    def process(self, key: str, header: str) -> dict[str, Any]:
        found = self.do(
            "request",
            Method="POST",
            Key=key,
            Action="image_process",
            Headers={"Pic-Operations": header},
        )
        return found["UploadResult"]

    def initiate(self, key: str, **headers: Any) -> str:
        return self.do("multipartInit", Key=key, **headers)["UploadId"]

    def upload_part(self, key: str, upload: str, number: int, body: bytes) -> str:
        found = self.do("multipartUpload", Key=key, UploadId=upload, PartNumber=number, Body=body)
        return found["ETag"]

    def list_parts(self, key: str, upload: str) -> list[tuple[int, int, str]]:
        found = self.do("multipartListPart", Key=key, UploadId=upload)["Part"]
        return [(int(p["PartNumber"]), int(p["Size"]), p["ETag"]) for p in found]

    def list_uploads(self, prefix: str = "") -> list[tuple[str, str]]:
        found = self.do("multipartList", Prefix=prefix)["Upload"]
        return [(each["Key"], each["UploadId"]) for each in found]

    def complete(
        self, key: str, upload: str, parts: Sequence[tuple[int, str]], **headers: Any
    ) -> dict[str, Any]:
        listed = [{"PartNumber": number, "ETag": etag} for number, etag in parts]
        return self.do("multipartComplete", Key=key, UploadId=upload, Parts=listed, **headers)

    def abort(self, key: str, upload: str) -> None:
        self.do("multipartAbort", Key=key, UploadId=upload)

    def presigned(
        self, method: str, key: str, expires: int = 300, query: dict[str, str] | None = None
    ) -> str:
        found = self.do(
            "getObjectUrl", Key=key, Method=method, Expires=expires, Query=query or {}, Sign=True
        )
        return found["Url"]


Sdk = PythonSdk | NodeSdk


def _read(found: dict[str, Any]) -> bytes:
    return b"".join(found["Body"].get_stream(1 << 16))


def _page(found: dict[str, Any]) -> Page:
    truncated = found["IsTruncated"] == "true"
    return Page(
        [each["Key"] for each in found.get("Contents") or []],
        [each["Prefix"] for each in found.get("CommonPrefixes") or []],
        found["NextMarker"] if truncated else None,
        found,
    )


@contextmanager
def _clock(wrong: float) -> Iterator[None]:
    """The clock that cos-python-sdk-v5 signs with, wrong by so many seconds."""
    if not wrong:
        yield
        return
    instead = SimpleNamespace(time=lambda: time.time() + wrong)
    with mock.patch("qcloud_cos.cos_auth.time", instead):
        yield
