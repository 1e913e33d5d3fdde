"""Errors of a storage are told in a line, with what to do, and without any key."""

import time
from collections.abc import Iterator

import pytest

from market_photos.archive import probe
from market_photos.archive.objects import SECRETS, VERBATIM, Bucket, Found
from market_photos.archive.patience import Patience
from market_photos.archive.storage_errors import Conflict, NotSupported, reason_of
from market_photos.errors import ArchiveUnwritable, ConfigError

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"
REFUSED = f"""Generic S3 error: Error performing PUT http://127.0.0.1/b/k in 2ms - Server returned non-2xx status \
code: 403 Forbidden: <Error><Code>SignatureDoesNotMatch</Code><Message>The signature does not match.\
</Message><AWSAccessKeyId>AKIAIOSFODNN7EXAMPLE</AWSAccessKeyId><StringToSign>{SECRET}</StringToSign></Error>

Debug source: {SECRET}"""


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Bucket:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    return Bucket("s3://bucket/prefix/", "http://127.0.0.1:1", Patience(0.0))


def test_the_words_of_the_storage_are_told_without_a_key(bucket: Bucket) -> None:
    told = reason_of(Exception(REFUSED))
    assert told == "the storage answers SignatureDoesNotMatch: The signature does not match"


def test_a_storage_that_gives_a_code_and_no_words_is_told_with_the_code() -> None:
    refused = "403 Forbidden: <Error><Code>AccessDenied</Code><Message></Message><BucketName>b</BucketName></Error>"
    assert reason_of(Exception(refused)) == "the storage answers AccessDenied"


def test_a_server_that_is_no_storage_is_told_with_its_address() -> None:
    answer = "Server returned non-2xx status code: 404 Not Found: "
    text = f"Generic S3 error: Error performing GET http://h:80/b/k in 2ms - {answer}\n\nDebug source:"
    told = reason_of(Exception(text))
    assert told == "no usable answer from http://h:80: Server returned non-2xx status code: 404 Not Found"


def test_a_storage_that_cannot_be_reached_is_named(bucket: Bucket) -> None:
    with pytest.raises(ArchiveUnwritable) as caught:
        bucket.create("7/lease.json", b"x")
    assert caught.value.message == (
        "s3://bucket/prefix/7/lease.json: no usable answer from http://127.0.0.1:1: Connection refused."
    )
    assert "AKIA" not in repr(caught.value.message) + repr(bucket.url)
    assert caught.value.__cause__ is None
    assert "endpoint" in caught.value.hint


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"AWS_SECRET_ACCESS_KEY": ""}, "AWS_SECRET_ACCESS_KEY"),
        ({"AWS_ACCESS_KEY_ID": ""}, "AWS_ACCESS_KEY_ID"),
        *(({name: f"{SECRET}{end}"}, name) for name in VERBATIM for end in ("\n", "\r\n", " ", "\tmore", "é")),
        ({"AWS_SESSION_TOKEN": f"\n{SECRET}"}, "AWS_SESSION_TOKEN"),
        ({"AWS_CHECKSUM_ALGORITHM": "none"}, "AWS_"),
    ],
)
def test_a_key_that_is_not_whole_is_an_error_of_the_configuration_that_names_the_variable(
    monkeypatch: pytest.MonkeyPatch, bucket: Bucket, changed: dict[str, str], named: str
) -> None:
    for name, value in changed.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigError) as caught:
        Bucket("s3://bucket/prefix/", "http://127.0.0.1:1")
    told = f"{caught.value.message} {caught.value.hint}"
    assert named in told
    assert SECRET not in told


def test_an_address_that_obstore_cannot_use_is_an_error_of_the_configuration(
    monkeypatch: pytest.MonkeyPatch, bucket: Bucket
) -> None:
    """It panics for some, and does not accept others."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", "no address")
    with pytest.raises(ConfigError, match=r"s3://bucket/prefix: .*Invalid"):
        Bucket("s3://bucket/prefix", None, Patience(0.0)).get("7/lease.json")
    with pytest.raises(ConfigError, match="empty path segment"):
        Bucket("s3://bucket/a//b", "http://127.0.0.1:1")


def test_no_key_is_no_error_as_the_machine_may_have_a_role(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SECRETS:
        monkeypatch.delenv(name, raising=False)
    assert Bucket("s3://bucket/prefix/", "http://127.0.0.1:1").url == "s3://bucket/prefix"


class Careless:
    """A storage that ignores conditions, or refuses every swap."""

    url = "s3://bucket"
    quotes_etag = True
    is_probed = False

    age = 0.0
    keeps_all = False

    def __init__(self, *ignored: str, unknown: tuple[str, ...] = (), wants_quotes: bool | None = True) -> None:
        self.ignored = ignored
        self.unknown = unknown
        self.wants_quotes = wants_quotes
        self.keys: set[str] = set()

    def create(self, key: str, content: bytes) -> str:
        if "create" in self.unknown:
            raise NotSupported("s3://bucket: the storage answers NotImplemented.")
        if key in self.keys and "create" not in self.ignored:
            raise Conflict
        self.keys.add(key)
        return '"abc"'

    def swap(self, key: str, content: bytes, etag: str) -> str:
        if "swap" in self.unknown:
            raise NotSupported("s3://bucket: the storage answers NotImplemented.")
        if "swap" not in self.ignored and (etag != '"abc"' or self.quotes_etag is not self.wants_quotes):
            raise Conflict
        return '"def"'

    def remove(self, *keys: str) -> None:
        if self.keeps_all:
            raise ArchiveUnwritable("s3://bucket: the storage answers AccessDenied.")
        self.keys.difference_update(keys)

    def walk(self, prefix: str) -> Iterator[Found]:
        yield from (Found(key, 1, time.time() - self.age, "") for key in self.keys if key.startswith(prefix))


@pytest.mark.parametrize(
    ("storage", "feature"),
    [
        (Careless("create", "swap"), probe.CREATE_ONLY),
        (Careless("swap"), probe.COMPARE_AND_SWAP),
        (Careless(wants_quotes=None), probe.COMPARE_AND_SWAP),
        (Careless(unknown=("create",)), probe.CREATE_ONLY),
        (Careless(unknown=("swap",)), probe.COMPARE_AND_SWAP),
    ],
)
def test_a_storage_that_lacks_a_condition_is_refused_by_its_name(storage: Careless, feature: str) -> None:
    with pytest.raises(ArchiveUnwritable) as caught:
        probe.require_conditional_puts(storage)  # type: ignore[arg-type]
    assert feature in caught.value.message
    assert storage.keys == set()


@pytest.mark.parametrize("wants_quotes", [True, False])
def test_the_probe_learns_how_the_storage_wants_an_etag(wants_quotes: bool) -> None:
    storage = Careless(wants_quotes=wants_quotes)
    probe.require_conditional_puts(storage)  # type: ignore[arg-type]
    assert (storage.quotes_etag, storage.keys) == (wants_quotes, set())
    storage.ignored = ("create",)
    probe.require_conditional_puts(storage)  # type: ignore[arg-type] # once is enough


def test_a_storage_from_which_nothing_may_be_removed_is_refused_for_what_it_lacks_all_the_same() -> None:
    storage = Careless("create")
    storage.keeps_all = True
    with pytest.raises(ArchiveUnwritable) as caught:
        probe.require_conditional_puts(storage)  # type: ignore[arg-type]
    assert probe.CREATE_ONLY in caught.value.message


@pytest.mark.parametrize(("age", "left"), [(probe.LEFT_SECONDS / 2, 1), (probe.LEFT_SECONDS * 2, 0)])
def test_a_probe_that_a_killed_process_has_left_is_removed_a_day_later(age: float, left: int) -> None:
    storage = Careless()
    storage.keys, storage.age = {f"{probe.FOLDER}/of-a-killed-process"}, age
    probe.require_conditional_puts(storage)  # type: ignore[arg-type]
    assert len(storage.keys) == left
