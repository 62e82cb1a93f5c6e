"""Buckets themselves: names, owners, what they need to go."""

from __future__ import annotations

import threading

import pytest

from superres.buckets import Buckets
from superres.errors import BadParameter, BucketExists, BucketNotEmpty, BucketNotFound
from tests.unit.buckets.conftest import NAME, OWNER, Room, on_disk, shared


def test_a_bucket_is_what_it_was_made(room: Room) -> None:
    made = room.buckets.create("b-1", "somebody", processing=False)
    assert (made.name, made.owner, made.processing) == ("b-1", "somebody", False)
    assert made.created_at == room.clock.now
    assert room.buckets.get("b-1") == made
    assert room.opened().get("b-1") == made


@on_disk
@pytest.mark.parametrize("name", ["abc", "a-b", "0-0", "a" * 63, "photos-1250000000"])
def test_names_that_buckets_can_have(room: Room, name: str) -> None:
    if name != NAME:
        room.buckets.create(name, OWNER)
    assert room.buckets.get(name).name == name


@on_disk
@pytest.mark.parametrize(
    "name", ["", "ab", "a" * 64, "-ab", "ab-", "Abc", "a.b", "a_b", "a/b", "ab\n", "é-1", "٣٣٣"]
)
def test_names_that_buckets_cannot_have(room: Room, name: str) -> None:
    with pytest.raises(BadParameter, match="A bucket's name must have 3 to 63"):
        room.buckets.create(name, OWNER)


def test_a_name_is_taken_once(room: Room) -> None:
    for who in (OWNER, "somebody"):
        with pytest.raises(BucketExists) as told:
            room.buckets.create(NAME, who)
        assert told.value.owner == OWNER


def test_an_owner_has_a_number_of_buckets(room: Room) -> None:
    buckets = room.opened(max_buckets=2)
    buckets.create("second", OWNER)
    with pytest.raises(BadParameter, match="max_buckets"):
        buckets.create("third", OWNER)
    with pytest.raises(BucketExists):  # that is told first
        buckets.create("second", OWNER)
    buckets.create("third", "somebody")
    buckets.delete("second")
    buckets.create("second", OWNER)


@shared
def test_the_number_holds_when_many_are_made_at_once(room: Room) -> None:
    buckets = room.opened(max_buckets=4)
    refused = []

    def make(number: int) -> None:
        try:
            buckets.create(f"bucket-{number}", OWNER)
        except BadParameter:
            refused.append(number)

    threads = [threading.Thread(target=make, args=[number]) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(refused) == 5
    assert len(buckets.list(OWNER)) == 4


def test_buckets_are_listed_by_name(room: Room) -> None:
    for name, who in (("b-b", "me"), ("ba", "me"), ("bab", "me"), ("b0b", "you")):
        if len(name) > 2:
            room.buckets.create(name, who)
    assert [each.name for each in room.buckets.list()] == ["b-b", "b0b", "bab", NAME]
    assert [each.name for each in room.buckets.list("me")] == ["b-b", "bab"]
    assert room.buckets.list("nobody") == []


def test_a_bucket_changes_hands_and_rights(room: Room) -> None:
    assert room.buckets.give(NAME, "you").owner == "you"
    assert room.buckets.enable_processing(NAME, on=False).processing is False
    found = room.buckets.get(NAME)
    assert (found.owner, found.processing) == ("you", False)
    assert room.buckets.enable_processing(NAME).processing is True


@pytest.mark.parametrize("name", ["missing", "", "A", "a\0b", "\ud800", "a" * 100])
def test_what_is_missing_is_said(room: Room, name: str) -> None:
    buckets: Buckets = room.buckets
    for ask in (
        lambda: buckets.get(name),
        lambda: buckets.usage(name),
        lambda: buckets.delete(name),
        lambda: buckets.give(name, "me"),
        lambda: buckets.enable_processing(name),
        lambda: buckets.objects.get(name, "a"),
        lambda: buckets.objects.list(name),
        lambda: buckets.objects.delete(name, "a"),
        lambda: buckets.objects.put(room.new("a", bucket=name)),
        lambda: buckets.uploads.create(name, "a", OWNER),
        lambda: buckets.uploads.list(name),
    ):
        with pytest.raises(BucketNotFound, match="There is no bucket"):
            ask()
    assert room.known() == room.held() == set()


def test_only_an_empty_bucket_goes(room: Room) -> None:
    room.put("a")
    with pytest.raises(BucketNotEmpty):
        room.buckets.delete(NAME)
    room.objects.delete(NAME, "a")
    upload = room.uploads.create(NAME, "a", OWNER)
    with pytest.raises(BucketNotEmpty, match="unfinished uploads"):
        room.buckets.delete(NAME)
    room.uploads.abort(upload)
    room.buckets.delete(NAME)
    with pytest.raises(BucketNotFound):
        room.buckets.get(NAME)
    room.buckets.create(NAME, "somebody else")
    assert room.names() == []


def test_usage_counts_objects_and_unfinished_uploads(room: Room) -> None:
    assert room.buckets.usage(NAME) == (0, 0)
    room.put("a", b"12345")
    room.put("b", b"")
    room.put_parts("c", b"123", b"4")
    room.begin("d", b"12")
    room.buckets.create("other", OWNER)
    room.objects.put(room.new("a", b"123456", bucket="other"))
    assert room.buckets.usage(NAME) == (3, 11)
    room.objects.delete(NAME, "a")
    assert room.buckets.usage(NAME) == (2, 6)
