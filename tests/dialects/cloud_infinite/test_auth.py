"""Who may do what: owners, policies, temporary credentials, and everybody else."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from qcloud_cos import CosConfig, CosS3Client

from superres.access import Access, Policy
from superres.access.policy import statement
from superres.access.sealing import open_key
from tests.dialects.cloud_infinite.client import Client, head
from tests.dialects.cloud_infinite.conftest import new_name, somebody
from tests.dialects.cloud_infinite.making import operations, picture, rule, until
from tests.dialects.conftest import RunningServer

HOUR = timedelta(hours=1)


def may(*rules: tuple[str, str], deny: tuple[str, str] | None = None) -> Policy:
    """Each rule is actions, with commas, and a resource."""
    statements = [statement("allow", actions.split(","), [on]) for actions, on in rules]
    if deny:
        statements.append(statement("deny", deny[0].split(","), [deny[1]]))
    return Policy(tuple(statements))


@pytest.fixture(scope="module")
def stored(client: Client) -> str:
    """The key of an object that is there."""
    assert client("PUT", "in/a b.txt", body=b"hello").status == 200
    return "in/a b.txt"


def test_nobody_may_do_nothing(server: RunningServer, client: Client, stored: str) -> None:
    answer = client.send("GET", "/in/a%20b.txt", {"Host": client.host})
    assert answer.refusal == (403, "AccessDenied")
    other = replace(client, id="SRAK" + "A" * 16)
    assert other("GET", stored).refusal == (403, "InvalidAccessKeyId")
    wrong = replace(client, secret=client.secret + "x")
    answer = wrong("GET", stored)
    assert answer.refusal == (403, "SignatureDoesNotMatch")
    assert answer.texts("Message") == ["The Signature you specified is invalid."]


def test_another_s_bucket_is_closed_without_a_policy(
    server: RunningServer, client: Client, bucket: str, stored: str
) -> None:
    stranger = somebody(server).on(bucket)
    for method, key in (("GET", stored), ("PUT", "x"), ("DELETE", stored), ("GET", "")):
        assert stranger(method, key).refusal == (403, "AccessDenied")
    for method in ("HEAD", "DELETE"):
        assert stranger(method).status == 403
    assert client("GET", stored).body == b"hello"


def test_a_missing_bucket_comes_before_rights(server: RunningServer) -> None:
    nobody = somebody(server, may(("cos:GetService", "*"))).on(new_name())
    assert nobody("GET", "a").refusal == (404, "NoSuchBucket")


def test_a_policy_opens_what_it_says_and_no_more(
    server: RunningServer, bucket: str, stored: str
) -> None:
    policy = may(
        ("cos:GetObject,cos:PutObject", f"{bucket}/in/*"), ("cos:GetBucket", f"{bucket}/in/*")
    )
    reader = somebody(server, policy).on(bucket)
    assert reader("GET", stored).body == b"hello"
    assert reader("PUT", "in/new", body=b"").status == 200
    assert reader("GET", "", {"prefix": "in/"}).texts("Contents/Key") == ["in/a b.txt", "in/new"]
    for method, key, query in (
        ("DELETE", stored, {}),
        ("PUT", "out/new", {}),
        ("GET", "", {}),
        ("GET", "", {"prefix": "i"}),
        ("GET", stored, {"uploadId": "0" * 32}),
        ("POST", stored, {"uploads": ""}),
    ):
        assert reader(method, key, query).refusal == (403, "AccessDenied"), (method, key, query)
    answer = reader("DELETE", stored)
    assert answer.texts("Message")[0].endswith("its policy does not allow that.")


def test_with_a_policy_an_owner_may_only_what_it_says(server: RunningServer) -> None:
    owner = somebody(server)
    mine = owner.on(new_name())
    assert mine("PUT").status == 200
    server.access.set_policy(owner.id, may(("cos:HeadBucket", "*")))
    assert mine("HEAD").status == 200
    assert mine("DELETE").refusal == (403, "AccessDenied")
    server.access.set_policy(owner.id, None)
    assert mine("DELETE").status == 204


def test_the_list_shows_own_buckets_and_those_one_may_look_for(
    server: RunningServer, bucket: str
) -> None:
    policy = may(("cos:GetService", "*"), ("cos:PutBucket", "*"), ("cos:HeadBucket", f"{bucket}/"))
    looker = somebody(server, policy)
    mine = new_name()
    assert looker.on(mine)("PUT").status == 200
    assert looker("GET").texts("Buckets/Bucket/Name") == sorted([mine, bucket])
    assert somebody(server)("GET").texts("Buckets/Bucket/Name") == []
    other = somebody(server, may(("cos:HeadBucket", "*")))
    assert other("GET").refusal == (403, "AccessDenied")


# ---------------------------------------------------------------------- for a while


def temporary(
    server: RunningServer, parent: Client, policy: Policy | None = None
) -> tuple[Client, str]:
    """A client with a temporary credential, and its session token."""
    made = server.access.temporary(parent.id, HOUR, policy)
    return replace(parent, id=made.id, secret=made.secret), made.session_token


def test_a_temporary_credential_is_its_parent(server: RunningServer) -> None:
    parent = somebody(server)
    guest, token = temporary(server, parent)
    name = new_name()
    # The Python SDK's signer signs the token.
    assert guest.on(name)("PUT", x_cos_security_token=token).status == 200
    assert server.app.buckets.get(name).owner == parent.id
    assert parent.on(name)("DELETE").status == 204


def test_its_own_policy_narrows_it(
    server: RunningServer, client: Client, bucket: str, stored: str
) -> None:
    guest, token = temporary(server, client, may(("cos:GetObject", f"{bucket}/in/*")))
    assert guest("GET", stored, x_cos_security_token=token).body == b"hello"
    for method, key in (("PUT", "in/x"), ("GET", "out"), ("GET", "")):
        answer = guest(method, key, x_cos_security_token=token)
        assert answer.refusal == (403, "AccessDenied")


def test_a_token_that_is_missing_wrong_or_over(
    server: RunningServer, client: Client, stored: str
) -> None:
    guest, token = temporary(server, client)
    _, other = temporary(server, client)
    assert guest("GET", stored).refusal == (403, "InvalidAccessKeyId")
    for wrong in (other, token[:-2] + "xx", "é", "x" * 9000):
        headers = {"x_cos_security_token": wrong}
        assert guest("GET", stored, **headers).refusal == (403, "InvalidToken"), wrong
    app = server.app
    key = open_key(app.settings.server.data_dir, app.database)
    earlier = Access(app.database, key, clock=lambda _: time.time() - HOUR.total_seconds())
    made = earlier.temporary(client.id, HOUR)
    guest = replace(client, id=made.id, secret=made.secret)
    answer = guest("GET", stored, x_cos_security_token=made.session_token)
    # Not as an expired signature: clients would set their clocks and try again.
    assert answer.refusal == (403, "ExpiredToken")
    assert "Request has expired" not in answer.texts("Message")


def test_it_ends_with_its_parent(server: RunningServer) -> None:
    parent = somebody(server)
    guest, token = temporary(server, parent)
    assert guest("GET", x_cos_security_token=token).status == 200
    server.access.revoke(parent.id)
    assert guest("GET", x_cos_security_token=token).refusal == (403, "InvalidToken")


def test_an_address_that_is_given_away_for_a_while(
    server: RunningServer, client: Client, bucket: str, stored: str
) -> None:
    guest, token = temporary(server, client, may(("cos:GetObject", f"{bucket}/in/*")))
    endpoint = {"Endpoint": client.host.partition(".")[2], "Scheme": "http"}
    sdk = CosS3Client(CosConfig(SecretId=guest.id, SecretKey=guest.secret, **endpoint))
    url = sdk.get_presigned_url(bucket, stored, "GET", Params={"x-cos-security-token": token})
    path = url.partition(client.host)[2]
    host = {"Host": client.host}
    assert client.send("GET", path, host).body == b"hello"
    # As Node has it: the token added behind, not signed.
    bare = sdk.get_presigned_url(bucket, stored, "GET").partition(client.host)[2]
    added = f"{bare}&x-cos-security-token={token}"
    assert client.send("GET", added, host).body == b"hello"
    assert client.send("GET", bare, host).refusal == (403, "InvalidAccessKeyId")
    assert client.send("PUT", added, host).refusal == (403, "SignatureDoesNotMatch")


@pytest.mark.parametrize("unsigned", ["Pic-Operations", "x-cos-copy-source"])
def test_who_was_given_an_address_cannot_make_it_reach_further(
    client: Client, bucket: str, stored: str, unsigned: str
) -> None:
    config = CosConfig(Region="ap-test", SecretId=client.id, SecretKey=client.secret, Scheme="http")
    address = CosS3Client(config).get_presigned_url(bucket, "given.txt", "PUT", 300)
    path = address.split("myqcloud.com", 1)[1]
    added = {
        "Pic-Operations": json.dumps(
            {"rules": [{"fileid": "/in/a b.txt", "rule": "ci-process=AISuperResolution"}]}
        ),
        "x-cos-copy-source": f"{client.host}/in/a%20b.txt",
    }[unsigned]
    answer = client.send("PUT", path, {"Host": client.host, unsigned: added}, b"x")
    assert answer.refusal == (403, "AccessDenied")
    assert unsigned in answer.texts("Message")[0]
    assert client("GET", stored).body == b"hello"
    assert client.send("PUT", path, {"Host": client.host}, b"x").status == 200


# ----------------------------------------------------------- rights end while a body comes


@contextmanager
def sending(client: Client, key: str, **headers: str) -> Iterator[Callable[[], bytes]]:
    """A PUT that has come half, and what sends the rest and returns the answer."""
    half = picture()[:-1] if headers else b"x" * 70_000
    rest = picture()[-1:] if headers else b"x"
    signed = client.signed("PUT", key, content_length=str(len(half + rest)), **headers)
    with client.connection() as there:
        there.sendall(head("PUT", f"/{key}", {**signed, "Connection": "close"}) + half)

        def finish() -> bytes:
            there.sendall(rest)
            return b"".join(iter(lambda: there.recv(1 << 16), b""))

        yield finish


def spooling(server: RunningServer) -> bool:
    """Whether a body is on its way, which was let in."""
    return bool(list(server.app.spool.glob("request-*")))


@pytest.mark.parametrize("headers", [{}, operations(rule("beside.png"))])
def test_a_slow_upload_does_not_reach_the_next_owner_of_a_name(
    server: RunningServer, headers: dict[str, str]
) -> None:
    name = new_name()
    first, second = somebody(server).on(name), somebody(server).on(name)
    assert first("PUT").status == 200
    with sending(first, "key.png", **headers) as finish:
        until(lambda: spooling(server))
        assert first("DELETE").status == 204
        assert second("PUT").status == 200
        assert second("PUT", "key.png", body=b"precious").status == 200
        assert b" 403 " in finish()
    assert second("GET", "key.png").body == b"precious"
    assert second("HEAD", "beside.png").status == 404


def test_a_slow_upload_ends_with_its_credential(server: RunningServer) -> None:
    owner = somebody(server)
    mine = owner.on(new_name())
    assert mine("PUT").status == 200
    with sending(mine, "key") as finish:
        until(lambda: spooling(server))
        server.access.revoke(owner.id)
        assert b" 403 " in finish()
    assert not server.app.buckets.objects.list(mine.host.partition(".")[0]).objects


def test_a_slow_upload_keeps_to_both_policies(server: RunningServer, bucket: str) -> None:
    parent = somebody(server, may(("cos:*", f"{bucket}/*"))).on(bucket)
    guest, token = temporary(server, parent, may(("cos:PutObject", f"{bucket}/slow/*")))
    signed = {"x_cos_security_token": token}
    with sending(guest, "slow/a", **signed) as finish:
        until(lambda: spooling(server))
        assert b" 200 " in finish()
    with sending(guest, "slow/b", **signed) as finish:
        until(lambda: spooling(server))
        server.access.set_policy(parent.id, may(("cos:*", f"{bucket}/other/*")))
        assert b" 403 " in finish()
