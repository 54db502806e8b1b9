use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, SanType, date_time_ymd,
};

use super::*;

/// Noon of 15 January 2027, in nanoseconds.
const NOW: Time = Time(1_800_014_400_000_000_000);
const ID: &str = "spiffe://example.org/agent";

type Maker = CertifiedIssuer<'static, KeyPair>;

fn authority(name: &str) -> Maker {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// What an agent shows that is in force in January 2027.
fn params(uris: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(vec!["agent.example.org".to_owned()]).unwrap();
    for uri in uris {
        let uri = SanType::URI((*uri).try_into().unwrap());
        params.subject_alt_names.push(uri);
    }
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::CountryName, "DE");
    params
        .distinguished_name
        .push(DnType::CommonName, "agent, O=bank");
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(2027, 1, 1);
    params.not_after = date_time_ymd(2027, 2, 1);
    params.serial_number = Some(vec![1, 0xab].into());
    params
}

fn chain(params: &CertificateParams, maker: &Maker) -> Chain {
    let key = KeyPair::generate().unwrap();
    let signed = params.signed_by(&key, maker).unwrap();
    let certificates = vec![signed.der().to_vec()];
    Chain {
        digest: Sha256::digest(&certificates[0]).into(),
        certificates,
    }
}

fn trusting(domain: Option<&str>, maker: &Maker) -> Certificates {
    let authority = Authority::new(domain.map(str::to_owned), maker.pem().as_bytes()).unwrap();
    let mut certificates = Certificates::default();
    certificates.set_authorities(vec![authority]);
    certificates
}

fn read(certificates: &mut Certificates, chain: &Chain) -> Arc<Certificate> {
    certificates.read(chain, Purpose::Client, NOW, |print| print.into())
}

#[test]
fn what_a_certificate_says_is_read() {
    let maker = authority("root");
    let chain = chain(&params(&[ID]), &maker);
    let told = read(&mut Certificates::default(), &chain);
    assert_eq!(
        &*told.hash,
        hex::encode(Sha256::digest(&chain.certificates[0]))
    );
    assert_eq!(told.subject.as_deref(), Some("CN=agent\\, O=bank,C=DE"));
    assert!(
        told.issuer.as_ref().unwrap().ends_with("CN=root"),
        "{:?}",
        told.issuer
    );
    assert_eq!(told.serial.as_deref(), Some("01ab"));
    assert_eq!(told.spiffe_id.as_deref(), Some(ID));
    assert_eq!(told.dns_names, ["agent.example.org"]);
    let january = (Some(1_798_761_600), Some(1_801_440_000));
    assert_eq!((told.not_before, told.not_after), january);
    assert_eq!(told.standing, Standing::UnknownAuthority);
    assert_eq!(told.name, None);
}

#[test]
fn an_authority_names_by_subject_and_one_of_a_trust_domain_by_its_own_ids_only() {
    let maker = authority("root");
    let named = |domain, uris: &[&str]| {
        let told = read(&mut trusting(domain, &maker), &chain(&params(uris), &maker));
        (told.standing, told.name.clone())
    };
    let by_subject = Some("certificate:CN=agent\\, O=bank,C=DE".to_owned());
    assert_eq!(named(None, &[ID]), (Standing::Valid, by_subject));
    let domain = Some("example.org");
    assert_eq!(named(domain, &[ID]), (Standing::Valid, Some(ID.into())));
    let unknown = (Standing::UnknownAuthority, None);
    assert_eq!(named(domain, &[]), unknown);
    assert_eq!(named(domain, &["spiffe://other.org/agent"]), unknown);
    assert_eq!(named(domain, &[ID, "spiffe://example.org/b"]), unknown);
}

#[test]
fn another_authority_of_the_same_name_vouches_for_nothing() {
    let (maker, other) = (authority("root"), authority("root"));
    let told = read(&mut trusting(None, &other), &chain(&params(&[]), &maker));
    assert_eq!(told.standing, Standing::UnknownAuthority);
}

#[test]
fn a_certificate_for_servers_is_none_of_a_client() {
    let maker = authority("root");
    let chain = chain(&params(&[]), &maker);
    let mut certificates = trusting(None, &maker);
    let mut standing = |purpose| {
        let told = certificates.read(&chain, purpose, NOW, |print| print.into());
        told.standing
    };
    assert_eq!(standing(Purpose::Client), Standing::Valid);
    assert_eq!(standing(Purpose::Server), Standing::UnknownAuthority);
}

#[test]
fn one_that_is_out_of_force_is_told_from_that_of_a_stranger() {
    let (maker, other) = (authority("root"), authority("other"));
    let mut old = params(&[]);
    (old.not_before, old.not_after) = (date_time_ymd(2026, 1, 1), date_time_ymd(2026, 2, 1));
    let mut young = params(&[]);
    (young.not_before, young.not_after) = (date_time_ymd(2027, 2, 1), date_time_ymd(2027, 3, 1));
    let standing = |params, maker: &Maker, trusted: &Maker| {
        let told = read(&mut trusting(None, trusted), &chain(params, maker));
        assert_eq!(told.name, None);
        told.standing
    };
    assert_eq!(standing(&old, &maker, &maker), Standing::Expired);
    assert_eq!(standing(&young, &maker, &maker), Standing::NotYet);
    assert_eq!(standing(&old, &other, &maker), Standing::UnknownAuthority);
}

#[test]
fn a_certificate_that_expires_meanwhile_is_no_longer_valid() {
    let maker = authority("root");
    let chain = chain(&params(&[]), &maker);
    let mut certificates = trusting(None, &maker);
    let mut at = |now| {
        let told = certificates.read(&chain, Purpose::Client, now, |print| print.into());
        told.standing
    };
    assert_eq!(at(NOW), Standing::Valid);
    assert_eq!(
        at(NOW.after(30 * 86_400 * 1_000_000_000)),
        Standing::Expired
    );
}

#[test]
fn what_is_sent_along_leads_to_the_authority() {
    let (root, mut middle) = (authority("root"), CertificateParams::default());
    middle.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    middle.distinguished_name.push(DnType::CommonName, "middle");
    let key = KeyPair::generate().unwrap();
    let middle = CertifiedIssuer::signed_by(middle, key, &root).unwrap();
    let mut shown = chain(&params(&[]), &middle);
    let standing = |chain: &Chain| read(&mut trusting(None, &root), chain).standing;
    assert_eq!(standing(&shown), Standing::UnknownAuthority);
    shown.certificates.push(middle.der().to_vec());
    assert_eq!(standing(&shown), Standing::Valid);
}

#[test]
fn what_is_no_certificate_proves_nothing() {
    let maker = authority("root");
    let whole = chain(&params(&[]), &maker).certificates.remove(0);
    for der in [
        &b""[..],
        b"x",
        &whole[..whole.len() - 1],
        &[&whole[..], b"x"].concat(),
    ] {
        let chain = Chain {
            certificates: vec![der.to_vec()],
            digest: [0; 32],
        };
        fuzz_certificate(&chain);
        let told = read(&mut trusting(None, &maker), &chain);
        assert_eq!(told.standing, Standing::NotProvable);
    }
}

#[test]
fn a_file_without_certificates_of_authorities_is_refused() {
    for pem in [
        "",
        "x",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(Authority::new(None, pem.as_bytes()).is_err(), "{pem}");
    }
}

#[test]
fn values_of_a_name_cannot_be_taken_for_others() {
    let escaped = |value: &str| {
        let mut text = String::new();
        escape(value, &mut text);
        text
    };
    assert_eq!(escaped("a,b+c\\\"<;>"), "a\\,b\\+c\\\\\\\"\\<\\;\\>");
    assert_eq!(escaped(" a b "), "\\ a b\\ ");
    assert_eq!(escaped("#1\n"), "\\#1\\0A");
    assert_eq!(escaped("ü\u{85}"), "ü\\C2\\85");
}
