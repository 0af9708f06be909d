"""The library is large, keeps to the point, and refuses what is malformed with file, line and remedy."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from warmupd.errors import ContentError
from warmupd.mail.content import BUILT_IN, Library
from warmupd.mail.language import Names
from warmupd.mail.template import Draw, parse

LIBRARY = Library.load()
ENGLISH = LIBRARY.languages["en"]
NAMES, SWAPPED = Names(sender="Anna", recipient="Tom"), Names(sender="Tom", recipient="Anna")
SEEDS = range(60)
Write = Callable[[str, str], Path]

TOPIC = """
[subjects]
About {project}
[opener]
Shall we meet on {weekday} at {time}?
[answer 1]
Yes, on {weekday} at {time}.
[answer 2]
Good.
[answer 3]
Until {weekday}.
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(name: str, text: str) -> Path:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, "utf-8")
        return tmp_path

    return write


def thread_text(topic: str, seed: int) -> list[str]:
    return [ENGLISH.body(topic, seed, depth, NAMES if depth % 2 else SWAPPED) for depth in range(1, 5)]


def test_there_are_forty_topics_with_three_answers_each() -> None:
    assert len(ENGLISH.keys) >= 40
    for topic in ENGLISH.topics.values():
        assert len(topic.subjects) >= 3
        assert len(topic.depths) >= 4


def test_first_messages_differ_by_the_ten_thousand() -> None:
    texts = {ENGLISH.body(LIBRARY.choose_topic(seed), seed, 1, NAMES) for seed in range(20_000)}
    assert len(texts) > 19_990


def test_two_thousand_consecutive_first_messages_are_all_different() -> None:
    texts = [ENGLISH.body(LIBRARY.choose_topic(seed), seed, 1, NAMES) for seed in range(10**9, 10**9 + 2000)]
    assert len(set(texts)) == 2000


def test_topics_are_chosen_evenly_and_always_the_same_way() -> None:
    chosen = [LIBRARY.choose_topic(seed) for seed in range(48 * 200)]
    assert chosen == [LIBRARY.choose_topic(seed) for seed in range(48 * 200)]
    assert set(chosen) == set(ENGLISH.keys)
    assert max(map(chosen.count, ENGLISH.keys)) < 2 * min(map(chosen.count, ENGLISH.keys))


@pytest.mark.parametrize("topic", ENGLISH.keys)
def test_openers_are_of_the_length_people_write(topic: str) -> None:
    lengths = [len(ENGLISH.body(topic, seed, 1, NAMES).split()) for seed in range(300)]
    assert min(lengths) >= 36  # greeting and name come on top
    assert max(lengths) <= 175
    assert max(lengths) - min(lengths) >= 10


@pytest.mark.parametrize("topic", ENGLISH.keys)
def test_answers_are_shorter_than_what_they_answer(topic: str) -> None:
    for seed in SEEDS:
        opener, *answers = [len(text.split()) for text in thread_text(topic, seed)]
        assert all(6 <= length <= 55 for length in answers)
        assert sum(answers) / 3 < opener


@pytest.mark.parametrize("topic", ENGLISH.keys)
def test_nothing_of_the_format_is_left_in_the_text(topic: str) -> None:
    for seed in SEEDS:
        for text in [*thread_text(topic, seed), ENGLISH.subject(topic, seed, NAMES)]:
            assert not re.search(r"[{}|<>@\[\]#]|https?:|www|\w\.\w|  |\n\n\n| \n|[ \n][,.!?;]|\.\.|,,", text), text
            assert text == text.strip()


@pytest.mark.parametrize("topic", ENGLISH.keys)
def test_sentences_begin_with_a_capital(topic: str) -> None:
    for seed in SEEDS:
        for text in thread_text(topic, seed):
            assert not re.search(r"(?:^|[.!?] |[.!?]\n\n)[a-z]", text), text


@pytest.mark.parametrize("topic", ENGLISH.keys)
def test_subjects_fit_on_a_line(topic: str) -> None:
    for seed in SEEDS:
        assert 4 <= len(ENGLISH.subject(topic, seed, NAMES)) <= 65


def test_no_word_that_filters_look_for() -> None:
    words = r"""free|offers?|discount|guarantee|winner|prize|urgent|act\ now|buy|cash|cheap|deals?|bonus|promo\w*|
        click|link|subscribe|unsubscribe|website|marketing|investment|credit|loan|password|verify|account|limited|exclusive|earn"""
    forbidden = re.compile(rf"\b(?:{words})\b|!!|\$|€|£|%|\b[A-Z]{{4,}}\b", re.VERBOSE)
    for path in sorted((BUILT_IN / "en").glob("*.txt")):
        assert not forbidden.search(path.read_text("utf-8")), (path, forbidden.search(path.read_text("utf-8")))


@pytest.mark.parametrize("topic", ENGLISH.keys)
def test_a_thread_speaks_of_the_same_days_times_and_people(topic: str) -> None:
    weekday = re.compile("|".join(ENGLISH.words["weekday"]))
    person = re.compile(rf"\b(?:{'|'.join(ENGLISH.words['colleague'])})\b")
    for seed in SEEDS:
        whole = "\n".join(thread_text(topic, seed))
        assert len(set(weekday.findall(whole))) <= 2  # {weekday} and {other_weekday}
        assert len(set(re.findall(r"\b\d{1,2}:\d\d\b", whole))) <= 1
        assert len(set(person.findall(whole))) <= 2
        assert len(set(re.findall(r"\b\d{4}\b", whole))) <= 2


def test_answers_know_the_facts_of_the_opener(write: Write) -> None:
    line = "{weekday} {other_weekday} {time} {number} {project} {colleague} {other_colleague} {count}"
    topic = TOPIC.replace("Shall we meet on {weekday} at {time}?", line).replace("Good.", line)
    english = Library.load(write("en/facts.txt", topic)).languages["en"]
    for seed in range(200):
        asked = english.body("en/facts", seed, 1, NAMES)
        assert english.body("en/facts", seed, 3, NAMES) in asked
        one, other, *_ = english.body("en/facts", seed, 3, NAMES).split()
        assert one != other


def test_facts_vary_independently_of_each_other(write: Write) -> None:
    values = "\n".join(map(str, range(16)))
    write("en/_words.txt", f"[one]\n{values}\n[two]\n{values}")
    english = Library.load(write("en/facts.txt", TOPIC.replace("Good.", "{one} {two}"))).languages["en"]
    assert len({english.body("en/facts", seed, 3, NAMES) for seed in range(5000)}) == 16 * 16


def test_nobody_talks_about_a_colleague_of_the_same_name(write: Write) -> None:
    english = Library.load(write("en/facts.txt", TOPIC.replace("Good.", "{colleague} {other_colleague}"))).languages[
        "en"
    ]
    taken = Names(sender="Anouk", recipient="Alex")
    for seed in range(1000):
        assert not {"Anouk", "Alex"} & set(english.body("en/facts", seed, 3, taken).split())


@pytest.mark.parametrize(("topic", "depth"), [("en/lunch", 5), ("en/lunch", 99), ("en/gone", 2), ("", 3)])
def test_a_lost_topic_is_answered_with_something_that_fits_any_thread(topic: str, depth: int) -> None:
    texts = {ENGLISH.body(topic, seed, depth, NAMES) for seed in SEEDS}
    assert len(texts) > 20
    assert all(3 <= len(text.split()) <= 40 for text in texts)


def test_names_are_those_of_the_two_who_write(write: Write) -> None:
    topic = TOPIC.replace("Good.", "{first_name}, this is {sender_first_name}.")
    english = Library.load(write("en/names.txt", topic)).languages["en"]
    assert english.body("en/names", 1, 3, NAMES) == "Tom, this is Anna."


def test_an_owners_file_adds_and_replaces_topics(write: Write) -> None:
    write("en/allotment.txt", TOPIC)
    library = Library.load(write("en/lunch.txt", TOPIC))
    english = library.languages["en"]
    assert set(english.keys) - set(ENGLISH.keys) == {"en/allotment"}
    assert english.body("en/lunch", 1, 3, NAMES) == "Good."


def test_an_owner_can_switch_a_topic_off(write: Write) -> None:
    english = Library.load(write("en/printer.txt", "[off]\n")).languages["en"]
    assert set(ENGLISH.keys) - set(english.keys) == {"en/printer"}


def test_an_owners_words_replace_one_list_and_add_another(write: Write) -> None:
    write("en/_words.txt", "[project]\nA1\nB2\nC3\nD4\n[river]\nRhine\nDon\nPo\nElbe\n[year]\n1990..1999")
    english = Library.load(write("en/boats.txt", TOPIC.replace("Good.", "{river} {project} {year}"))).languages["en"]
    assert re.fullmatch(r"(Rhine|Don|Po|Elbe) (A1|B2|C3|D4) 199\d", english.body("en/boats", 1, 3, NAMES))
    assert english.words["colleague"] == ENGLISH.words["colleague"]


def test_a_language_can_be_added(write: Write) -> None:
    names = "Anke\nBodo\nCora\nDirk"
    weekdays = "Montag\nDienstag\nMittwoch\nFreitag"
    write("de/_words.txt", f"[colleague]\n{names}\n[surname]\n{names}\n[weekday]\n{weekdays}\n")
    write("de/_manners.txt", "[greeting]\nHallo {first_name},\n[sign-off]\nGrüße\n[attribution]\n{name} schrieb:\n")
    write("de/_any.txt", "[answer]\nDanke!\n")
    topic = TOPIC.replace("{project}", "den Plan").replace("{time}", "zehn")
    library = Library.load(write("de/treffen.txt", topic), "de")
    assert library.choose_topic(5) == "de/treffen"
    assert library.choose_topic(5, "en").startswith("en/")
    assert library.language_of("de/treffen", "en").name == "de"
    assert library.language_of("gone", "en").name == "en"
    assert library.language_of("gone").name == "de"


def test_a_missing_language_names_those_there_are() -> None:
    with pytest.raises(ContentError, match=r"'fr', only in: en") as refusal:
        Library.load(language="fr")
    assert "fr/*.txt" in refusal.value.remedy


def test_an_incomplete_language_says_what_it_lacks(write: Write) -> None:
    with pytest.raises(ContentError, match=r"'nl' lacks: \[greeting\] in _manners.txt.*\[surname\].*_any.txt"):
        Library.load(write("nl/lunch.txt", "[subjects]\nEten"))


@pytest.mark.parametrize(
    ("old", "new", "line", "complaint"),
    [
        ("Good.", "Look at https://example.com", 8, "a link"),
        ("Good.", "Look at www example", 8, "a link"),
        ("Good.", "Look at example.com", 8, "domain name"),
        ("Good.", "Write to me@home", 8, "an address"),
        ("Good.", "{Good", 8, "never closed"),
        ("Good.", "Good}", 8, "without a '{'"),
        ("Good.", "Good | bad", 8, "without a '{'"),
        ("Good.", "Good\nor\n{bad", 10, "never closed"),
        ("Good.", "{Good}", 8, "neither a slot nor a choice"),
        ("Good.", "{good}", 8, "no slot {good}"),
        ("Good.", "On {wekday}.", 8, "did you mean {weekday}?"),
        ("Good.", "{a|}", 8, "can come out empty"),
        ("Good.", "{a|{b|{c|{d|{e|{f|{g|h}}}}}}}", 8, "nested more than 6 deep"),
        ("Good.", "{" + "a|" * 60 + "b}", 8, "more than 50 alternatives"),
        ("Good.", "Go\u200bod", 8, "invisible character (U+200B)"),
        ("Good.", "G" + "o" * 70 + "d", 8, "more than 60 characters"),
        ("Good.", "", 7, "[answer 2] is empty"),
        ("[answer 2]", "[answer two]", 7, "not a heading of a topic"),
        ("[answer 2]", "[answer 4]", 1, "has no [answer 2]"),
        ("[answer 3]\nUntil {weekday}.", "", 1, "has no [answer 3]"),
        ("[opener]", "[answer 1]", 1, "has no [opener]"),
        ("[subjects]\nAbout {project}", "", 1, "no [subjects]"),
        ("[subjects]", "Lunch\n[subjects]", 1, "before the first [heading]"),
        (TOPIC.strip(), "Hello", 1, "no [heading]"),
    ],
)
def test_a_malformed_topic_is_named_with_file_line_and_remedy(
    write: Write, old: str, new: str, line: int, complaint: str
) -> None:
    folder = write("en/mine.txt", TOPIC.strip().replace(old, new, 1))
    with pytest.raises(ContentError) as refusal:
        Library.load(folder)
    assert f"{folder / 'en' / 'mine.txt'}, line {line}: " in str(refusal.value)
    assert complaint in str(refusal.value)
    assert refusal.value.remedy


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("_words.txt", "[river]\nRhine\nDon\nPo", "has 3 different values"),
        ("_words.txt", "[river]\nRhine\nDon\nPo\n@home", "an address"),
        ("_words.txt", "[First Name]\na\nb\nc\nd", "no name for a slot"),
        ("_words.txt", "[first_name]\na\nb\nc\nd", "filled from the mailboxes"),
        ("_words.txt", "[number]\n1..999999", "it needs 4 to 10000"),
        ("_manners.txt", "[greetings]\nHi,", "not a heading of this file"),
        ("_manners.txt", "[greeting]\nHi {name},", "no slot {name}"),
        ("_any.txt", "[answer 1]\nHi", "not a heading of this file"),
        ("My Topic.txt", TOPIC, "file name"),
    ],
)
def test_malformed_lists_are_refused(write: Write, name: str, text: str, complaint: str) -> None:
    with pytest.raises(ContentError) as refusal:
        Library.load(write(f"en/{name}", text))
    assert complaint in str(refusal.value)


def test_a_file_of_another_encoding_is_refused_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "mine.txt").write_bytes(TOPIC.strip().encode() + "\nGrüße".encode("latin-1"))
    with pytest.raises(ContentError, match=r"mine.txt, line 11: not UTF-8"):
        Library.load(tmp_path)


def test_files_saved_on_windows_are_read(tmp_path: Path) -> None:
    (tmp_path / "en").mkdir()
    (tmp_path / "en" / "mine.txt").write_bytes(b"\xef\xbb\xbf" + TOPIC.strip().replace("\n", "\r\n").encode())
    assert "en/mine" in Library.load(tmp_path).languages["en"].keys


def test_a_templates_dir_without_templates_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match="holds no templates"):
        Library.load(tmp_path)
    with pytest.raises(ContentError, match="is not a directory"):
        Library.load(tmp_path / "nowhere")


def test_lines_of_a_paragraph_are_joined_and_lists_kept() -> None:
    template = parse("One\ntwo {three|three}\nfour.\n\nFive:\n- six\n- seven")
    assert template.render(Draw(""), {}) == "One two three four.\n\nFive:\n- six\n- seven"


def test_variations_are_counted_and_all_come_up() -> None:
    template = parse("{a|b{c|d|}} {e|f}")
    texts = {template.render(Draw(str(seed)), {}) for seed in range(500)}
    assert len(texts) == template.variants == 8


def test_an_empty_alternative_leaves_no_gap() -> None:
    assert parse("a {|} b.\n\n{|}\n\nc").render(Draw(""), {}) == "a b.\n\nc"


def test_the_examples_of_the_manual_can_be_loaded(write: Write) -> None:
    manual = (Path(__file__).parents[2] / "docs" / "templates.md").read_text("utf-8")
    blocks = [block for block in manual.split("```") if block.startswith("\n")]
    topic = next(block for block in blocks if "[subjects]\n" in block)
    words = next(block for block in blocks if "[year]\n" in block)
    write("en/_words.txt", words)
    english = Library.load(write("en/plums.txt", topic)).languages["en"]
    assert english.words["year"][0] == "1995"
    assert english.body("en/plums", 1, 2, NAMES).startswith("Yes, please!")
