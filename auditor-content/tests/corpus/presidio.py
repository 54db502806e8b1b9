"""Fills the sentence templates of presidio-evaluator 0.3.2 (MIT) with values made by Faker.

Usage: presidio.py FOLDER ROUNDS > cases.jsonl

FOLDER is the unpacked wheel's `presidio_evaluator/data_generator`. Needs only `faker`. Phone
numbers come half from Faker's locales and half from the formats that the package itself adds.
"""

import json
import random
import re
import sys

from faker import Faker

folder, rounds = sys.argv[1], int(sys.argv[2])
templates = open(f"{folder}/raw_data/templates.txt", encoding="utf-8").read().splitlines()
providers = open(f"{folder}/faker_extensions/providers.py", encoding="utf-8").read()
phones = providers[providers.index("class PhoneNumberProviderNew") :]
phones = re.findall(r'"([^"\n]*##[^"\n]*)"', phones[: phones.index("\nclass ")])
kinds = {
    "credit_card_number": "pii.payment_card",
    "phone_number": "pii.phone",
    "email": "pii.email",
    "iban": "pii.iban",
    "ssn": "pii.national_id",
    "ip_address": "pii.ip_address",
}
Faker.seed(7)
random.seed(7)
locales = [Faker(locale) for locale in ["en_US", "en_GB", "de_DE", "fr_FR", "es_ES", "it_IT", "nl_NL"]]
american = Faker("en_US")


def value(kind, fake):
    if kind == "ip_address":
        return random.choice([american.ipv4, american.ipv4, american.ipv4, american.ipv6])()
    if kind == "ssn":
        return american.ssn()
    if kind == "phone_number" and random.random() < 0.5:
        return american.numerify(random.choice(phones))
    if kind == "age":
        return str(random.randint(1, 99))
    if kind == "us_driver_license":
        return american.bothify("?#######").upper()
    if kind == "organization":
        return american.company()
    for source in (fake, american):
        if hasattr(source, kind):
            return str(getattr(source, kind)())
    return kind


for _ in range(rounds):
    for template in templates:
        fake = random.choice(locales)
        text, at, values = "", 0, []
        for match in re.finditer(r"\{\{([a-z_0-9]+)\}\}", template):
            filled = value(match[1], fake)
            text += template[at : match.start()] + filled
            at = match.end()
            if match[1] in kinds:
                values.append([kinds[match[1]], filled])
        text = (text + template[at:]).replace("\\n", "\n")
        print(json.dumps({"text": text, "values": values}, ensure_ascii=False))
