"""Display filters as people write them, `vni == 36705 && tcp.port == 80`, made into programs.

    or:    and { ("||" | "or") and }
    and:   not { ("&&" | "and") not }
    not:   { "!" | "not" } ( "(" or ")" | test )
    test:  name                                       the record has the field, or the condition holds
         | name ["&" number] operator value           == != < <= > >=, or eq ne lt le gt ge; contains
         | name ["&" number] ["not"] "in" "{" item { "," item } "}"
    item:  value [ ".." value ]

It is the language of Wireshark 4 as far as it goes. A field may have several values (`addr` has two): a comparison
holds where one of them is such, `!=` where all differ. Of a field that a record does not have no comparison holds,
neither does `!=`; `!(tcp.port == 80)` does.

The text may come from anywhere: its length and how deep it is nested are bounded.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from socket import AF_INET, AF_INET6, inet_pton
from typing import NamedTuple, NoReturn

from vxtool.durations import is_number, nanoseconds
from vxtool.errors import UsageError
from vxtool.listing.facts import OUTCOMES
from vxtool.listing.filter import (
    ACCEPT,
    ALL_BITS,
    IPV4_END,
    IPV6_END,
    LEAST,
    MAC_END,
    MOST,
    MOST_TESTS,
    NAME_OF_TEXT,
    NO_VALUE,
    REJECT,
    TEXT_ANY_CASE,
    TEXT_CONTAINS,
    WHOLE_TEXT,
    Field,
    FieldTest,
    Program,
    names_like,
)
from vxtool.listing.filter_fields import BY_NAME, FilterField
from vxtool.spelling import nearest

LONGEST = 8192  # characters
DEEPEST = 64  # parentheses within each other

_SIGNS = ("===", "!==", "==", "!=", "<=", ">=", "&&", "||", "<", ">", "!", "=", "&", "|", "(", ")", "{", "}", ",")
_WORDS = {"and": "&&", "or": "||", "not": "!", "eq": "==", "ne": "!=", "lt": "<", "le": "<=", "gt": ">", "ge": ">="}
_COMPARISONS = ("==", "!=", "<", "<=", ">", ">=")
_EQUALITIES = ("==", "!=")
_MISSPELLED = {"=": "==", "===": "==", "!==": "!=", "|": "||"}
_LISTS_ALL = "`vxtool fields filter` lists all."
_LARGEST_IDENTITY = (1 << 24) - 1


class FilterNames(NamedTuple):
    """What only the caller knows by name."""

    # The numbers of the security identities that are called so; * in it stands for any text.
    identities: Callable[[str], Collection[int]] | None = None
    inputs: Sequence[str] = ()  # paths, in order


class _Token(NamedTuple):
    kind: str  # word, text (in quotes), sign or end
    text: str
    column: int  # from 1


class _Not(NamedTuple):
    part: _Node


class _Join(NamedTuple):
    all_: bool  # else: any
    parts: Sequence[_Node]


_Node = FieldTest | _Not | _Join


class _Range(NamedTuple):
    """Numbers or octets of one kind, from one to another."""

    low: int
    high: int
    kind: int = 0


def compile_filter(text: str, names: FilterNames | None = None, where: str = "-Y") -> Program:
    """The program for a filter; an empty one wants every line.

    Raises UsageError, which begins with `where` and the column, and says what was expected there.
    """
    return _Parser(text, names or FilterNames(), where).program()


class _Parser:
    def __init__(self, text: str, names: FilterNames, where: str) -> None:
        self._where = where
        self._names = names
        self._texts = bytearray()
        if len(text) > LONGEST:
            self._fail(LONGEST + 1, f"is longer than {LONGEST} characters; ask for less at a time.")
        self._tokens = self._split(text)
        self._at = 0
        self._depth = 0

    def program(self) -> Program:
        if self._next.kind == "end":
            return Program()
        node = self._any()
        if self._next.kind != "end":
            found = self._next
            if found.text == ")":
                self._fail(found.column, "a ) without its (; take it out.")
            self._unexpected("&& or || between two conditions")
        row: list[FieldTest] = []
        _lay(node, ACCEPT, REJECT, row)
        if len(row) > MOST_TESTS:
            self._fail(1, f"comes to {len(row)} tests; expected at most {MOST_TESTS}, ask for less at a time.")
        return Program(_turned(row), bytes(self._texts))

    # Reading.

    def _split(self, text: str) -> list[_Token]:
        tokens: list[_Token] = []
        at = 0
        in_braces = False
        while at < len(text):
            if text[at].isspace():
                at += 1
                continue
            begin = at
            if text[at] in "\"'":
                content, at = self._quoted(text, at)
                tokens.append(_Token("text", content, begin + 1))
                continue
            sign = next((sign for sign in _SIGNS if text.startswith(sign, at)), None)
            if sign is not None:
                at += len(sign)
                in_braces = (in_braces or sign == "{") and sign != "}"
                tokens.append(_Token("sign", sign, begin + 1))
                continue
            while at < len(text) and not text[at].isspace() and text[at] not in "\"'=!<>&|(){},":
                if in_braces and text.startswith("..", at):
                    break
                at += 1
            if at > begin:
                tokens.append(_Token("word", text[begin:at], begin + 1))
            else:
                at += 2
                tokens.append(_Token("sign", "..", begin + 1))
        tokens.append(_Token("end", "", len(text) + 1))
        return tokens

    def _quoted(self, text: str, begin: int) -> tuple[str, int]:
        """The text in the quotes that begin there, and where it goes on."""
        content = []
        at = begin + 1
        while at < len(text) and text[at] != text[begin]:
            if text[at] == "\\":
                at += 1
                if at < len(text) and text[at] not in "\\\"'":
                    self._fail(at, f"\\{_plain(text[at])} is no escape; expected \\\\, \\\" or \\'.")
            content.append(text[at : at + 1])
            at += 1
        if at >= len(text):
            self._fail(begin + 1, f"the quote is not closed; expected another {text[begin]} behind it.")
        return "".join(content), at + 1

    @property
    def _next(self) -> _Token:
        return self._tokens[self._at]

    def _take(self) -> _Token:
        token = self._next
        if token.kind != "end":
            self._at += 1
        return token

    def _sign(self) -> str:
        """The next token as a sign: itself, or what its word stands for."""
        token = self._next
        if token.kind == "sign":
            return token.text
        return _WORDS.get(token.text.lower(), "") if token.kind == "word" else ""

    def _is_sign(self, *signs: str) -> bool:
        return self._sign() in signs

    def _is_word(self, word: str) -> bool:
        return self._next.kind == "word" and self._next.text.lower() == word

    def _fail(self, column: int, message: str) -> NoReturn:
        raise UsageError(f"{self._where}: column {column}: {message}")

    def _unexpected(self, expected: str) -> NoReturn:
        token = self._next
        if token.kind == "sign" and token.text in _MISSPELLED:
            self._fail(token.column, f"{token.text} is no operator; did you mean {_MISSPELLED[token.text]}?")
        self._fail(token.column, f"expected {expected}, found {_shown(token)}.")

    # Conditions.

    def _any(self) -> _Node:
        parts = [self._all()]
        while self._is_sign("||"):
            self._take()
            parts.append(self._all())
        return parts[0] if len(parts) == 1 else _Join(False, parts)

    def _all(self) -> _Node:
        parts = [self._not()]
        while self._is_sign("&&"):
            self._take()
            parts.append(self._not())
        return parts[0] if len(parts) == 1 else _Join(True, parts)

    def _not(self) -> _Node:
        turned = False
        while self._is_sign("!"):
            self._take()
            turned = not turned
        part = self._group() if self._is_sign("(") else self._test()
        return _Not(part) if turned else part

    def _group(self) -> _Node:
        opened = self._take()
        self._depth += 1
        if self._depth > DEEPEST:
            self._fail(opened.column, f"more than {DEEPEST} parentheses within each other; ask for less at a time.")
        node = self._any()
        if not self._is_sign(")"):
            if self._next.kind == "end":
                self._fail(opened.column, "the ( is not closed; expected a ) behind its condition.")
            self._unexpected("&& or || between two conditions, or )")
        self._take()
        self._depth -= 1
        return node

    def _test(self) -> _Node:
        name = self._next
        if name.kind != "word" or name.text.lower() in _WORDS:
            self._unexpected("the name of a field, such as tcp.port")
        field = BY_NAME.get(name.text) or BY_NAME.get(name.text.lower())
        if field is None:
            self._unknown(name)
        self._take()
        if self._is_sign("&"):
            field = self._masked(field)
            if not self._is_sign(*_COMPARISONS) and not self._begins_set():
                return FieldTest(field.field, choice=field.choice, mask=field.mask, low=1)
        if self._begins_set():
            turned = self._is_sign("!")
            if turned:
                self._take()
            node = self._set(field)
            return _Not(node) if turned else node
        if self._is_word("contains"):
            return self._contains(field)
        if not self._is_sign(*_COMPARISONS):
            self._refuse_others(field)
            return _presence(field, self._kept)
        operator = self._take()
        return self._compared(field, operator, _WORDS.get(operator.text.lower(), operator.text))

    def _begins_set(self) -> bool:
        if self._is_word("in"):
            return True
        following = self._tokens[min(self._at + 1, len(self._tokens) - 1)]
        return self._is_sign("!") and following.kind == "word" and following.text.lower() == "in"

    def _unknown(self, name: _Token) -> NoReturn:
        if name.text[0].isdigit():
            self._fail(
                name.column, f"expected the name of a field first, as in tcp.port == 80, found {_shown(name)}."
            )
        guesses = nearest(name.text[:60], BY_NAME, 1, 0.6)
        guess = f"did you mean {guesses[0]}? " if guesses else ""
        self._fail(name.column, f"{_plain(name.text)}: no such field; {guess}{_LISTS_ALL}")

    def _refuse_others(self, field: FilterField) -> None:
        """Operators that Wireshark has and this language has not, and slips of the pen."""
        token = self._next
        if token.kind == "word" and token.text.lower() in ("matches", "~"):
            self._fail(
                token.column,
                f"{token.text}: there are no regular expressions; use contains, or == with * for any text.",
            )
        if token.kind == "sign" and token.text in _MISSPELLED:
            self._unexpected("an operator")
        if token.kind in ("word", "text") and not self._is_sign("&&", "||", "!"):
            if field.kind == "condition":
                self._unexpected("&& or || between two conditions")
            self._unexpected(f"an operator behind {field.name}, as in {field.example}")

    def _masked(self, field: FilterField) -> FilterField:
        sign = self._take()
        if field.kind != "number" or field.mask != ALL_BITS:
            self._fail(
                sign.column,
                f"{field.name} & ...: expected a number such as tcp.flags before &; or && between two conditions.",
            )
        token = self._value(field)
        return field._replace(mask=self._number(field, token))

    # Comparisons.

    def _value(self, field: FilterField) -> _Token:
        if self._next.kind not in ("word", "text"):
            self._unexpected(f"a value, as in {field.example}")
        return self._take()

    def _compared(self, field: FilterField, operator: _Token, sign: str) -> _Node:
        self._may_be(field, operator, sign)
        token = self._value(field)
        if field.kind in ("text", "pod"):
            return self._like(field, token, sign == "!=")
        ranges = self._ranges(field, token)
        if sign not in _EQUALITIES:
            one = ranges[0]
            if len(ranges) > 1 or (one.low != one.high and not field.shift) or _is_name(field, token):
                self._fail(
                    operator.column, f"{sign} compares with one value; expected == or != before {_shown(token)}."
                )
            return _ranged(field, _beyond(one, sign))
        return _joined([_ranged(field, one, sign == "!=") for one in ranges], sign == "!=")

    def _may_be(self, field: FilterField, operator: _Token, sign: str) -> None:
        if field.kind == "condition":
            self._fail(
                operator.column, f"{field.name} is a condition of its own; write it alone, or with ! before it."
            )
        if sign not in _EQUALITIES and field.kind in ("text", "pod", "flag", "outcome", "input"):
            self._fail(operator.column, f"{field.name} cannot be compared by {sign}; expected == or !=.")

    def _set(self, field: FilterField) -> _Node:
        word = self._take()
        self._may_be(field, word, "==")
        if not self._is_sign("{"):
            self._unexpected(f"{{ and values behind in, as in {field.name} in {{...}}")
        opened = self._take()
        parts: list[_Node] = []
        while True:
            if self._next.kind == "end":
                self._fail(opened.column, "the { is not closed; expected a } behind its values.")
            parts.append(self._item(field))
            if self._is_sign("}"):
                self._take()
                return _joined(parts, False)
            if not self._is_sign(",") and self._next.kind != "end":
                self._unexpected("a comma between two values, or }")
            if self._is_sign(","):
                self._take()

    def _item(self, field: FilterField) -> _Node:
        first = self._value(field)
        if not self._is_sign(".."):
            if field.kind in ("text", "pod"):
                return self._like(field, first, False)
            return _joined([_ranged(field, one) for one in self._ranges(field, first)], False)
        dots = self._take()
        if field.kind in ("text", "pod", "flag", "outcome"):
            self._fail(dots.column, f"{field.name} has no ranges; expected values with commas between.")
        last = self._value(field)
        low, high = self._ranges(field, first), self._ranges(field, last)
        if len(low) > 1 or len(high) > 1 or _is_name(field, first) or _is_name(field, last):
            self._fail(dots.column, "a range is from one number to another.")
        if low[0].kind != high[0].kind or low[0].low > high[0].high:
            self._fail(
                first.column,
                f"the range from {_shown(first)} to {_shown(last)} is empty; expected the lower first.",
            )
        return _ranged(field, _Range(low[0].low, high[0].high, low[0].kind))

    # Text.

    def _kept(self, text: str) -> tuple[int, int]:
        """Where the program holds this text, and its size."""
        data = text.encode("utf-8", "surrogateescape")
        at = len(self._texts)
        self._texts += data
        return at, len(data)

    def _like(self, field: FilterField, token: _Token, differs: bool) -> FieldTest:
        other = BY_NAME.get(token.text)
        if token.kind == "word" and other is not None and other.kind != "condition":
            self._fail(
                token.column,
                f'{token.text} is a field; expected a value, in quotes if it is called so: "{token.text}".',
            )
        choice = field.choice
        if field.kind == "pod":
            choice = WHOLE_TEXT if "/" in token.text else NAME_OF_TEXT
        at, size = self._kept(token.text)
        how = TEXT_ANY_CASE if field.field is Field.PROTOCOL else 0
        return FieldTest(field.field, NO_VALUE if differs else 0, choice, how, low=at, high=size)

    def _contains(self, field: FilterField) -> FieldTest:
        word = self._take()
        if field.kind not in ("text", "pod"):
            self._fail(word.column, f"{field.name} is no text; expected a comparison, as in {field.example}.")
        at, size = self._kept(self._value(field).text)
        return FieldTest(field.field, 0, field.choice, TEXT_CONTAINS, low=at, high=size)

    # Values.

    def _ranges(self, field: FilterField, token: _Token) -> Sequence[_Range]:
        """What a value stands for: one number or network, or several that have one name."""
        match field.kind:
            case "flag":
                return [self._flag(field, token)]
            case "address":
                return [self._address(field, token)]
            case "identity":
                return self._identities(field, token)
            case "input":
                return self._inputs(field, token)
            case "outcome":
                if token.text.lower() not in OUTCOMES[1:]:
                    self._wrong(token, f"one of {', '.join(OUTCOMES[1:])}")
                number = OUTCOMES.index(token.text.lower())
            case "time":
                number = self._instant(token)
            case "seconds" | "epoch" | "duration":
                number = self._time(field, token)
            case _:
                number = self._number(field, token) << field.shift
        return [_Range(number, number | (1 << field.shift) - 1)]

    def _wrong(self, token: _Token, expected: str) -> NoReturn:
        self._fail(token.column, f"expected {expected}, found {_shown(token)}.")

    def _number(self, field: FilterField, token: _Token) -> int:
        number = _whole(token.text)
        if number is None or number > field.most:
            room = f"a number from 0 to {field.most}" if field.most < MOST else "a number"
            self._wrong(token, f"{room}, as in {field.example}")
        return number

    def _flag(self, field: FilterField, token: _Token) -> _Range:
        value = {"1": True, "true": True, "0": False, "false": False}.get(token.text.lower())
        if value is None:
            self._wrong(token, f"1 or 0, as in {field.example}")
        return _Range(1, MOST) if value else _Range(0, 0)

    def _time(self, field: FilterField, token: _Token) -> int:
        text = token.text
        if field.kind != "duration":
            # Nanoseconds: no capture tells more, and integers hold all of them.
            whole, point, fraction = text.removeprefix("-").partition(".")
            if is_number(whole, 10) and (not point or is_number(fraction, 9)):
                number = int(whole) * 1_000_000_000 + int(fraction.ljust(9, "0") if point else 0)
                if number <= MOST:
                    return -number if text[:1] == "-" else number
            if field.kind == "epoch" or not text[-1:].isalpha():
                self._wrong(token, f"seconds, with at most 9 digits behind the point, as in {field.example}")
        try:
            return nanoseconds(text)
        except ValueError as error:
            self._fail(token.column, str(error))

    def _instant(self, token: _Token) -> int:
        instant = _nanoseconds_since_1970(token.text)
        if instant is None:
            self._wrong(token, "a date and time such as 2025-08-09T17:27:50.282388Z")
        return instant

    def _address(self, field: FilterField, token: _Token) -> _Range:
        found = _address_range(token.text)
        if found is None or not field.choice >> found.kind & 1:
            if field.choice == 1 << MAC_END:
                self._wrong(token, "a MAC address such as 02:00:00:00:00:01")
            four, six = field.choice >> IPV4_END & 1, field.choice >> IPV6_END & 1
            family = "an IP" if four and six else "an IPv4" if four else "an IPv6"
            self._wrong(token, f"{family} address, or a network, as in {field.example}")
        return found

    def _identities(self, field: FilterField, token: _Token) -> Sequence[_Range]:
        number = _whole(token.text)
        if token.kind == "word" and number is not None:
            if number > _LARGEST_IDENTITY:
                self._wrong(token, f"a number from 0 to {_LARGEST_IDENTITY}, or a name, as in {field.example}")
            return [_Range(number, number)]
        numbers = self._names.identities(token.text) if self._names.identities is not None else ()
        if not numbers:
            self._fail(
                token.column,
                f"no identity is known as {token.text!r}; give its number, or the file that names it by --cluster.",
            )
        return [_Range(each, each) for each in sorted(numbers)]

    def _inputs(self, field: FilterField, token: _Token) -> Sequence[_Range]:
        number = _whole(token.text)
        paths = self._names.inputs
        if token.kind == "word" and number is not None:
            if not 1 <= number <= max(len(paths), 1):
                self._wrong(token, f"a number from 1 to {max(len(paths), 1)}")
            return [_Range(number - 1, number - 1)]
        ends = [f"/{path.rpartition('/')[2]}" for path in paths]
        wanted = token.text if "/" in token.text else f"/{token.text}"
        among = {*names_like(wanted, ends), *names_like(wanted, paths)}
        found = [_Range(at, at) for at, path in enumerate(paths) if path in among or ends[at] in among]
        if not found:
            self._fail(token.column, f"no input is called {token.text!r}; expected one of {_few(paths)}.")
        return found


def _presence(field: FilterField, kept: Callable[[str], tuple[int, int]]) -> _Node:
    """A name alone: the record has the field, or the condition holds."""
    if field.texts:
        parts = []
        for text in field.texts:
            at, size = kept(text)
            parts.append(FieldTest(field.field, how=TEXT_ANY_CASE, low=at, high=size))
        return _joined(parts, False)
    if field.kind == "condition":
        return FieldTest(field.field, choice=field.choice, mask=field.mask, low=1)
    if field.kind == "address":
        sizes = {IPV4_END: 4, IPV6_END: 16, MAC_END: 6}
        kinds = [kind for kind in sizes if field.choice >> kind & 1]
        return _joined([_ranged(field, _Range(0, (1 << 8 * sizes[kind]) - 1, kind)) for kind in kinds], False)
    if field.kind in ("text", "pod"):
        at, size = kept("*")
        return FieldTest(field.field, choice=field.choice, low=at, high=size)
    return FieldTest(field.field, choice=field.choice)


def _ranged(field: FilterField, one: _Range, differs: bool = False) -> FieldTest:
    quantifier = NO_VALUE if differs else 0
    return FieldTest(field.field, quantifier, field.choice, one.kind, mask=field.mask, low=one.low, high=one.high)


def _beyond(one: _Range, sign: str) -> _Range:
    """The range of what compares so with the value."""
    least, most = (0, (1 << 128) - 1) if one.kind else (LEAST, MOST)
    if one.kind:
        most = (1 << {IPV4_END: 32, IPV6_END: 128, MAC_END: 48}[one.kind]) - 1
    low, high = {
        "<": (least, one.low - 1),
        "<=": (least, one.high),
        ">": (one.high + 1, most),
        ">=": (one.low, most),
    }[sign]
    # What is beyond all values is a range that holds none.
    return one._replace(low=low, high=high) if least <= low <= high <= most else one._replace(low=1, high=0)


def _joined(parts: Sequence[_Node], all_: bool) -> _Node:
    return parts[0] if len(parts) == 1 else _Join(all_, parts)


def _lay(node: _Node, if_true: int, if_false: int, row: list[FieldTest]) -> int:
    """Append a node's tests, the last first, so that where each leads on is known: the number of its first."""
    if isinstance(node, _Not):
        return _lay(node.part, if_false, if_true, row)
    if isinstance(node, _Join):
        entry = ACCEPT
        for part in reversed(node.parts):
            entry = _lay(part, if_true, if_false, row)
            if node.all_:
                if_true = entry
            else:
                if_false = entry
        return entry
    row.append(node._replace(if_true=if_true, if_false=if_false))
    return len(row) - 1


def _turned(row: Sequence[FieldTest]) -> tuple[FieldTest, ...]:
    """The same with the first test first."""

    def turned(number: int) -> int:
        return number if number >= REJECT else len(row) - 1 - number

    return tuple(
        test._replace(if_true=turned(test.if_true), if_false=turned(test.if_false)) for test in reversed(row)
    )


def _whole(text: str) -> int | None:
    """A number, decimal without leading zeros or hexadecimal behind 0x."""
    if text[:2].lower() == "0x":
        digits = text[2:]
        return int(digits, 16) if 0 < len(digits) <= 15 and not digits.strip("0123456789abcdefABCDEF") else None
    if not is_number(text, 18) or (text[0] == "0" and text != "0"):
        return None
    return int(text)


def _address_range(text: str) -> _Range | None:
    """The addresses that an address, a network or a MAC address stands for."""
    octets = text.replace("-", ":").split(":")
    if len(octets) == 6 and all(len(pair) == 2 and not pair.strip("0123456789abcdefABCDEF") for pair in octets):
        number = int("".join(octets), 16)
        return _Range(number, number, MAC_END)
    address, slash, length = text.partition("/")
    kind, family = (IPV6_END, AF_INET6) if ":" in address else (IPV4_END, AF_INET)
    try:
        data = inet_pton(family, address)
    except (OSError, ValueError):
        return None
    bits = 8 * len(data)
    if slash and (not is_number(length, 3) or int(length) > bits):
        return None
    free = (1 << bits - int(length)) - 1 if slash else 0
    number = int.from_bytes(data, "big")
    return _Range(number & ~free, number | free, kind)


def _nanoseconds_since_1970(text: str) -> int | None:
    """An RFC 3339 time; in UTC where it names no zone."""
    from datetime import UTC, datetime, timedelta

    seconds, point, behind = text.partition(".")
    digits = behind[: len(behind) - len(behind.lstrip("0123456789"))]
    if "-" not in text or (point and not is_number(digits, 9)):
        return None
    try:
        when = datetime.fromisoformat(seconds + behind[len(digits) :])
    except ValueError:
        return None
    if when.tzinfo is None:
        when = when.replace(tzinfo=UTC)
    whole = (when - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    number = whole * 1_000_000_000 + int(digits.ljust(9, "0"))
    return number if LEAST <= number <= MOST else None


def _is_name(field: FilterField, token: _Token) -> bool:
    return field.kind in ("identity", "input") and (token.kind == "text" or _whole(token.text) is None)


def _shown(token: _Token) -> str:
    return "the end" if token.kind == "end" else token.text if token.kind == "sign" else repr(_short(token.text))


def _plain(text: str) -> str:
    """A name as it was written, if that can be shown."""
    short = _short(text)
    return short if short.isprintable() else repr(short)


def _short(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:57]}..."


def _few(names: Sequence[str]) -> str:
    shown = ", ".join(map(repr, names[:5])) or "none"
    return shown if len(names) <= 5 else f"{shown} and {len(names) - 5} more"
