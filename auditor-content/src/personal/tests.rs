use super::*;

fn all(text: &str) -> Vec<(&'static str, &str)> {
    let mut found = Vec::new();
    scan(text.as_bytes(), |kind, span| {
        found.push((kind.rule(), &text[span]))
    });
    found
}

#[test]
fn emails_are_found_and_lookalikes_are_not() {
    assert_eq!(
        all("mail Ann.Lee+x@mail.example.co.uk."),
        [("email", "Ann.Lee+x@mail.example.co.uk")]
    );
    assert_eq!(
        all("a1@b.io,b2@c.io"),
        [("email", "a1@b.io"), ("email", "b2@c.io")]
    );
    for text in [
        "git@github.com:x/y",
        "icon@2x.png",
        "pkg@1.2.3",
        "@handle",
        "a@b",
        "x@-a.com",
    ] {
        assert_eq!(all(text), [], "{text}");
    }
}

#[test]
fn cards_need_issuer_groups_and_check_digit() {
    for card in [
        "4111111111111111",
        "4111 1111 1111 1111",
        "5500-0000-0000-0004",
        "378282246310005",
        "3782 822463 10005",
        "6011000990139424",
    ] {
        assert_eq!(
            all(&format!("card {card}, 12/27")),
            [("payment-card", card)]
        );
    }
    for text in [
        "4111111111111112",
        "1111111111111117",
        "0.4111111111111111",
        "4111.1111.1111.1111",
        "x4111111111111111",
    ] {
        assert!(
            all(text).iter().all(|(rule, _)| *rule != "payment-card"),
            "{text}"
        );
    }
}

#[test]
fn ibans_need_country_length_and_check_digits() {
    for iban in [
        "DE89370400440532013000",
        "GB82 WEST 1234 5698 7654 32",
        "NL91ABNA0417164300",
        "FR1420041010050500013M02606",
    ] {
        assert_eq!(all(&format!("to {iban} now")), [("iban", iban)]);
    }
    assert_eq!(all("DE89370400440532013001"), []);
    assert_eq!(all("DE893704004405320130"), []);
}

#[test]
fn phones_are_found_by_form_or_by_a_word() {
    for phone in [
        "+14155552671",
        "+44 20 7946 0958",
        "(415) 555-2671",
        "415-555-2671",
        "020 7946 0958",
        "01.23.45.67.89",
        "0041 44 668 18 00",
    ] {
        assert_eq!(
            all(&format!("at {phone} today")),
            [("phone", phone)],
            "{phone}"
        );
    }
    assert_eq!(all("phone: 4155552671"), [("phone", "4155552671")]);
    for text in [
        "4155552671",
        "2024-01-02 10:11:12",
        "01-02-2024",
        "1700000000",
        "3.14159265358",
        "hotel 4155552671",
    ] {
        assert_eq!(all(text), [], "{text}");
    }
}

#[test]
fn national_ids_are_checked() {
    // Published samples of each scheme.
    let samples = [
        ("us-ssn", "", "219-09-9999"),
        ("us-itin", "", "912-72-1234"),
        ("uk-nhs", "NHS number ", "943 476 5919"),
        ("uk-nino", "", "AB123456C"),
        ("uk-nino", "", "AB12 34 56C"),
        ("de-steuer-id", "Steuer-ID: ", "86095742719"),
        ("fr-nir", "", "255081416802538"),
        ("es-dni", "", "12345678Z"),
        ("es-dni", "", "X1234567L"),
        ("it-codice-fiscale", "", "RSSMRA85T10A562S"),
        ("nl-bsn", "BSN ", "111222333"),
        ("in-aadhaar", "aadhaar ", "999941057058"),
        ("in-pan", "PAN ", "ABCPE1234F"),
        ("br-cpf", "", "529.982.247-25"),
        ("cn-id", "", "11010519491231002X"),
        ("sg-nric", "", "S1234567D"),
    ];
    for (rule, words, id) in samples {
        assert_eq!(all(&format!("{words}{id}")), [(rule, id)]);
    }
    for text in [
        "000-12-3456",
        "666-12-3456",
        "12345678A",
        "AB123456E",
        "RSSMRA85T10A562T",
        "BSN 111222334",
        "111222333",
        "529.982.247-26",
    ] {
        assert!(
            all(text).iter().all(|(rule, _)| *rule == "phone"),
            "{text}: {:?}",
            all(text)
        );
    }
}

#[test]
fn addresses_are_found_and_versions_are_not() {
    assert_eq!(all("from 203.0.113.7:443"), [("ip-address", "203.0.113.7")]);
    assert_eq!(all("from [2001:db8::1]"), [("ip-address", "2001:db8::1")]);
    for text in [
        "127.0.0.1",
        "0.0.0.0",
        "Chrome/120.0.6099.1",
        "Chrome/120.0.0.1",
        "1.2.3.4.5",
        "10:20:30",
        "v1.2.3.4",
        "::1",
    ] {
        assert_eq!(all(text), [], "{text}");
    }
}
