"""The card file: what is taken, and that no error and no object gives a card number away."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest

from agents.gateway.cards import Cards, load
from agents.gateway.errors import CardFileError

PAN, OTHER = "9999990000000016", "9999990000000024"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "cards"


def written(file: Path, ending: str, text: str) -> Path:
    path = file.with_suffix(ending)
    path.write_text(text, encoding="utf-8")
    return path


def card(pan: str, number: int = 1, **changes: object) -> dict[str, object]:
    return {"pan": pan, "account_id": f"acct-{number}", "card_token": f"card-{number}"} | changes


def test_csv_and_json_say_the_same(file: Path) -> None:
    csv = written(file, ".csv", f"card_token,pan,account_id\ncard-1,{PAN},acct-1\r\ncard-2,{OTHER},acct-2\n")
    array = written(file, ".json", json.dumps([card(PAN), card(OTHER, 2)], indent=1))
    for cards in (load(csv), load(array)):
        assert len(cards) == 2
        assert cards(PAN) == ("acct-1", "card-1")
        assert cards(OTHER) == ("acct-2", "card-2")
        assert cards("9999990000000032") is None


def test_no_card_number_is_kept(file: Path) -> None:
    cards = load(written(file, ".json", json.dumps([card(PAN)])))
    seen: set[int] = set()
    objects: list[object] = [cards]
    while objects:
        each = objects.pop()
        if id(each) in seen or isinstance(each, type):
            continue
        seen.add(id(each))
        assert PAN not in repr(each)
        assert PAN.encode() not in each if isinstance(each, bytes) else True
        objects += gc.get_referents(each)
    assert len(seen) > 5


def test_two_processes_hash_differently(file: Path) -> None:
    path = written(file, ".json", json.dumps([card(PAN)]))
    first, second = load(path), load(path)
    assert not first._tokens.keys() & second._tokens.keys()


@pytest.mark.parametrize(
    ("ending", "text", "complaint"),
    [
        (".csv", f"pan,account_id\n{PAN},acct-1\n", "line 1: no column card_token"),
        (".csv", f"{PAN},acct-1,card-1\n", "line 1: no column pan, account_id, card_token"),
        (".csv", f"pan,account_id,card_token\n{PAN},acct-1,card-1\n{PAN},acct-2,card-2\n", "line 3: pan: stands in"),
        (".csv", f"pan,account_id,card_token\n{PAN}x,acct-1,card-1\n", "line 2: pan: not 12 to 19 digits"),
        (".csv", f"pan,account_id,card_token\n{PAN},acct 1,card-1\n", "line 2: account_id: not 1 to 64"),
        (".csv", f"pan,account_id,card_token\n{PAN},acct-1\n", "line 2: card_token: not 1 to 64"),
        (".csv", f'pan,account_id,card_token\n{PAN},"acct-1"1,card-1\n', "line 2: "),
        (".csv", f"pan,account_id,card_token\n{PAN},acct-1,card-{PAN}\n", "line 2: card_token: has the card number"),
        (".csv", "pan,account_id,card_token\n", "no card in it"),
        (".csv", "", "line 1: no column"),
        (".json", "{}", "line 1: not a JSON array"),
        (".json", "", "line 1: not a JSON array"),
        (".json", "[]", "no card in it"),
        (".json", f'[\n  "{PAN}"\n]', "line 2: not an object"),
        (".json", f'[{{"pan": {PAN}, "account_id": "a", "card_token": "c"}}]', "line 1: pan: not 12 to 19 digits"),
        (".json", f'[\n{json.dumps(card(PAN))},\n{json.dumps(card(OTHER, 2, account_id=None))}]', "line 3: account_id"),
        (".json", f'[\n{json.dumps(card(PAN))}\n{json.dumps(card(OTHER))}]', "line 3: neither a comma nor"),
        (".json", f'[\n{json.dumps(card(PAN))},\n{{"pan": "{OTHER}" "account_id"}}]', "line 3: not JSON"),
        (".json", f'[\n{json.dumps(card(PAN))},\n', "line 3: not JSON"),
        (".json", f'[{json.dumps(card(PAN))}]\n{PAN}', "line 2: something behind the array"),
        (".txt", f"{PAN}\n", "ends in .json or .csv"),
    ],
)  # fmt: skip
def test_an_error_names_the_line_and_never_the_card_number(file: Path, ending: str, text: str, complaint: str) -> None:
    path = written(file, ending, text)
    with pytest.raises(CardFileError) as refused:
        load(path)
    said = str(refused.value)
    assert str(path) in said
    assert complaint in said
    assert PAN not in said
    assert OTHER not in said
    assert refused.value.__suppress_context__ or refused.value.__cause__ is None


def test_a_file_that_is_not_there_or_not_text(file: Path) -> None:
    with pytest.raises(CardFileError, match="No such file"):
        load(file.with_suffix(".csv"))
    file.with_suffix(".csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CardFileError, match="not UTF-8"):
        load(file.with_suffix(".csv"))


def test_a_file_from_a_spreadsheet_begins_with_a_mark(file: Path) -> None:
    path = written(file, ".csv", f"\ufeffpan,account_id,card_token\n{PAN},acct-1,card-1\n")
    cards = load(path)
    assert isinstance(cards, Cards)
    assert cards(PAN) == ("acct-1", "card-1")
