"""Invented names in ten languages and six scripts: common given names beside family names nobody bears.

https://hl7.org/fhir/R4/datatypes.html#HumanName
"""

import unicodedata
from dataclasses import dataclass, replace
from random import Random

from loaders.demonstration.datatypes import STRUCTURE, Code, Element

Spelling = tuple[str, str]  # in the language's own script, and in Latin letters


@dataclass(frozen=True, slots=True)
class Language:
    """How people of one language are called; family names are put together from a first and a second half."""

    code: Code
    native: str
    female: tuple[Spelling, ...]
    male: tuple[Spelling, ...]
    first: tuple[Spelling, ...]
    second: tuple[Spelling, ...]
    second_female: tuple[Spelling, ...]
    joint: str = ""
    representation: str = "ABC"
    family_first: bool = False
    two_families: bool = False

    @property
    def latin(self) -> bool:
        """Whether the language is written in Latin letters."""
        return self.first[0][0] == self.first[0][1]


@dataclass(frozen=True, slots=True)
class Name:
    """One invented person's name; `families` holds one name, or the father's and the mother's."""

    language: Language
    given: Spelling
    families: tuple[Spelling, ...]

    @property
    def text(self) -> str:
        family = " ".join(own for own, _ in self.families)
        return f"{family}{self.given[0]}" if self.language.family_first else f"{self.given[0]} {family}"

    @property
    def latin(self) -> str:
        return f"{self.given[1]} {' '.join(latin for _, latin in self.families)}"

    @property
    def slug(self) -> str:
        """The name in a-z and hyphens, fit for ids and mail addresses."""
        return slug(self.latin)


def slug(text: str) -> str:
    """Latin text in a-z, 0-9 and hyphens."""
    plain = unicodedata.normalize("NFKD", text.casefold().replace("ı", "i").replace("ł", "l"))
    letters = "".join(letter for letter in plain if letter.isascii())
    return "-".join("".join(c if c.isalnum() else " " for c in letters).split())


def spellings(words: str) -> tuple[Spelling, ...]:
    """`"Αριάδνη=Ariadni"` is both spellings; a word alone is spelt one way."""
    pairs = (word.replace("_", " ").partition("=") for word in words.split())
    return tuple((own, latin or own) for own, _, latin in pairs)


def _language(
    code: Code, native: str, female: str, male: str, first: str, second: str, second_female: str = ""
) -> Language:
    halves = spellings(second)
    women = spellings(second_female) or halves
    return Language(code, native, spellings(female), spellings(male), spellings(first), halves, women)


LANGUAGES: tuple[Language, ...] = (
    _language(
        ("tr", "Turkish"),
        "Türkçe",
        "Aylin Defne Elif Nehir Zeynep Yağmur Derya Çiğdem Şule Gülce",
        "Emir Deniz Kerem Barış Yiğit Ozan Çınar Umut Tuna Görkem",
        "Mavi Gümüş Yeşil Gök Kızıl Uzak Serin Işık",
        "kanat bulut pınar çınar yelken fener tepe rüzgar",
    ),
    _language(
        ("de", "German"),
        "Deutsch",
        "Anneliese Frieda Jördis Käthe Leonie Mathilda Ronja Wiebke",
        "Anton Bastian Falk Götz Jürgen Lennart Moritz Thilo",
        "Mond Silber Apfel Nebel Stern Birken Wolken Hafer",
        "lerche steiger brunn winkel gärtner funk weber horn",
    ),
    replace(
        _language(
            ("ar", "Arabic"),
            "العربية",
            "ليلى=Layla مريم=Maryam نور=Nur سلمى=Salma ياسمين=Yasmin هدى=Huda",
            "يوسف=Yusuf سامي=Sami كريم=Karim زياد=Ziyad طارق=Tariq نبيل=Nabil",
            "نجم=Najm قمر=Qamar غيم=Ghaym نهر=Nahr ورد=Ward ظل=Zill",
            "البحر=al-Bahr الوادي=al-Wadi الصباح=al-Sabah الزيتون=al-Zaytun الجبل=al-Jabal الربيع=al-Rabi",
        ),
        joint=" ",
    ),
    replace(
        _language(
            ("zh", "Chinese"),
            "中文",
            "雨晴=Yuqing 若兰=Ruolan 思琪=Siqi 诗涵=Shihan 静怡=Jingyi 晓梅=Xiaomei",
            "浩然=Haoran 子轩=Zixuan 文博=Wenbo 志远=Zhiyuan 天佑=Tianyou 明哲=Mingzhe",
            "星=Xing 云=Yun 青=Qing 墨=Mo 霜=Shuang 雪=Xue 月=Yue 晨=Chen",
            "河=he 海=hai 岚=lan 竹=zhu 林=lin 溪=xi 湖=hu 雾=wu",
        ),
        representation="IDE",
        family_first=True,
    ),
    _language(
        ("el", "Greek"),
        "Ελληνικά",
        "Αριάδνη=Ariadni Κλειώ=Kleio Δανάη=Danai Ελπίδα=Elpida Ιφιγένεια=Ifigeneia Θάλεια=Thaleia",
        "Άγγελος=Angelos Λέανδρος=Leandros Νικηφόρος=Nikiforos Ορέστης=Orestis Στέφανος=Stefanos Φοίβος=Foivos",
        "Αστρο=Astro Γαλανο=Galano Ασημο=Asimo Νεφελο=Nefelo Ηλιο=Ilio Θαλασσο=Thalasso",
        "πετράκης=petrakis φτερίδης=fteridis βουνάκης=vounakis δεντρίδης=dentridis",
        "πετράκη=petraki φτερίδη=fteridi βουνάκη=vounaki δεντρίδη=dentridi",
    ),
    replace(
        _language(
            ("es", "Spanish"),
            "Español",
            "Alba Inés Jimena Lucía Noemí Rocío Ximena Begoña",
            "Adrián Íñigo Joaquín Martín Nicolás Óscar Rubén Tomás",
            "Nube Sol Luz Río Peña Trigo Mar Viento",
            "claro verde lento dorado sereno azul",
            "claro verde lento dorado sereno azul",
        ),
        two_families=True,
    ),
    _language(
        ("pl", "Polish"),
        "Polski",
        "Agnieszka Bożena Grażyna Jagoda Małgorzata Żaneta Zofia",
        "Bogusław Grzegorz Łukasz Mieszko Paweł Ryszard Wojciech",
        "Chmuro Gwiazdo Srebrzo Bursztyno Wiatro Księżyco Jaskółko",
        "brzeski dębski łąski polski źródelski",
        "brzeska dębska łąska polska źródelska",
    ),
    replace(
        _language(
            ("hi", "Hindi"),
            "हिन्दी",
            "आरती=Arti दीपा=Dipa काव्या=Kavya मीरा=Mira नेहा=Neha रिया=Riya",
            "अमित=Amit देव=Dev करण=Karan मोहन=Mohan रोहन=Rohan समीर=Samir",
            "तारा=Tara मेघ=Megh नील=Nil स्वर्ण=Svarn हिम=Him वन=Van",
            "पर्वत=parvat सरिता=sarita दीप=dip पुष्प=pushp सागर=sagar किरण=kiran",
        ),
        representation="SYL",
    ),
    _language(
        ("en", "English"),
        "English",
        "Beatrix Clementine Harriet Imogen Maeve Rosalind Tabitha Winifred",
        "Alistair Barnaby Cedric Fergus Jasper Lionel Rufus Tobias",
        "Moon Silver Amber Willow Cloud Thistle Copper Lark",
        "brook wick ferry hollow mere field harrow stone",
    ),
    _language(
        ("uk", "Ukrainian"),
        "Українська",
        "Оксана=Oksana Зоряна=Zoriana Леся=Lesia Мирослава=Myroslava Соломія=Solomiia Дарина=Daryna",
        "Богдан=Bohdan Остап=Ostap Тарас=Taras Назар=Nazar Левко=Levko Ярема=Yarema",
        "Зоре=Zore Срібло=Sriblo Хмаро=Khmaro Вітро=Vitro Янтаро=Yantaro Місяце=Misiatse",
        "криленко=krylenko степенко=stepenko плесенко=plesenko гаєнко=haienko",
    ),
)
# Most people here are Turkish; everyone else comes from somewhere.
WEIGHTED: tuple[Language, ...] = LANGUAGES[:1] * 5 + LANGUAGES


def invent(random: Random, gender: str, language: Language | None = None) -> Name:
    """A name for a person of that administrative gender (`female` or else), of some language."""
    language = language or random.choice(WEIGHTED)
    given = random.choice(language.female if gender == "female" else language.male)
    families = [invent_family(random, gender, language)]
    if language.two_families:
        families.append(invent_family(random, gender, language))
    return Name(language, given, tuple(families))


def invent_family(random: Random, gender: str, language: Language) -> Spelling:
    """A family name of the language, in the form that gender has."""
    first = random.choice(language.first)
    second = random.choice(language.second_female if gender == "female" else language.second)
    return first[0] + language.joint + second[0], first[1] + language.joint + second[1]


def relative(random: Random, name: Name, gender: str) -> Name:
    """A near relative: another given name, the same family name in the form that gender has."""
    language = name.language
    given = random.choice(language.female if gender == "female" else language.male)
    if gender == "female":
        forms, others = language.second_female, language.second
    else:
        forms, others = language.second, language.second_female
    family = name.families[0]
    for form, other in zip(forms, others, strict=True):
        if family[0].endswith(other[0]) and not family[0].endswith(form[0]):
            family = (family[0].removesuffix(other[0]) + form[0], family[1].removesuffix(other[1]) + form[1])
            break
    return Name(language, given, (family, *name.families[1:]))


def human_names(name: Name, prefix: str | None = None) -> list[Element]:
    """The official name as it is written, and, from other scripts, the usual one in Latin letters."""
    official = _human_name(name, 0, "official", name.text)
    if prefix is not None:
        official["prefix"] = [prefix]
        official["text"] = f"{prefix} {name.text}"
    if name.language.latin:
        return [official]
    official["extension"] = [_representation(name.language.representation)]
    usual = _human_name(name, 1, "usual", name.latin)
    usual["extension"] = [_representation("ABC")]
    return [official, usual]


def _human_name(name: Name, spelling: int, use: str, text: str) -> Element:
    family = " ".join(both[spelling] for both in name.families)
    element: Element = {"use": use, "text": text, "family": family, "given": [name.given[spelling]]}
    if len(name.families) == 2:
        father, mother = name.families
        element["_family"] = {
            "extension": [
                {"url": f"{STRUCTURE}humanname-fathers-family", "valueString": father[spelling]},
                {"url": f"{STRUCTURE}humanname-mothers-family", "valueString": mother[spelling]},
            ]
        }
    return element


def _representation(code: str) -> Element:
    return {"url": f"{STRUCTURE}iso21090-EN-representation", "valueCode": code}
