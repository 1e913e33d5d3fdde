"""What pages say: texts in English and Russian, the meaning of the API's values, numbers, sizes and dates."""

import tomllib
from decimal import Decimal
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from market_photos.archive.catalog.photos import State
from market_photos.errors import ExitCode
from market_photos.pages import LANGUAGES, Wording, templates
from market_photos.record import Amount

ROOMS = ["market_photos.browse", "market_photos.export"]
RU, EN = Wording("ru", ROOMS[0]), Wording("en", ROOMS[0])
#: What the API's description of July 2026 says of each value; beside it the states of a photo, which are ours.
API_VALUES: dict[str, dict[str, str]] = tomllib.loads(
    (Path(__file__).parents[1] / "api_values.toml").read_text(encoding="utf-8")
)


def plain(shown: str) -> str:
    return shown.replace("\xa0", " ")


def table(package: str, name: str) -> dict[str, dict[str, list[str]]]:
    return tomllib.loads(resources.files(package).joinpath(name).read_text(encoding="utf-8"))


def test_the_table_of_values_is_the_apis() -> None:
    """A value that is missing would be shown raw, and one too many is a spelling mistake."""
    values = table("market_photos", "values.toml")
    assert set(values) == {*API_VALUES, "field", "state"}
    for section, meanings in API_VALUES.items():
        assert set(values[section]) == set(meanings), section
    assert set(values["state"]) == {*State, "none"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_two_values_never_have_the_same_words(language: str) -> None:
    """Filters by value list the words."""
    words = Wording(language, ROOMS[0])
    for section, names in API_VALUES.items():
        shown = [words.value(section, name) for name in names]
        assert len(set(shown)) == len(shown), section


@pytest.mark.parametrize(
    ("section", "value", "english", "russian"),
    [
        ("refund", "REFUND_IN_PROGRESS", "decision awaited", "решения ещё нет"),
        ("refund", "WAITING_FOR_DECISION", "store's decision", "решения магазина"),
        ("refund", "PREMODERATION_DECISION_WAITING", "store's decision", "решения магазина"),
        ("refund", "REFUNDED_WITH_BONUSES", "Plus points or a promo code", "баллы Плюса или промокод"),
        ("refund", "FAILED", "cannot be made", "невозможно"),
        ("reason", "LOYALTY_FAIL", "Nobody found responsible", "Виновный в браке или пересорте не найден"),
        ("reason", "CONTENT_FAIL", "the Market's fault", "по вине Маркета"),
        ("reason", "DELIVERY_FAIL", "Not delivered", "Не доставлен"),
        ("subreason", "PARCEL_MISSING", "A part of the order", "части заказа"),
        ("subreason", "INCOMPLETE", "order did not come in full", "Заказ пришёл не полностью"),
        ("subreason", "INCOMPLETENESS", "part of the item or set", "детали или предмета из набора"),
        ("subreason", "BAD_PACKAGE", "Factory packaging", "заводская упаковка"),
        ("subreason", "WRAPPING_DAMAGED", "Transport packaging", "транспортная упаковка"),
        ("decision", "FAST_REFUND_MONEY", "without the goods coming back", "без возврата товара"),
        ("shipment", "EXPIRED", "The buyer did not bring", "Покупатель не принёс"),
        ("refund", "A_VALUE_OF_TOMORROW", "A_VALUE_OF_TOMORROW", "A_VALUE_OF_TOMORROW"),
    ],
)
def test_a_value_has_the_meaning_that_the_api_gives_it(section: str, value: str, english: str, russian: str) -> None:
    """Of those that are easily misread; an unknown value is shown as it is."""
    assert english in EN.value(section, value)
    assert russian in RU.value(section, value)


@pytest.mark.parametrize(
    ("package", "name"), [("market_photos", "values.toml"), *[(room, "words.toml") for room in ROOMS]]
)
def test_every_text_exists_in_both_languages(package: str, name: str) -> None:
    for section in table(package, name).values():
        for key, texts in section.items():
            assert len(texts) == len(LANGUAGES), key
            assert all(texts), key


def test_every_exit_code_has_words() -> None:
    assert {str(int(code)) for code in ExitCode} <= set(table(ROOMS[0], "words.toml")["exit"])


@pytest.mark.parametrize(
    ("n", "russian", "english"),
    [
        (1, "возврат", "return"),
        (2, "возврата", "returns"),
        (5, "возвратов", "returns"),
        (11, "возвратов", "returns"),
        (21, "возврат", "returns"),
        (112, "возвратов", "returns"),
    ],
)
def test_a_noun_agrees_with_its_number(n: int, russian: str, english: str) -> None:
    assert RU.counted("returns_n", n) == f"{n} {russian}"
    assert EN.counted("returns_n", n) == f"{n} {english}"


@pytest.mark.parametrize(
    ("size", "russian", "english"),
    [
        (1, "1 байт", "1 byte"),
        (999, "999 байт", "999 bytes"),
        (1500, "1,5 кБ", "1.5 kB"),
        (2.5e12, "2 500 ГБ", "2,500 GB"),
    ],
)
def test_a_size_is_shown_in_decimal_units(size: float, russian: str, english: str) -> None:
    assert (plain(RU.bytes(size)), plain(EN.bytes(size))) == (russian, english)


@pytest.mark.parametrize(
    ("seconds", "russian", "english"),
    [
        (-1, "0 с", "0 secs"),
        (59, "59 с", "59 secs"),
        (125, "2 мин 5 с", "2 mins 5 secs"),
        (3700, "1 ч 1 мин", "1 hr 1 min"),
        (48 * 3600, "48 ч", "48 hrs"),
        (100 * 3600, "4 дн. 4 ч", "4 days 4 hrs"),
    ],
)
def test_a_duration_is_shown_in_its_two_largest_units(seconds: float, russian: str, english: str) -> None:
    assert (plain(RU.duration(seconds)), plain(EN.duration(seconds))) == (
        russian,
        english,
    )


def test_numbers_and_prices_are_written_as_in_the_language() -> None:
    assert (EN.number(12345), RU.number(12345)) == ("12,345", "12\xa0345")
    assert EN.money(Amount(Decimal("12.50"), "BYN")) == "12.5 BYN"
    assert (EN.money(Amount(Decimal(1200), "RUR")), plain(RU.money(Amount(Decimal(1200), "RUR")))) == (
        "1,200 ₽",
        "1 200 ₽",
    )
    assert (EN.money(Amount(Decimal(5), "")), RU.money(None)) == ("5", "")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2026-09-20T20:05:00Z", "20.09.2026 23:05"),
        ("2026-09-20", "20.09.2026"),
        ("yesterday", "yesterday"),
        ("", ""),
        ("0001-01-01T00:00:00+14:00", "0001-01-01T00:00:00+14:00"),
    ],
)
def test_a_date_is_shown_in_moscow_time_or_left_as_it_is(text: str, shown: str) -> None:
    assert RU.date(text) == shown


def test_a_moment_outside_the_calendar_is_empty() -> None:
    assert (EN.moment(None), EN.moment(1e18), EN.moment(0)) == ("", "", "1 Jan 1970, 03:00")


@pytest.mark.parametrize(
    ("value", "shown"),
    [("<b>", "&lt;b&gt;"), ("a\x00b\x1b[31m", "ab[31m"), ("\ud800", r"\ud800"), (7, "7"), (None, "None")],
)
def test_templates_escape_values_and_drop_control_characters(value: Any, shown: str) -> None:
    source = "{% macro bold(value) %}<b>{{ value }}</b>{% endmacro %}{{ bold(value) }}"
    assert templates(ROOMS[0]).from_string(source).render(value=value) == f"<b>{shown}</b>"
